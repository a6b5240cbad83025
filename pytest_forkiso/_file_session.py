"""What runs in the template of one test file: a fork of a bare one that collects the file, once for all tests."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import forkcore
from pytest_forkiso import _bare, _bounds_config, _leftovers
from pytest_forkiso._collected import name_of
from pytest_forkiso._config import learns_preload
from pytest_forkiso._exec import CollectingSession
from pytest_forkiso._hook_marks import HookMarks
from pytest_forkiso._inchild import ending_with_parent, orphan_adoption
from pytest_forkiso._judgement import Watch
from pytest_forkiso._late_imports import outermost
from pytest_forkiso._slots import SlotTable
from pytest_forkiso._stream import ChannelEnd, flush_streams
from pytest_forkiso._tracebacks import describe_error

if TYPE_CHECKING:
    from collections.abc import Generator


class WantedTest(NamedTuple):
    """A test of the file.

    Attributes:
        position: Among the items of pytest's own process.
        name: What it is found by, see `_collected.name_of`.
        number: Which of the tests with this name, from 0.
    """

    position: int
    name: str
    number: int


class FilePlan(NamedTuple):
    """What the template of a file has to know, beside the plan of all bare children; crosses as a pickle.

    Attributes:
        path: Of the file.
        is_elsewhere: It is outside of the root directory.
        root: Folder of the project.
        tests: That are to be found there.
    """

    path: str
    is_elsewhere: bool
    root: str
    tests: list[WantedTest]


class Unfit(Exception):
    """The template must not be forked, or lacks a test; the text is the end of a sentence.

    Attributes:
        is_common: What all files load is enough for that.
        folder: What all files below it load is enough for that; empty where it is this file's own.
    """

    def __init__(self, reason: str, *, is_common: bool = False, folder: str = "") -> None:
        super().__init__(reason)
        self.is_common = is_common
        self.folder = folder


class FileSession(CollectingSession):
    """A session of pytest that collects one file, looks at itself, and then waits to be forked."""

    def __init__(self, plan: _bare.Plan, file: FilePlan, end: ChannelEnd) -> None:
        self._file = file
        self._modules = plan.modules
        self._end = end
        self._watch = Watch(Path(file.root))
        self._known = frozenset(sys.modules)
        self._is_collecting = False
        self._by_folder: dict[str, list[str]] = {}  # what spoke against a fork when its conftest file was loaded
        super().__init__(plan)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> Generator[None, object, object]:
        """Look at what conftest files open, and not at what plugins do for themselves."""
        marks = HookMarks(self._watch, early_config.pluginmanager)
        try:
            return (yield)
        finally:
            self._watch.pause()
            marks.finish()

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Choose the file: ini file, root directory and initial conftest files are those of the whole run by now."""
        config.args[:] = [self._modules.get(self._file.path, self._file.path)]

    @pytest.hookimpl
    def pytest_plugin_registered(self, plugin: object) -> None:
        """Look at what a folder's conftest file has made, which all files below it load."""
        path = Path(getattr(plugin, "__file__", None) or "")
        if self._is_collecting and path.name == "conftest.py":
            self._watch.pause()  # what was opened by now is looked at
            self._watch.resume()
            self._by_folder[str(path.parent)] = self._reasons()

    @pytest.hookimpl
    def pytest_enter_pdb(self) -> None:
        """Leave it to the processes of tests where a debugger stops the collection; never returns then."""
        if self._quiet.is_on:
            self._end.send(("unfit", "a debugger stops its collection", False, ""))
            self._end.leave()

    def make_ready(self, table: SlotTable) -> list[str]:
        """Collect, and prepare for the first fork.

        Args:
            table: The output files of children, consumed.

        Returns:
            Names of modules that the file has imported, where that is to be learned from.

        Raises:
            Unfit: This process must not be forked, or has not found its tests.
        """
        self._watch.resume()
        self._object(is_common=True)
        self._is_collecting = True
        collected = self.collect()
        self._is_collecting = False
        self._watch.finish()
        if collected.errors:
            raise Unfit("it could not be collected")
        items = self._find()
        self._object(is_common=False)
        settings = _bounds_config.read_bounds(self._config)
        for item in items.values():
            _bounds_config.attach_bounds(item, settings)
        self._prepare(table, items)
        self.spare(len(items))
        if not learns_preload(self._config):
            return []
        return outermost(name for name in list(sys.modules) if name not in self._known)

    def _object(self, *, is_common: bool) -> None:
        reasons = self._reasons()
        if not reasons:
            return
        folders = (folder for folder, then in self._by_folder.items() if then == reasons)  # the file has added nothing
        raise Unfit("; ".join(reasons), is_common=is_common, folder=next(folders, ""))

    def _reasons(self) -> list[str]:
        """Say what speaks against a fork now."""
        return [*self._watch.judge().reasons, *(f"it has started {left.command!r}" for left in _leftovers.below())]

    def _find(self) -> dict[int, pytest.Item]:
        """Find the tests among those that were collected, whatever plugins deselect here, or among those of plugins."""
        by_name: dict[str, list[pytest.Item]] = {}
        for nodeid, item in self.found:
            by_name.setdefault(name_of(nodeid, is_elsewhere=self._file.is_elsewhere), []).append(item)
        by_name = {item.nodeid: [item] for item in self._session.items} | by_name
        items = {}
        for test in self._file.tests:
            if test.name not in by_name:
                raise Unfit(f"it has no {test.name} in a process of its own")
            twins = by_name[test.name]
            items[test.position] = twins[test.number % len(twins)]  # of a file that is named twice, there is one here
        return items


def collect(packed: bytes) -> FileSession | None:
    """Collect in this process, a template, and answer; called by code that pytest's own process sends.

    The plan of all bare children, and a channel for the answer, were sent before.

    Args:
        packed: The plan of the file, pickled.

    Returns:
        The session; None where no child may be forked from here.
    """
    plan_of_all, channel = forkcore.take_args()
    plan = _bare.Plan(*pickle.loads(plan_of_all))  # noqa: S301 - from pytest's own process
    end = ChannelEnd(channel.detach())
    end.send(("alive",))
    orphan_adoption()()
    os.dup2(plan.standard_input, 0)
    sys.argv[:] = plan.argv
    session = None
    try:
        with ending_with_parent():
            session = FileSession(plan, pickle.loads(packed), end)  # noqa: S301 - as above
            word: tuple[object, ...] = ("ready", session.make_ready(SlotTable(plan.descriptors)))
    except Unfit as error:
        word = ("unfit", str(error), error.is_common, error.folder)
    except BaseException as error:  # noqa: BLE001 - whatever it is, a child that loads the file by itself shows it
        word = ("unfit", describe_error(error).strip().splitlines()[-1], False, "")
    flush_streams()
    end.send(word)
    end.close()
    return session
