"""Children of a bare template: each loads conftest files and its own test file itself, in its own process.

For projects whose conftest files or test modules start threads, which no fork would have.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TextIO

import pytest

from pytest_forkiso import _bounds_config, _hazards, _memory, _private, _worker
from pytest_forkiso._collected import CollectedList, name_of
from pytest_forkiso._inchild import InChild, Order, leave_orphaned, orphan_adoption, shared_death
from pytest_forkiso._inner import PLUGIN_NAME
from pytest_forkiso._quiet import Quiet
from pytest_forkiso._slots import SlotTable, read_text
from pytest_forkiso._stream import ChannelEnd, flush_streams, take_terminal

if TYPE_CHECKING:
    import socket


class Plan(NamedTuple):
    """What a child is to know of the whole run.

    Attributes:
        arguments: The command line.
        argv: ``sys.argv`` of pytest's own process.
        color: See `pytest_forkiso._quiet.terminal_color`.
        descriptors: Of the output files.
        standard_input: Descriptor.
        workerinput: See `pytest_forkiso._worker`.
        is_worker: pytest's own process is a worker of pytest-xdist.
        renamed: Node ids of tests as they were collected, by those that plugins have given to them since.
        elsewhere: By place in the whole run, paths of files whose tests' node ids do not say where they are.
        modules: Names of modules by paths, for files that ``--pyargs`` is to find by these.
        twins: By place in the whole run, numbers of tests that have the node id of others, see `_collected.twins`.
        output_limit: Bytes that are kept of the output of each phase.
    """

    arguments: list[str]
    argv: list[str]
    color: str
    descriptors: list[int]
    standard_input: int
    workerinput: dict[str, Any]
    is_worker: bool
    renamed: dict[str, str]
    elsewhere: dict[int, str]
    modules: dict[str, str]
    twins: dict[int, int]
    output_limit: int


def prepare() -> None:
    """Make the template ready for its first fork."""
    orphan_adoption()()
    _hazards.refuse_threads()
    gc.freeze()


def spare(forks: int) -> None:
    """Let each further fork cost less; see `InChild.spare`. What children load themselves is not the template's."""
    _memory.spare_forks(forks)


def run(channel: socket.socket, packed: bytes) -> NoReturn:
    """Wait for the order to run a test, collect its file, run it, and end the process.

    Args:
        channel: To pytest's own process; consumed.
        packed: The plan, pickled.
    """
    plan = Plan(*pickle.loads(packed))  # noqa: S301 - from pytest's own process
    os.setpgid(0, 0)
    os.dup2(plan.standard_input, 0)
    sys.argv[:] = plan.argv
    orphan_adoption()()
    shared_death()()
    end = ChannelEnd(channel.detach())
    order = Order(*end.receive()[1:])
    leave_orphaned(end, order)
    table = SlotTable(plan.descriptors)
    slot = table.slots[order.slot]
    session = OneTestSession(end, order, table, plan)
    session.known_modules = frozenset(sys.modules)
    table.note_phase(slot, "setup")
    session.quiet = Quiet(slot.stdout)  # if there is no test, that says why
    code = pytest.main(plan.arguments, plugins=[session])
    flush_streams()
    said = read_text(slot.stdout, plan.output_limit)
    text = f"{order.nodeid} was not found in a child of the bare template (exit code {code}):\n{said}"
    end.send(("error", text, time.monotonic()))
    end.leave()


class OneTestSession(CollectedList):
    """Turns a session of pytest into one that runs a single test.

    Attributes:
        known_modules: Names of those that the template had.
        quiet: Until the test begins.
    """

    __name__ = PLUGIN_NAME  # what pluggy registers it as
    quiet: Quiet

    def __init__(self, end: ChannelEnd, order: Order, table: SlotTable, plan: Plan) -> None:
        super().__init__()
        self._end = end
        self._order = order
        self._table = table
        self._plan = plan
        self._started = time.monotonic()
        self._terminal: TextIO | None = None
        self._color = plan.color
        self._is_collecting = True
        self.known_modules: frozenset[str] = frozenset()

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> None:
        # Report files and the like belong to pytest's own process.
        _worker.become_worker(config, self._plan.workerinput)

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        _worker.set_options(config)
        self._color, config.option.color = config.option.color, self._plan.color
        # Ini file, root directory and initial conftest files are those of the whole run by now.
        within = str(config.rootpath / self._order.nodeid.partition("::")[0])
        path = self._plan.elsewhere.get(self._order.position, within)
        config.args[:] = [self._plan.modules.get(path, path)]

    @pytest.hookimpl
    def pytest_enter_pdb(self, config: pytest.Config) -> None:
        if not self._is_collecting:
            return
        self.quiet.end(config)  # a debugger that stops the collection is to be seen
        self._end.send(("debugger", True))
        take_terminal(os.getpgrp())

    @pytest.hookimpl
    def pytest_leave_pdb(self) -> None:
        if self._is_collecting:
            self._end.send(("debugger", False))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        _private.collect_junit(session.config)
        # What pytest says before the test is nobody's business; but if there is no test, it says why.
        fd = self._table.slots[self._order.slot].stdout
        self._terminal = _private.redirect_terminal(session.config, open(fd, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - closed when the test begins

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        item = self._find(session)
        if item is not None:
            self._run(session, item)
        return True  # nothing else is run here

    def _run(self, session: pytest.Session, item: pytest.Item) -> NoReturn:
        _private.redirect_terminal(session.config, self._terminal).close()
        self.quiet.end(session.config)
        self._is_collecting = False
        session.config.option.color = self._color
        self._table.slots[self._order.slot].clear()
        if not self._plan.is_worker:
            _worker.be_no_worker(session.config)
        _bounds_config.attach_bounds(item, _bounds_config.read_bounds(session.config))
        in_child = InChild(session, self._table, self._plan.output_limit)
        in_child.take_over(self.known_modules)
        in_child.obey(self._end, self._order, item, self._started)

    def _find(self, session: pytest.Session) -> pytest.Item | None:
        """Find the test among those that were collected, whatever plugins deselect here, or among those of plugins."""
        is_elsewhere = self._order.position in self._plan.elsewhere
        nodeid = self._plan.renamed.get(self._order.nodeid, self._order.nodeid)
        name = name_of(nodeid, is_elsewhere=is_elsewhere)
        found = [item for known, item in self.found if name_of(known, is_elsewhere=is_elsewhere) == name]
        found = found or [item for item in session.items if item.nodeid == nodeid]
        if not found:
            return None
        # Of a file that is named twice on the command line, there is one here.
        item = found[self._plan.twins.get(self._order.position, 0) % len(found)]
        _private.set_nodeid(item, self._order.nodeid)
        return item
