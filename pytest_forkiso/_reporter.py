"""Reports forked tests, one after another, in the order in which they were collected."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pytest_forkiso import _failures, _leftovers, _reruns
from pytest_forkiso._interrupts import is_interrupt
from pytest_forkiso._reports import is_teardown

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_forkiso._durations import Durations
    from pytest_forkiso._order import StartOrder
    from pytest_forkiso._replay import Replay
    from pytest_forkiso._reruns import Attempt
    from pytest_forkiso._run import ForkedRun
    from pytest_forkiso._sharing import Sharing
    from pytest_forkiso._summary import Statistics


class Reporter:
    """The tests that are started and not yet reported to the end, in order.

    Attributes:
        is_beside: pytest's own process runs tests of its own meanwhile.
        following: The next test after those that wait, another time.
        done: Told of each test that is over, and of which all is reported.
    """

    def __init__(
        self,
        session: pytest.Session,
        statistics: Statistics,
        *,
        replay: Replay,
        sharing: Sharing,
        durations: Durations,
        waiting: StartOrder,
        climb: Callable[[ForkedRun], bool],
    ) -> None:
        """Begin with no test.

        Args:
            session: Of the tests.
            statistics: Of the run.
            replay: What calls pytest's hooks.
            sharing: Of fixtures.
            durations: Told of each test.
            waiting: Tests that are not started; those to be tried again are put there.
            climb: Lets tests come from another source, since this child shows no life; tells whether there is one.
        """
        self.is_beside = False
        self.following: pytest.Item | None = None
        self.done: Callable[[pytest.Item], None] = lambda _: None
        self._session = session
        self._statistics = statistics
        self._replay = replay
        self._sharing = sharing
        self._durations = durations
        self._waiting = waiting
        self._climb = climb
        self._queue: deque[ForkedRun] = deque()
        self._announced: ForkedRun | pytest.Item | None = None  # pytest was told that this test begins
        self._last: pytest.Item | None = None  # reported

    def __len__(self) -> int:
        """Count the tests."""
        return len(self._queue)

    def clear(self) -> None:
        """Forget all tests: nothing more is reported of them."""
        self._queue.clear()

    def close(self) -> None:
        """Report what shared fixtures have shown at their end, with the last test that was reported."""
        if self._last is not None:
            self._sharing.endings.report(self._last, [])

    def announce_set_up(self, item: pytest.Item) -> None:
        """Say that a test begins, whose shared fixtures are about to be set up, if it is its turn."""
        if not self._queue and not self.is_beside and self._announced is not item:
            self._announced = item
            self._replay.start(item)

    def report(self) -> None:
        """Report what is there, up to the first test that is not through."""
        while self._queue and self._report_first():
            pass

    def enqueue(self, run: ForkedRun, item: pytest.Item) -> None:
        """Add a test whose turn comes after all that are there; it was started, or is about to be."""
        if not self._queue and not self.is_beside:
            self._announce(run, item)  # before the child writes anything about it
        self._queue.append(run)

    def _announce(self, run: ForkedRun, item: pytest.Item) -> None:
        if self._announced is not run and self._announced is not item:
            self._replay.start(item)
        self._announced = run

    def _report_first(self) -> bool:
        """Report what is there of the test whose turn it is; tell whether it is through."""
        run = self._queue[0]
        item = run.test
        if self.is_beside and not _is_through(run):
            return False  # pytest is told of one test after another, and its own is the next
        self._announce(run, item)
        self._replay_events(run)
        if not _is_through(run):
            return False
        if run.has_died:
            self.report_death(run)
        if self._sharing.is_on and not self._settle(run):
            return False
        run.is_reported = True
        self._last = item
        self._queue.popleft()
        if not _breaks_off(run):
            self._replay.finish(item)
        self._go_on(run)
        if not run.is_repeated:
            self.done(item)
        if self._queue and not self.is_beside:
            self._announce(self._queue[0], self._queue[0].test)
        return True

    def _replay_events(self, run: ForkedRun) -> None:
        while run.events:
            event = run.events.pop(0)
            if event[0] == "shown":
                run.answer(event)  # the child goes on when its report is on the terminal
            elif run.base is not None and (is_teardown(event) or run.held):
                run.held.append(event)
            else:
                self._replay.event(run, event)

    def _settle(self, run: ForkedRun) -> bool:
        """Tell whether all is torn down that ends with this test; what is to be said of it is reported then."""
        base = None if run.is_settling else run.base
        run.is_settling = True
        if not self._sharing.is_through(run.test, base, self._following_of(run)):
            return False
        self._sharing.endings.report(run.test, run.held)
        for event in run.held:
            self._replay.event(run, event)
        return True

    def _following_of(self, run: ForkedRun) -> pytest.Item | None:
        if self._session.shouldfail or self._session.shouldstop:
            return None
        if run.last_word is not None and run.last_word[0] == "again":
            return run.test
        return next(self._waiting.upcoming(), self.following)

    def report_death(self, run: ForkedRun) -> None:
        """Report a process that did not end as it should, once; or have its test tried again."""
        if run.is_death_reported:
            return
        run.is_death_reported = True
        item = run.test
        if run.is_unbegun or (run.is_stillborn and self._climb(run)):
            self._repeat(run, run.attempt)
            return
        report = _failures.make_report(item, run.death().evidence())
        if run.leftovers:
            report.sections.append((_leftovers.SECTION, _leftovers.describe(run.leftovers)))
        if run.timed_out:
            self._statistics.timeouts += 1
        else:
            self._statistics.crashes += 1
            again = _reruns.after_crash(item, run.attempt) if report.outcome == "failed" else None
            if again is not None:
                report.outcome = "rerun"  # type: ignore[assignment] # what pytest-rerunfailures calls it
                report.rerun = run.attempt.number  # type: ignore[attr-defined]
                self._repeat(run, again)
                if _reruns.reports_attempts(item):
                    self._replay.report(item, report)
                return
        self._replay.crash(item, report)

    def _repeat(self, run: ForkedRun, attempt: Attempt) -> None:
        run.is_repeated = True
        self._waiting.again(run.test, attempt)

    def _go_on(self, run: ForkedRun) -> None:
        """Act on the last word, and on what pytest wants now."""
        if run.last_word is not None and not run.timed_out:
            self._statistics.fork_seconds.append(max(0.0, run.last_word[-1] - run.ordered))
            self._durations.note(run.test.nodeid, run.duration)
            self._replay.last_word(run.last_word)
            if run.last_word[0] == "again":
                self._repeat(run, run.attempt.next(run.last_word[1]))
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)


def _breaks_off(run: ForkedRun) -> bool:
    """Tell whether the run ends with this test, and in the middle of it: pytest says of such a one that it began."""
    word = None if run.timed_out else run.last_word
    return word is not None and (word[0] == "error" or is_interrupt(word))


def _is_through(run: ForkedRun) -> bool:
    """Tell whether all is known that is to be reported of a test, in time."""
    return run.is_over and (run.is_reaped or not run.was_cut_off)
