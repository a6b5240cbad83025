"""Runs forked tests, up to N at a time: which one starts when, and from which template."""

from __future__ import annotations

import contextlib
import selectors
from typing import TYPE_CHECKING

import forkcore
from pytest_forkiso import _neighbours
from pytest_forkiso._child_source import AHEAD, ChildSource
from pytest_forkiso._config import item_timeout
from pytest_forkiso._control import ControlWatch
from pytest_forkiso._durations import Durations
from pytest_forkiso._file_templates import FileTemplates
from pytest_forkiso._groups import make_group
from pytest_forkiso._interrupts import is_interrupt, raise_interrupt
from pytest_forkiso._losses import Losses
from pytest_forkiso._order import StartOrder
from pytest_forkiso._processes import LONGEST_WAIT, Processes
from pytest_forkiso._replay import Replay
from pytest_forkiso._reporter import Reporter
from pytest_forkiso._sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from pytest_forkiso._config import Settings
    from pytest_forkiso._incoming import Incoming
    from pytest_forkiso._order import Turn
    from pytest_forkiso._run import ForkedRun
    from pytest_forkiso._summary import Statistics

UNREPORTED = 1000
"""Tests that are started or over while an earlier one still runs: their reports are kept in memory."""


class Scheduler:
    """Hands tests to children, and what they say to pytest."""

    def __init__(
        self, session: pytest.Session, settings: Settings, source: ChildSource, statistics: Statistics
    ) -> None:
        self._session = session
        self._settings = settings
        self._source = source
        self._statistics = statistics
        replay = Replay(session, statistics)
        self._index = {id(item): index for index, item in enumerate(session.items)}
        # It has no descriptor, which a template would have that is forked from here in the middle of the run.
        self._selector = selectors.PollSelector()
        self._watches: list[ControlWatch] = []
        self._watch_template()
        self._files = FileTemplates(session, settings, source, self._selector, statistics)
        self._sharing = Sharing(
            session, settings, source, self._selector, files=self._files, replay=replay, statistics=statistics
        )
        self._losses = Losses(source, self._sharing, self._files, statistics)
        self._left_out = 0  # tests that are not run, since too many templates were lost
        self._durations = Durations(session.config)
        # Tests of one node stay together where they share its fixtures.
        keep_order = self._sharing.is_on or _neighbours.keep_order(session.config)
        long_ones = {} if keep_order else self._durations.seconds
        self._waiting = StartOrder(settings.jobs, long_ones, self._durations.short)
        self._early = 0  # started, and not in the reporter's queue yet
        self._reporter = Reporter(
            session,
            statistics,
            replay=replay,
            sharing=self._sharing,
            durations=self._durations,
            waiting=self._waiting,
            climb=self._climb,
        )
        self._processes = Processes(
            session,
            settings,
            source,
            statistics,
            selector=self._selector,
            sharing=self._sharing,
            files=self._files,
            losses=self._losses,
            report_death=self._reporter.report_death,
        )

    def _watch_template(self) -> None:
        self._watches.append(ControlWatch(self._source.template, self._selector))

    # ------------------------------------------------------------------------------------------------------ the outside

    def run(self, items: Iterable[pytest.Item], following: pytest.Item | None = None) -> None:
        """Run tests and report them, in order.

        Args:
            items: The tests.
            following: The next one after them that may use fixtures which they share.

        Raises:
            pytest.Session.Failed: pytest wants no more tests, for ``-x`` and the like.
            pytest.Session.Interrupted: As Failed.
            KeyboardInterrupt: Here, or in a test; all children have ended.
            pytest.UsageError: Too many templates were lost, or there can be no other one.
        """
        self._reporter.is_beside = False
        self._reporter.following = following
        self._waiting.extend(items)
        with self._ending():
            self._start_more()
            while self._unreported() or len(self._waiting):
                self._step()
                self._start_more()

    def run_beside(self, items: Iterable[pytest.Item] = (), following: pytest.Item | None = None) -> None:
        """Start tests as far as there is room, and report those that are through; waits for none.

        To be called between tests that run in this process; `run` waits for all that were started.

        Args:
            items: To be added to those that wait.
            following: As for `run`.

        Raises:
            BaseException: As `run` does.
        """
        self._reporter.is_beside = True
        self._reporter.following = following or self._reporter.following
        self._waiting.extend(items)
        with self._ending():
            self._step(longest=0.0)
            self._start_more()

    def run_incoming(self, incoming: Incoming) -> None:
        """Run tests while they come in, and report them, until there is none for now.

        Args:
            incoming: Gives tests, and hears of each that is over.

        Raises:
            BaseException: As `run` does.
        """
        self._reporter.done = incoming.done
        self._selector.register(incoming, selectors.EVENT_READ, incoming.note_change)
        try:
            with self._ending():
                while self._take_incoming(incoming) or not incoming.is_exhausted:
                    self._step()
        finally:
            self._selector.unregister(incoming)

    def _take_incoming(self, incoming: Incoming) -> int:
        """Start what there is room for, and count the tests that are not over; the others stay where they come from."""
        self._waiting.extend(incoming.take(self._settings.jobs + AHEAD - self._processes.running - len(self._waiting)))
        self._reporter.following = incoming.following
        self._start_more()
        return self._unreported() + len(self._waiting)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """End all children when the run ends early."""
        try:
            yield
        except KeyboardInterrupt:
            self._forget_tests()
            for word in filter(is_interrupt, self._processes.interrupt()):
                raise_interrupt(word)  # the user wants to know where the test was
            raise
        except BaseException:
            self._forget_tests()
            self._processes.abandon()
            raise

    def finish(self) -> None:
        """Wait until all children that have had their last word are gone."""
        self._processes.finish()
        if self._settings.jobs > 1:
            self._durations.save()

    def close(self) -> None:
        """End whatever is still there."""
        self._forget_tests()
        self._processes.abandon()
        self._sharing.close()
        self._files.close()
        self._reporter.close()
        for watch in self._watches:
            watch.close()
        self._selector.close()

    # ---------------------------------------------------------------------------------------------------------- a test

    def _start_more(self) -> None:
        """Start as many tests as may run."""
        self._take_turns()
        while len(self._waiting) and self._has_room() and self._has_child():
            turn, is_next = self._waiting.choose()
            run = self._source.take(self._sharing.base(turn.item), self._files.root(turn.item))
            if is_next:
                self._reporter.enqueue(run, turn.item)
            else:
                turn.run = run
                self._early += 1
            self._start(run, turn)
            self._take_turns()
        self._end_at_limit()
        self._fork_ahead()

    def _end_at_limit(self) -> None:
        """Start no more tests where too many templates were lost, and end the run when all others are reported."""
        if not self._losses.are_too_many:
            return
        self._left_out += self._waiting.drop()
        if self._left_out and not (len(self._reporter) or self._early):
            raise self._losses.too_many(self._left_out)

    def _has_child(self) -> bool:
        """Tell whether a child stands ready for the next test; where that needs something else first, see to it."""
        while self._has_template():
            try:
                if not self._is_ready():
                    return False
                self._fork_for(next(self._waiting.upcoming()), 1)
            except forkcore.TemplateDied:
                self._processes.note_losses()
            else:
                return True
        return False

    def _has_template(self) -> bool:
        """Tell whether there is a template; where it is gone, make another one as soon as there is nothing of it."""
        self._processes.note_losses()
        if self._losses.are_too_many:
            return False
        if self._source.template.is_usable:
            return True
        if len(self._processes) or not self._sharing.is_dismantled(next(self._waiting.upcoming())):
            return False
        kind = self._source.source.choice.kind
        self._files.close_all()
        self._source.renew()
        self._watch_template()
        if self._source.source.choice.kind != kind:
            self._statistics.successors.append(self._source.source.choice)
        return True

    def _is_ready(self) -> bool:
        """Tell whether what the next test starts from is there; where it is not, see to it."""
        if not self._files.is_ready(self._known):
            return False
        if not self._sharing.is_on:
            return True
        if self._sharing.is_ready(self._waiting.upcoming):
            return True
        self._reporter.announce_set_up(next(self._waiting.upcoming()))
        return False

    def _fork_ahead(self) -> None:
        with contextlib.suppress(forkcore.TemplateDied):  # that is noted when the next test is to be started
            item = next(self._known(), None)
            if item is None or not self._source.template.is_usable or not self._files.is_ready(self._known):
                return
            if not self._sharing.is_on or (len(self._waiting) and self._sharing.has_all(item)):
                self._fork_for(item, AHEAD)
            self._source.spare()

    def _fork_for(self, item: pytest.Item, count: int) -> None:
        """Have children ready that a test can start from; does not wait for them."""
        self._source.fork_ahead(count, self._sharing.base(item), self._files.root(item))

    def _known(self) -> Iterator[pytest.Item]:
        """Give the tests that are not started, in their order, and the one after them, where that is told."""
        yield from self._waiting.upcoming()
        if self._reporter.following is not None:
            yield self._reporter.following

    def _has_room(self) -> bool:
        """Tell whether one more test may run; those that wait for their turn to be reported do not count."""
        if len(self._reporter) and _neighbours.awaits(next(self._waiting.upcoming())):
            return False
        has_job = self._processes.running < self._settings.jobs
        return has_job and self._unreported() < UNREPORTED and self._source.has_free_slot()

    def _unreported(self) -> int:
        """Count the tests that are started and not yet reported to the end."""
        return len(self._reporter) + self._early

    def _take_turns(self) -> None:
        """Put into the queue what was started before its turn, and now is next."""
        for run in self._waiting.started():
            self._early -= 1
            self._reporter.enqueue(run, run.test)

    def _start(self, run: ForkedRun, turn: Turn) -> None:
        item = turn.item
        run.group = make_group(self._source.groups, item)
        run.assign(item, turn.attempt, item_timeout(item, self._settings), self._settings.alive_timeout)
        self._sharing.started(run.base)
        self._processes.add(run)
        self._statistics.children += 1
        # From here on Ctrl-C may meet a test that runs: the process is known to be there by now.
        run.order(self._index[id(item)], shares=self._sharing.shares(item))

    def _step(self, longest: float = LONGEST_WAIT) -> None:
        """Wait for something to happen, for some seconds at most, and act on it."""
        self._processes.wait(longest)
        self._processes.reap()
        self._reporter.report()

    def _climb(self, run: ForkedRun) -> bool:
        """Let tests come from another source, where a child shows no life; tell whether there is one."""
        death = run.death()
        if self._files.refuse(run.origin, death.summary()):
            return True
        if run.origin is self._source.template:
            if not self._source.climb(death.summary()):
                return False
            self._watch_template()
        kind = self._source.source.choice.kind
        self._statistics.climbs.append((run.test.nodeid, kind, death.summary(), death.details()))
        return True

    def _forget_tests(self) -> None:
        """Report nothing more, and start no test."""
        self._waiting.clear()
        self._reporter.clear()
        self._early = 0
