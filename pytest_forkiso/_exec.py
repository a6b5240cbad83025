"""What runs in a template that collects by itself, beside pytest's own process, and in its children."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pytest

import forkcore
from pytest_forkiso import _bounds_config, _hazards, _private, _worker
from pytest_forkiso._collected import CollectedList, numbered
from pytest_forkiso._events import encode
from pytest_forkiso._inchild import InChild, ending_with_parent
from pytest_forkiso._inner import PLUGIN_NAME
from pytest_forkiso._quiet import Quiet
from pytest_forkiso._slots import SlotTable

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from pytest_forkiso import _bare


class Plan(NamedTuple):
    """What the template needs to collect; crosses as a pickle.

    Attributes:
        arguments: The command line.
        argv: ``sys.argv`` of pytest's own process.
        color: See `pytest_forkiso._quiet.terminal_color`.
        workerinput: See `pytest_forkiso._worker`.
        is_worker: pytest's own process is a worker of pytest-xdist.
        output_limit: See `pytest_forkiso._config.Settings`.
    """

    arguments: list[str]
    argv: list[str]
    color: str
    workerinput: dict[str, Any]
    is_worker: bool
    output_limit: int


class ChosenTest(NamedTuple):
    """A test that pytest's own process has chosen.

    Attributes:
        nodeid: That it had when it was collected.
        occurrence: Which of the tests with this node id, from 0.
        final: Its node id after all plugins have seen it.
    """

    nodeid: str
    occurrence: int
    final: str


class Collected(NamedTuple):
    """What a collection has found, as it crosses to pytest's own process.

    Attributes:
        nodeids: Of all tests, before any was deselected.
        errors: Texts of what could not be collected.
        hazards: Why the template must not be forked.
    """

    nodeids: list[str]
    errors: list[str]
    hazards: list[str]


class CollectingSession(CollectedList):
    """Turns a session of pytest into one that collects, and then waits to be forked."""

    __name__ = PLUGIN_NAME  # what pluggy registers it as

    def __init__(self, plan: Plan | _bare.Plan) -> None:
        super().__init__()
        self._plan = plan
        self._errors: list[str] = []
        self._in_child: InChild | None = None
        self._channel: socket.socket | None = None
        self._quiet = Quiet()
        config = self._config = _private.read_command_line(list(plan.arguments), [self])
        _worker.become_worker(config, plan.workerinput)
        config.hook.pytest_cmdline_main(config=config)
        _worker.set_options(config)
        color, config.option.color = config.option.color, plan.color
        self._session = _private.begin_session(config)
        config.option.color = color
        _private.collect_junit(self._config)

    @pytest.hookimpl
    def pytest_cmdline_main(self) -> int:
        """Keep pytest from running tests and ending: what is called before this has set options of its own."""
        return 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Let the terminal plugin write nowhere: in pytest's own process it says the same."""
        self._terminal = _private.redirect_terminal(session.config, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - closed when tests may run

    @pytest.hookimpl
    def pytest_enter_pdb(self) -> None:
        """Let a debugger be seen that stops the collection."""
        self._quiet.end(self._config)

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember what could not be collected."""
        if report.failed:
            self._errors.append(f"{report.nodeid}\n{report.longreprtext}")

    def collect(self) -> Collected:
        """Collect, and say what was found."""
        with _private.quiet_log_file(self._config), contextlib.suppress(pytest.Session.Failed):
            self._config.hook.pytest_collection(session=self._session)
        return Collected(self.nodeids(), self._errors, _hazards.everything_alive())

    def choose(self, wanted: list[ChosenTest], table: SlotTable) -> None:
        """Take over the tests that pytest's own process has chosen, in its order, and prepare for the first fork.

        Args:
            wanted: Each was found here, too.
            table: The output files of children, consumed.
        """
        places = numbered([*self.nodeids(), *(item.nodeid for item in self._session.items)])
        items = [*(item for _, item in self.found), *self._session.items]
        by_place = dict(zip(places, items, strict=True))
        chosen = []
        for nodeid, occurrence, final in wanted:
            item = by_place[nodeid, occurrence]
            _private.set_nodeid(item, final)
            chosen.append(item)
        self._session.items[:] = chosen
        settings = _bounds_config.read_bounds(self._config)
        for item in chosen:
            _bounds_config.attach_bounds(item, settings)
        self._prepare(table)

    def _prepare(self, table: SlotTable, items: Mapping[int, pytest.Item] | None = None) -> None:
        """Prepare for the first fork.

        Args:
            table: The output files of children, consumed.
            items: As for `InChild`.
        """
        self.found.clear()
        _private.redirect_terminal(self._config, self._terminal).close()
        self._quiet.end(self._config)
        if not self._plan.is_worker:
            _worker.be_no_worker(self._config)
        self._in_child = InChild(self._session, table, self._plan.output_limit, items)
        self._in_child.prepare()

    def spare(self, forks: int) -> None:
        """Let each further fork cost less."""
        assert self._in_child is not None  # noqa: S101 - `choose` was called, or there would be no fork
        self._in_child.spare(forks)

    def snapshot(self) -> None:
        """Set fixtures up, or tear them down, in a fork of this template."""
        assert self._in_child is not None  # noqa: S101 - `choose` was called, or there would be no fork
        self._in_child.snapshot()

    def run(self, channel: socket.socket) -> NoReturn:
        """Run one test, within the hook that runs tests: its wrappers belong around a test.

        Args:
            channel: To pytest's own process; consumed.
        """
        self._channel = channel
        self._config.hook.pytest_runtestloop(session=self._session)
        raise RuntimeError("another plugin has run the tests, in a template's child")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Run the one test of this child; never returns."""
        assert self._in_child is not None  # noqa: S101 - `choose` was called, or there would be no child
        assert self._channel is not None  # noqa: S101
        self._in_child.run(self._channel)


def collect(plan: Plan) -> CollectingSession:
    """Collect in this process, a template, and answer; called by code that pytest's own process sends.

    The input, and a file for the answer, were sent before.
    """
    standard_input, answer = forkcore.take_args()
    os.dup2(standard_input, 0)
    os.close(standard_input)
    sys.argv[:] = plan.argv
    with ending_with_parent():
        collecting = CollectingSession(plan)
        os.write(answer, encode(("collected", *collecting.collect())))
    os.close(answer)
    return collecting


def take_table() -> SlotTable:
    """Take the output files of children, which were sent before."""
    return SlotTable(forkcore.take_args())
