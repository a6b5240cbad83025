"""The reference and what it refers to: no name of the one is missing in the other."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import forkcore
import pytest_forkiso
from forkcore import _messages, aio, errors
from pytest_forkiso import _config, _profiles

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
PLUGIN = Path(pytest_forkiso.__file__).parent


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


def table_rows(text: str, head: str) -> list[str]:
    """Give the rows of the table with this head."""
    assert text.count(f"{head}\n") == 1
    rows = text.partition(f"{head}\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert rows
    return rows


class Recorder:
    """Takes the part of a parser, or of a group of one: notes what is added."""

    def __init__(self) -> None:
        self.options: set[str] = set()
        self.ini: set[str] = set()

    def getgroup(self, *_: str) -> Recorder:
        """Take the part of the group as well."""
        return self

    def addoption(self, *names: str, **_: Any) -> None:
        """Note an option; those that end in a value of their own are forms of one option."""
        self.options.update(name.partition("=")[0] for name in names)

    def addini(self, name: str, *_: str, **__: Any) -> None:
        """Note an ini value."""
        self.ini.add(name)


def test_every_option_is_in_the_reference() -> None:
    """Of the command line and of ini files; and nothing else is."""
    added: Any = Recorder()
    _config.add_options(added)
    rows = table_rows(page("plugin.md"), "| Option | Ini | Default | |")
    assert {name for row in rows for name in re.findall(r"^\| `(--[\w-]+)", row)} == added.options
    assert {name for row in rows for name in re.findall(r"^\| [^|]*\| `(\w+)`", row)} == added.ini


def test_every_marker_argument_is_in_the_reference() -> None:
    """In the table of the marker; and nothing else is."""
    rows = table_rows(page("plugin.md"), "| Argument | |")
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])} == _profiles.ARGUMENTS


def literals_of_usage_errors() -> list[str]:
    """Give, of each usage error that the plugin's code raises with a text of its own, the longest part of the text."""
    found = []
    for path in sorted(PLUGIN.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.UsageError":
                texts = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                found.append(max((text for text in texts if isinstance(text, str)), key=len, default=""))
    return [text.strip("; \n") for text in found if text]


def test_every_usage_error_is_in_the_reference() -> None:
    """A user who looks for the text finds its cause."""
    literals = literals_of_usage_errors()
    assert len(literals) > 20
    text = page("plugin-errors.md")
    assert [literal for literal in literals if literal not in text] == []
