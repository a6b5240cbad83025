"""The report of a run as one page that needs nothing else: data, style and script are in it."""

from __future__ import annotations

import html
import importlib.resources
import json
import re
from typing import Any

_PARTS = "report_page"
_SCRIPTS = ("model.js", "timeline.js", "table.js", "page.js")  # in the order in which they need each other


def to_text(document: dict[str, Any]) -> str:
    """Write a document as a page."""
    parts = {
        "TITLE": html.escape(document["run"]["title"]),
        "STYLE": _read("page.css"),
        "SCRIPT": "".join(map(_read, _SCRIPTS)),
        "DATA": escape_data(json.dumps(document, separators=(",", ":"))),
    }
    # In one go: what is put in is not looked at again.
    return re.sub("@([A-Z]+)@", lambda found: parts[found[1]], _read("page.html"))


def escape_data(text: str) -> str:
    """Make JSON fit to stand in a script element, whatever texts are in it.

    Inside of JSON these characters occur in strings only, where their escapes mean the same. Without them nothing ends
    the element (``</script``) or changes how it is read (``<!--``).
    """
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _read(name: str) -> str:
    return importlib.resources.files("pytest_forkiso").joinpath(_PARTS, name).read_text("utf-8")
