"""Names of pytest that are not public, for representations of failures that know only how to show themselves.

pytest makes text of those on the way to another process. The short summary takes a message from a text, and none from
such a representation; it may be coloured; and plugins may look at its parts.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _pytest._code.code import ExceptionRepr, ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter
from _pytest.doctest import ReprFailDoctest
from _pytest.fixtures import FixtureLookupErrorRepr

from pytest_forkiso._private import terminal_writer

if TYPE_CHECKING:
    import pytest


class ShownText(TerminalRepr):
    """Text that stands for a representation of a class that only its plugin knows."""

    def __init__(self, text: str, shown: str, marked: str) -> None:
        """Take the forms of a representation.

        Args:
            text: What ``str`` gives.
            shown: What is written to a terminal.
            marked: The same, for one with colours.
        """
        self._text = text
        self._shown = shown
        self._marked = marked

    def toterminal(self, tw: Any) -> None:
        """Write the text."""
        tw.write(self._marked if tw.hasmarkup else self._shown)

    def __str__(self) -> str:
        return self._text


def pack_shown(config: pytest.Config, longrepr: Any) -> tuple[str, Any] | None:
    """Take a representation apart, if it knows only how to show itself.

    Returns:
        What `unpack_shown` takes, in which any value may still be other than plain; None for one that pytest
        serializes itself.
    """
    if not hasattr(longrepr, "toterminal") or isinstance(longrepr, ExceptionRepr):
        return None
    if type(longrepr) is FixtureLookupErrorRepr:
        parts = vars(longrepr) | {"filename": os.fspath(longrepr.filename), "tblines": list(longrepr.tblines)}
        return "fixture", parts
    if type(longrepr) is ReprFailDoctest:
        failures = longrepr.reprlocation_lines
        return "doctest", [(place.path, place.lineno, place.message, list(lines)) for place, lines in failures]
    own = terminal_writer(config)
    has_colours = own is not None and own.hasmarkup
    shown = _show(longrepr, own, has_colours=False)
    return "text", (shown, _show(longrepr, own, has_colours=True) if has_colours else shown)


def unpack_shown(text: str, packed: tuple[str, Any]) -> TerminalRepr:
    """Make a representation again.

    Args:
        text: That ``str`` gave of it.
        packed: What `pack_shown` has given.
    """
    kind, parts = packed
    if kind == "fixture":
        return FixtureLookupErrorRepr(**(parts | {"filename": Path(parts["filename"])}))
    if kind == "doctest":
        return ReprFailDoctest([(ReprFileLocation(*place), lines) for *place, lines in parts])
    return ShownText(text, *parts)


def _show(longrepr: Any, own: Any, *, has_colours: bool) -> str:
    file = io.StringIO()
    writer = TerminalWriter(file)
    writer.hasmarkup = has_colours
    if own is not None:
        writer.fullwidth = own.fullwidth
        writer.code_highlight = own.code_highlight
    longrepr.toterminal(writer)
    return file.getvalue()
