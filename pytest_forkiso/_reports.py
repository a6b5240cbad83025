"""Reports and warnings as plain data, and back."""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from types import NoneType
from typing import TYPE_CHECKING, Any

from pytest_forkiso import _private, _private_shown
from pytest_forkiso._events import Plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_forkiso._events import Event

Sections = list[tuple[str, str]]
_SHOWS_ITSELF = "$forkiso_shows_itself"
_PAIRS = ("sections", "user_properties")
_KINDS: dict[str, tuple[type, ...]] = {
    "nodeid": (str,),
    "location": (list, tuple),
    "keywords": (dict,),
    "outcome": (str,),
    "when": (str,),
    "duration": (int, float),
}
_LEFT_OUT = "characters left out, see the ini option fork_output_limit ...]"
_ROOM_FOR_NOTE = 100


def pack_report(config: pytest.Config, report: pytest.TestReport, output_limit: int) -> dict[str, Any]:
    """Make plain data of a report, through pytest's own hook.

    Args:
        config: Of the session.
        report: Of one phase of a test; its sections are shortened in place.
        output_limit: Characters of each section.
    """
    report.sections = shorten_sections(report.sections, output_limit)
    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    plain = Plain()
    packed: dict[str, Any] = {key: plain.of(value, key) for key, value in data.items()}
    shown = _private_shown.pack_shown(config, report.longrepr)
    if shown is not None:
        packed[_SHOWS_ITSELF] = plain.of(shown, "longrepr")
    for key in _PAIRS:
        packed[key] = [pair for index, pair in enumerate(packed[key]) if _is_pair(pair, f"{key}[{index}]", plain)]
    _check_shape(packed)
    if plain.replaced:
        text = "These values have no plain form, and stand in the report as text:\n" + "\n".join(plain.replaced)
        packed["sections"] = [*packed["sections"], ("Replaced values", text)]
    return packed


def _is_pair(value: Any, key: str, plain: Plain) -> bool:
    """Tell whether reporters can read this section or property; one that they cannot is noted as text."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], str):  # noqa: PLR2004 - a pair
        return True
    plain.replaced.append(f"{key}: {value!r}")
    return False


def _check_shape(packed: dict[str, Any]) -> None:
    """Refuse a report that would break what it is for: the test has written over what pytest knows of it."""
    for key, kinds in _KINDS.items():
        if not isinstance(packed[key], kinds):
            raise TypeError(f"the test has made {packed[key]!r} of its report's {key!r}")


def unpack_report(config: pytest.Config, data: dict[str, Any]) -> pytest.TestReport:
    """Make a report again, through pytest's own hook."""
    shown = data.pop(_SHOWS_ITSELF, None)
    report: pytest.TestReport = config.hook.pytest_report_from_serializable(config=config, data=data)
    if shown is not None:
        report.longrepr = _private_shown.unpack_shown(str(report.longrepr), shown)
    _private.restore_subtest(report, data)
    return report


def share_texts(data: dict[str, Any], item: pytest.Item) -> None:
    """Let a packed report have texts that this process holds already, where they are equal; it is changed in place.

    pytest keeps the reports of all tests to the end of the run; those that it makes itself hold what the test holds.
    """
    if data["nodeid"] == item.nodeid:
        data["nodeid"] = item.nodeid
    location = plain_location(item)
    if location is not None and data["location"] == item.location:
        data["location"] = item.location
    data["keywords"] = {_shared(key): value for key, value in data["keywords"].items()}
    data["outcome"], data["when"] = _shared(data["outcome"]), _shared(data["when"])


def _shared(text: Any) -> Any:
    return sys.intern(text) if type(text) is str else text


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Give the names of what a plugin has changed in a report since it was packed before."""
    return [key for key, value in after.items() if key not in before or before[key] != value]


def amend(report: pytest.TestReport, other: pytest.TestReport, names: Iterable[str]) -> None:
    """Let a report that was replayed have what a plugin has changed in its own process since then."""
    for name in names:
        if hasattr(other, name):
            setattr(report, name, getattr(other, name))


def plain_location(item: pytest.Item) -> tuple[str, int | None, str] | None:
    """Give the location of a test as plain data; None where it has none, or where the test's class has its own way."""
    if not isinstance(getattr(type(item), "location", None), functools.cached_property):
        return None
    path, line, name = item.location
    is_plain = type(path) is str and type(line) in (int, NoneType) and type(name) is str
    return (path, line, name) if is_plain else None


def join_teardowns(own: dict[str, Any], shared: dict[str, Any]) -> bool:
    """Make one report of a test's teardown and of that of fixtures which it was the last to use.

    Args:
        own: The packed report of the test's own process; changed in place.
        shared: The packed report of the template.

    Returns:
        Whether all is in it; if not, both have failed, and the second is left as it is, but for its sections.
    """
    joined = dict(own["sections"])
    for name, text in shared["sections"]:
        joined[name] = joined.get(name, "") + text
    own["sections"] = list(joined.items())
    own["duration"] += shared["duration"]
    if shared["outcome"] == "passed":
        return True
    if own["outcome"] != "passed":
        shared["sections"] = []
        return False
    own["outcome"], own["longrepr"] = shared["outcome"], shared["longrepr"]
    return True


def is_teardown(event: Event) -> bool:
    """Tell whether an event is the report of a test's teardown."""
    if event[0] != "report":
        return False
    data: dict[str, Any] = event[1]
    return data.get("$report_type") == "TestReport" and data.get("when") == "teardown"


def shorten_sections(sections: Iterable[tuple[str, str]], limit: int) -> Sections:
    """Leave out the middle of texts that are too long."""
    return [(name, shorten(text, limit)) for name, text in sections]


def shorten(text: str, limit: int) -> str:
    """Leave out the middle of a text of more than ``limit`` characters, and say so there; but once."""
    if len(text) <= limit or (len(text) <= limit + _ROOM_FOR_NOTE and _LEFT_OUT in text):
        return text
    half = limit // 2
    end = len(text) - half
    return f"{text[:half]}\n[... {end - half} {_LEFT_OUT}\n{text[end:]}"


def pack_warning(message: warnings.WarningMessage, when: str, nodeid: str, location: Any) -> dict[str, Any]:
    """Make plain data of a recorded warning."""
    category = message.category
    plain = Plain()
    text = str(message.message)
    arguments = plain.of(getattr(message.message, "args", (text,)), "args")
    return {
        "module": category.__module__,
        "name": category.__qualname__,
        "bases": [f"{base.__module__}:{base.__qualname__}" for base in category.__mro__],
        "text": text,
        "arguments": (text,) if plain.replaced else arguments,
        "filename": message.filename,
        "lineno": message.lineno,
        "line": message.line,
        "when": when,
        "nodeid": nodeid,
        "location": plain.of(location, "location"),
    }


def unpack_warning(data: dict[str, Any]) -> warnings.WarningMessage:
    """Make a recorded warning again."""
    category = _find_category(data)
    return warnings.WarningMessage(
        message=_make_warning(category, data["arguments"], data["text"]),
        category=category,
        filename=data["filename"],
        lineno=data["lineno"],
        line=data["line"],
    )


def _find_category(data: dict[str, Any]) -> type[Warning]:
    """Find the class among the modules that are loaded here; nothing is imported for it."""
    found: Any = sys.modules.get(data["module"])
    for part in data["name"].split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, Warning):
        return found
    bases: list[Any] = []
    for path in data["bases"][1:]:
        module_name, _, name = path.partition(":")
        base = getattr(sys.modules.get(module_name), name, None)
        if isinstance(base, type) and issubclass(base, Warning):
            bases = [base]
            break
    name = data["name"].rpartition(".")[2]
    return type(name, tuple(bases or [Warning]), {"__module__": data["module"]})


def _make_warning(category: type[Warning], arguments: tuple[Any, ...], text: str) -> Warning:
    with contextlib.suppress(Exception):  # a constructor or __str__ of the user's own
        message = category(*arguments)
        if str(message) == text:
            return message
    # What it says is made of what has not crossed: a subclass that says what the original said.
    says_it: type[Warning] = type(
        category.__name__, (category,), {"__module__": category.__module__, "__str__": lambda _: text}
    )
    message = Warning.__new__(says_it)
    message.args = (text,)
    return message
