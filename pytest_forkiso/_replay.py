"""Brings what a child has sent to pytest's hooks, here, in pytest's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_forkiso import _private
from pytest_forkiso._failures import closing_report
from pytest_forkiso._interrupts import is_interrupt, raise_interrupt
from pytest_forkiso._reports import amend, share_texts, unpack_report, unpack_warning

if TYPE_CHECKING:
    import pytest

    from pytest_forkiso._events import Event
    from pytest_forkiso._run import ForkedRun
    from pytest_forkiso._summary import Statistics


class ChildError(Exception):
    """A plugin or pytest itself failed in a child, outside of what is a test's own failure.

    Shown as an internal error, as it is where tests run in pytest's own process. Cause and remedy: see the traceback.
    """


class Replay:
    """Replays the events of children, in the order in which they are given."""

    def __init__(self, session: pytest.Session, statistics: Statistics) -> None:
        self._session = session
        self._config = session.config
        self._junit = _private.junit_log(session.config)
        self._statistics = statistics

    def start(self, item: pytest.Item) -> None:
        """Say that a test begins."""
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)

    def finish(self, item: pytest.Item) -> None:
        """Say that a test has ended."""
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def report(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Report a phase."""
        item.ihook.pytest_runtest_logreport(report=report)

    def crash(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Report how a test's process has ended; no further phase will be reported."""
        self.report(item, report)
        if self._junit is not None and report.when != "teardown":
            self._junit.pytest_runtest_logreport(closing_report(report))
        self._config.hook.pytest_forkiso_test_crashed(item=item, report=report)

    def event(self, run: ForkedRun, event: Event) -> None:
        """Replay one event of a running test."""
        kind, *values = event
        item = run.item
        if item is None:
            return
        if kind == "report":
            ends_phase = values[0].get("$report_type") == "TestReport"  # and is no report of a subtest
            share_texts(values[0], item)
            report = unpack_report(self._config, values[0])
            _private.share_id(report, item)
            if values[1]:
                _private.set_failed_subtests(self._config, report, values[1])
            self.report(item, report)
            if ends_phase:
                run.note_report(report)
        elif kind == "amended":
            self._amend(run.last_report, *values)
        else:
            self.outside(item, event)

    def _amend(self, report: pytest.TestReport | None, data: dict[str, Any], names: list[str]) -> None:
        other = unpack_report(self._config, data)
        if report is not None:
            amend(report, other, names)

    def packed_report(self, item: pytest.Item, data: dict[str, Any]) -> None:
        """Report a phase, or a part of it, that comes from no child."""
        self.report(item, unpack_report(self._config, data))

    def outside(self, item: pytest.Item, event: Event) -> None:
        """Replay an event that is no report, from the test's own process or a template that has worked for it."""
        kind, *values = event
        if kind == "warning":
            self._warning(values[0])
        elif kind == "junit":
            if self._junit is not None:
                _private.junit_add(self._junit, *values)
        elif kind == "gathered":
            self._config.hook.pytest_forkiso_gathered(item=item, key=values[0], data=values[1])
        elif kind == "line":
            _private.go_on_in_line(self._config, values[0])
        elif kind == "leftovers":
            self._statistics.leftovers += values[0]

    def _warning(self, data: dict[str, Any]) -> None:
        self._config.hook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": unpack_warning(data),
                "when": data["when"],
                "nodeid": data["nodeid"],
                "location": data["location"],
            }
        )

    def last_word(self, event: Event) -> None:
        """Act on how a test ended the conversation.

        Raises:
            KeyboardInterrupt: The test was interrupted.
            pytest.exit.Exception: It called `pytest.exit`.
            pytest.UsageError: pytest cannot make sense of what it asks for.
            ChildError: Something outside of the test failed.
        """
        kind, *values = event
        if is_interrupt(event):
            raise_interrupt(event)
        if kind == "error":
            raise ChildError(f"a plugin failed in the process of a forked test:\n{values[0]}")
        if kind == "again":
            return
        stop, fail = values[0], values[1]
        self._session.shouldstop = stop or self._session.shouldstop
        self._session.shouldfail = fail or self._session.shouldfail
