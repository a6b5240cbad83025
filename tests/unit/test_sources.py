"""What sources of templates are chosen by, and compared with, without any process."""

from __future__ import annotations

import importlib
import json
import os
import socket
import sqlite3
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso import _collected, _descriptors, _late_imports, _source_exec, _sources
from pytest_forkiso._imports import ImportWatch
from pytest_forkiso._plugin_modules import importable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_equal_node_ids_are_numbered() -> None:
    """Each is told apart from those before it."""
    assert _collected.numbered(["a", "b", "a", "a"]) == [("a", 0), ("b", 0), ("a", 1), ("a", 2)]


def test_the_order_of_node_ids_is_no_difference() -> None:
    """What is missing here or there is, and so is another count."""
    assert _source_exec.compare(["a", "b"], ["b", "a"]) == []
    lines = _source_exec.compare(["a", "b", "c"], ["a", "c", "c", "d"])
    assert [line for line in lines if line[0] in "+-" and line[1:2].isalpha()] == ["-b", "+c", "+d"]


def test_outermost_modules() -> None:
    """Parts of a package that is named, and names that cannot be imported, are left out."""
    names = ["json", "json.decoder", "os.path", "no-identifier", "json_tools"]
    sys.modules["json_tools"] = sys.modules["json"]
    try:
        assert _late_imports.outermost(names) == ["json", "os.path", "json_tools"]
    finally:
        del sys.modules["json_tools"]


def test_modules_that_pytest_has_rewritten_are_left_out() -> None:
    """This one is."""
    assert _late_imports.outermost([__name__, "json"]) == ["json"]


def test_connections_are_shared(tmp_path: Path) -> None:
    """Those to a server with an address are; pairs, and sockets that listen, are not."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        assert _descriptors.describe_shared(server.fileno(), "socket:[1]") is None
        client.connect(path)
        assert _descriptors.describe_shared(client.fileno(), "socket:[1]") == f"the connection to {path}"
    one, other = socket.socketpair()
    with one, other:
        assert _descriptors.describe_shared(one.fileno(), "socket:[1]") is None


class _Settings:
    template = "auto"


def test_no_fork_of_pytest_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever there is, or is not, in its process: neither at the beginning nor in the middle of a run."""
    monkeypatch.setattr(sys, "platform", "darwin")
    config: Any = object()  # nothing in it is looked at
    settings: Any = _Settings
    choice = _sources.choose_source(config, settings)
    assert choice.kind == "bare"
    assert "macOS" in choice.reason
    session = SimpleNamespace(config=SimpleNamespace(), items=[])
    request: Any = SimpleNamespace(session=session, settings=settings, forks=0)
    assert _sources.fork_again(request) is None


def test_databases_and_devices_are_shared(tmp_path: Path) -> None:
    """A file is looked at, a device is known by its name."""
    path = tmp_path / "data.db"
    database = sqlite3.connect(path)
    database.execute("create table t (a)")
    database.close()
    (tmp_path / "text").write_text("SQLite")
    for name, expected in (("data.db", f"the open database {path}"), ("text", None)):
        with (tmp_path / name).open("rb") as file:
            assert _descriptors.describe_shared(file.fileno(), str(tmp_path / name)) == expected
    text = _descriptors.describe_shared(0, "/dev/nvidiactl")
    assert text is not None
    assert "CUDA" in text


def test_descriptors_are_listed(tmp_path: Path) -> None:
    """An open file is among them, by its path."""
    with (tmp_path / "file").open("w") as file:
        assert _descriptors.open_descriptors()[file.fileno()] == str(tmp_path / "file")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[ImportWatch]:
    """Watch imports, and leave no descriptor behind."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    made = ImportWatch(tmp_path)
    yield made
    made.stop()
    made.stop()
    assert made not in sys.meta_path
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_watch_finds_no_module(watch: ImportWatch) -> None:
    """Imports go on as if it were not there."""
    assert watch.find_spec("json") is None  # type: ignore[func-returns-value] # what it is asked for
    with pytest.raises(ModuleNotFoundError):
        __import__("no_such_module_at_all")
    assert watch.start_of(1) is None


def test_modules_that_a_bare_template_can_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed ones, by Python's own loaders; neither a program's, nor what pytest has rewritten, nor its parts."""
    (tmp_path / "of_a_program.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("of_a_program")
    rewritten = ModuleType("rewritten")
    rewritten.__spec__ = sys.modules[__name__].__spec__
    part = ModuleType("rewritten.part")
    part.__spec__ = ModuleSpec(
        "rewritten.part", SourceFileLoader("rewritten.part", json.__file__), origin=json.__file__
    )
    known = sys.modules | {"rewritten": rewritten, "rewritten.part": part, "alias": json}
    names = ["sys", "json", "json.decoder", "of_a_program", "rewritten", "rewritten.part", "alias", "os.path", "gone"]
    assert importable(names, known) == ["json", "json.decoder"]
