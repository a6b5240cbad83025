"""The reference and what it refers to: no name of the one is missing in the other."""

from __future__ import annotations

import re
from pathlib import Path

import forkcore
from forkcore import _messages, aio, errors

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def page(name: str) -> str:
    """Give the text of a page."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_every_error_has_cause_and_remedy() -> None:
    """Each type is in the table, and its docstring says both."""
    rows = re.findall(r"^\| `(\w+)` \|", page("errors.md"), re.MULTILINE)
    types = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert types
    for one in types:
        if one in {errors.ForkcoreError, errors.RemoteTraceback}:
            continue
        assert one.__name__ in rows
        assert one.__doc__ is not None
        assert re.search(r"Cause:\s.*Remedy:\s", one.__doc__, re.DOTALL)


def test_every_public_name_is_in_the_reference() -> None:
    """Of the package, and of its asyncio driver."""
    text = page("forkcore.md") + page("errors.md")
    missing = [name for name in forkcore.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing
    assert not [name for name in aio.__all__ if not re.search(rf"\b{name}\b", page("aio.md"))]


def test_every_message_is_in_the_wire_protocol() -> None:
    """Its number beside its name."""
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", page("wire-protocol.md"), re.MULTILINE))
    kinds = {
        str(value): name
        for name, value in vars(_messages).items()
        if type(value) is int and _messages.EVAL <= value <= _messages.ERROR
    }
    assert rows == kinds
