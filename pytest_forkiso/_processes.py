"""The processes of tests that are started: what they say, when they are overdue, and how they end."""

from __future__ import annotations

import functools
import itertools
import selectors
import time
from typing import TYPE_CHECKING

import forkcore
from pytest_forkiso import _leftovers, _private
from pytest_forkiso._record import ChildFigures

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_forkiso._child_source import ChildSource
    from pytest_forkiso._config import Settings
    from pytest_forkiso._events import Event
    from pytest_forkiso._file_templates import FileTemplates
    from pytest_forkiso._losses import Losses
    from pytest_forkiso._run import ForkedRun
    from pytest_forkiso._sharing import Sharing
    from pytest_forkiso._summary import Statistics

LONGEST_WAIT = 3600.0
"""Seconds after which a wait for a far deadline begins again; the system knows no waits of any length."""
INTERRUPT_GRACE = 2.0
"""Seconds that tests have to tear down after Ctrl-C."""


class Processes:
    """Those that are started and not yet reaped."""

    def __init__(
        self,
        session: pytest.Session,
        settings: Settings,
        source: ChildSource,
        statistics: Statistics,
        *,
        selector: selectors.BaseSelector,
        sharing: Sharing,
        files: FileTemplates,
        losses: Losses,
        report_death: Callable[[ForkedRun], None],
    ) -> None:
        """Begin with none.

        Args:
            session: Of the tests.
            settings: Of the run.
            source: Takes back their files.
            statistics: Of the run.
            selector: Waited at; others have registered there as well.
            sharing: Of fixtures; has deadlines of its own.
            files: Templates of files; as for sharing.
            losses: Finds templates that are gone.
            report_death: Called with each that was reported to the end and has then not ended as it should.
        """
        self._config = session.config
        self._settings = settings
        self._source = source
        self._statistics = statistics
        self._selector = selector
        self._sharing = sharing
        self._files = files
        self._losses = losses
        self._report_death = report_death
        self._alive: list[ForkedRun] = []

    def __len__(self) -> int:
        """Count them."""
        return len(self._alive)

    @property
    def running(self) -> int:
        """How many are in the middle of their test."""
        return sum(not run.is_over for run in self._alive)

    def add(self, run: ForkedRun) -> None:
        """Add one that has been told its test."""
        taken = {other.job for other in self._alive if not other.is_over}
        run.job = next(job for job in itertools.count() if job not in taken)
        self._selector.register(run.child.channel, selectors.EVENT_READ, functools.partial(self._hear, run))
        self._alive.append(run)

    def note_losses(self) -> None:
        """Look for templates that are gone."""
        self._losses.note(self._alive)

    def wait(self, longest: float = LONGEST_WAIT) -> None:
        """Wait for something to happen, for some seconds at most, and take in what it is."""
        timed: list[ForkedRun | Sharing | FileTemplates] = [*self._alive, self._sharing, self._files]
        deadlines = [left for each in timed if (left := each.seconds_left()) is not None]
        if any(run.child.returncode is not None for run in self._alive):
            deadlines.append(0.0)  # its end was heard of on the way to something else: nothing more would wake us
        for key, _ in self._selector.select(min([*deadlines, longest])):
            key.data()
        for each in timed:
            if each.seconds_left() == 0.0:
                if self._losses.holds_up(each.template):
                    each.grant()
                else:
                    each.overdue()

    def _hear(self, run: ForkedRun) -> None:
        run.receive()
        for event in [event for event in run.events if event[0] == "base_temp"]:
            run.events.remove(event)
            run.answer(("base_temp", _private.base_temp(self._config)))
        if run.is_closed:
            self._unregister(run)

    def _unregister(self, run: ForkedRun) -> None:
        if run.child.channel.fileno() in self._selector.get_map():
            self._selector.unregister(run.child.channel)

    # ---------------------------------------------------------------------------------------------------------- the end

    def finish(self) -> None:
        """Wait until all that have had their last word are gone."""
        while self._alive:
            self.wait()
            self.reap()

    def reap(self) -> None:
        """Take leave of those that have ended."""
        ended = [run for run in self._alive if run.has_ended()]
        self.note_losses()
        for run in ended:
            self._hear(run)  # what it sent just before its end
            self._alive.remove(run)
            self._unregister(run)
            run.collect(self._settings.output_limit)
            if run.has_died or run.is_blind:
                self._end_orphans(run)
            if run.has_died and run.is_reported:
                self._report_death(run)
            self._tell_end(run)
            self._give_back(run)
        self._files.sweep([*(run.origin for run in self._alive), *self._sharing.roots()])

    def _end_orphans(self, run: ForkedRun) -> None:
        others = {pid for other in self._alive if other is not run and (pid := other.pid) is not None}
        templates = [run.origin, *(link.template for link in (run.base.path if run.base else ()))]
        adopters = [template for template in templates if template.is_usable]
        if not adopters:
            return
        known = others | self._source.idle_pids() | self._sharing.pids() | self._files.pids()
        found = _leftovers.end_orphans(adopters[-1].pid, known)
        self._statistics.leftovers += len(found.ended)
        run.leftovers = found.ended
        run.helpers += found.helpers

    def _give_back(self, run: ForkedRun) -> None:
        if run.helpers:
            _leftovers.see_off(run.helpers)  # they write to its output files, which are another test's from here on
        self._source.give_back(run)
        self._sharing.reaped(run.base)

    def _tell_end(self, run: ForkedRun) -> None:
        status, pid = run.status, run.pid
        if status is None or pid is None:
            return  # it never was, as far as is known
        self._config.hook.pytest_forkiso_child_ended(
            config=self._config, nodeid=run.test.nodeid, status=status, figures=_figures(run, pid)
        )

    def interrupt(self) -> list[Event]:
        """Ctrl-C: let the running tests tear down, for a moment; then end them.

        Returns:
            Their last words, as far as they had some, in the order of their start.
        """
        interrupted = [run for run in self._alive if not run.is_over]
        try:
            for run in self._alive:
                run.interrupt(INTERRUPT_GRACE)
            self._sharing.interrupt(INTERRUPT_GRACE)
            while self._alive:
                self.wait()
                self._alive = [run for run in self._alive if not self._let_go(run)]
        except (KeyboardInterrupt, forkcore.ForkcoreError):
            self.abandon()
        return [run.last_word for run in interrupted if run.last_word is not None]

    def _let_go(self, run: ForkedRun) -> bool:
        if not run.has_ended():
            return False
        self._hear(run)
        self._unregister(run)
        self._end_orphans(run)
        self._give_back(run)
        self._tell_end(run)
        return True

    def abandon(self) -> None:
        """End all children at once; nothing more is reported."""
        runs, ended = list(self._alive), []
        for template in {id(run.template): run.template for run in self._alive}.values():
            self._losses.holds_up(template)  # nobody would hear of an end
        for run in self._alive:
            self._unregister(run)
            try:
                run.end()
                ended.append(run)
            except forkcore.ForkcoreError:
                pass  # it never was
        self._alive.clear()
        for run in ended:
            self._end_orphans(run)
        for run in runs:
            self._give_back(run)
        for run in ended:
            self._tell_end(run)


def _figures(run: ForkedRun, pid: int) -> ChildFigures:
    now, real_now = time.monotonic(), time.time()
    private_bytes, page_faults = run.measured
    return ChildFigures(
        attempt=run.attempt.number,
        job=run.job,
        pid=pid,
        ordered=real_now - (now - run.ordered),
        ended=real_now,
        end=_kind_of_end(run),
        leftovers=run.told_leftovers + len(run.leftovers),
        private_bytes=private_bytes,
        page_faults=page_faults,
    )


def _kind_of_end(run: ForkedRun) -> str:
    if run.is_interrupted:
        return "interrupted"
    if run.timed_out:
        return "timeout"
    return "crash" if run.has_died else "exit"
