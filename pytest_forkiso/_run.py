"""One child, seen from pytest's own process: from its fork to its exit status."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

import forkcore
from pytest_forkiso import _leftovers, _neighbours
from pytest_forkiso._conversation import Conversation
from pytest_forkiso._deadline import Deadline
from pytest_forkiso._death import Death, Limits
from pytest_forkiso._ending_steps import EndingSteps
from pytest_forkiso._profiles import BOUNDS, explain
from pytest_forkiso._reports import plain_location
from pytest_forkiso._reruns import FIRST
from pytest_forkiso._slots import read_output, read_text

if TYPE_CHECKING:
    import pytest

    from forkcore.groups import ControlGroup
    from pytest_forkiso._events import Event
    from pytest_forkiso._leftovers import Leftover
    from pytest_forkiso._losses import Loss
    from pytest_forkiso._reports import Sections
    from pytest_forkiso._reruns import Attempt
    from pytest_forkiso._slots import Slot, SlotTable
    from pytest_forkiso._snapshot import Snapshot

LAST_WORDS = frozenset(("end", "again", "exit", "keyboard", "usage", "error"))
EXIT_GRACE = 5.0
"""Seconds that a child has to end after its last word, and its template to tell of its end."""


class Remains(NamedTuple):
    """What a child has left in its files.

    Attributes:
        phase: That it began last.
        trace: Written by faulthandler.
        output: Captured in that phase, by the names of what was captured.
    """

    phase: str
    trace: str
    output: Sections


class ForkedRun:
    """A child that waits for its test, runs it, or is about to end.

    Attributes:
        item: The test; None while the child waits for one.
        events: Received and not yet taken by the scheduler.
        last_word: The event that ends the conversation; None until it has come.
        timed_out: The deadline has passed.
        last_report: Of the phase reported last.
        is_reported: All that it said has come to pytest's hooks.
        is_reaped: The process is gone, and what it wrote is collected.
        leftovers: Processes that were found after its death.
        told_leftovers: How many it has found itself.
        helpers: Process ids of those that were found as well, and that end by themselves when it has ended.
        measured: Bytes of memory that were its own alone at its end, and page faults; None for what it did not measure.
        ordered: When it was told its test, on the monotonic clock.
        duration: Seconds from then to its last word.
        job: Which of the tests that run at a time, from 0.
        is_interrupted: The run ends before the test did.
        base: The snapshot that it was forked from; None for the template itself.
        held: The report of its teardown, until what ends with it is torn down.
        is_settling: Its snapshots have been told that it is over.
        is_stillborn: It has not begun its test within the time that any child needs for that, and is ended.
        origin: The template at the top, that it comes from.
        is_repeated: Its test runs once more.
        is_death_reported: Its end without a last word has come to pytest's hooks.
        is_lost: Its template is gone, and its exit status with it; its process is ended.
        loss: What is known of that.
        group: The control group of the test; None where it has none.
        is_unbegun: It is lost, and had not begun its test.
    """

    def __init__(
        self,
        child: forkcore.Child,
        slot: Slot,
        table: SlotTable,
        origin: forkcore.Template,
        base: Snapshot | None = None,
    ) -> None:
        self.child = child
        self.origin = origin
        self.base = base
        self.held: list[Event] = []
        self.is_settling = False
        self.is_repeated = False
        self.is_death_reported = False
        self.is_stillborn = False
        self.is_lost = self.is_unbegun = False
        self.loss: Loss | None = None
        self.group: ControlGroup | None = None
        self.slot = slot
        self._table = table
        self.attempt = FIRST
        self.item: pytest.Item | None = None
        self.events: list[Event] = []
        self.last_word: Event | None = None
        self.timed_out = False
        self.last_report: pytest.TestReport | None = None
        self.is_reported = False
        self.is_reaped = False
        self.leftovers: list[Leftover] = []
        self.job = 0
        self.is_interrupted = False
        self.told_leftovers = 0
        self.helpers: list[int] = []
        self.measured: tuple[int | None, int | None] = (None, None)
        self._remains = Remains("setup", "", [])
        self._conversation = Conversation(child.channel)
        self._deadline = Deadline()
        self._steps = EndingSteps(child, slot.faults, self._deadline)
        self._phase_began = self._duration = self._stop = 0.0
        self._noted_at_deadline: str | None = None
        self._bounds = ""
        self.ordered = 0.0
        self.duration = 0.0

    # ---------------------------------------------------------------------------------------------------- conversation

    def assign(self, item: pytest.Item, attempt: Attempt, timeout: float | None, alive_timeout: float) -> None:
        """Take note of the test that the child is for.

        Args:
            item: The test.
            attempt: What is known of earlier ones.
            timeout: Seconds that it has, from now on.
            alive_timeout: Seconds after which it must have begun.
        """
        self.attempt = attempt
        self.item = item
        self.ordered = self._phase_began = self._deadline.begin(timeout, alive_timeout)

    def order(self, index: int, *, shares: bool = False) -> None:
        """Tell the child to run the test that was assigned.

        Args:
            index: Its place among the session's items when the template was forked.
            shares: Its fixtures may be set up already.
        """
        item = self.test
        self._table.note_order(self.slot)
        place, told = plain_location(item), _neighbours.tell(item)
        number, group = self.slot.number, "" if self.group is None else self.group.path
        self.answer(("run", index, item.nodeid, number, *self.attempt, self.template.pid, place, shares, told, group))

    def answer(self, event: Event) -> None:
        """Send an event to the child."""
        self._conversation.answer(event)

    @property
    def is_closed(self) -> bool:
        """Nothing more will come over the channel."""
        return self._conversation.is_closed

    def receive(self) -> None:
        """Take what the child has sent by now; never waits."""
        was_fine, was_closed = self._conversation.garbage is None, self.is_closed
        self._take(self._conversation.receive())
        if was_fine and self._conversation.garbage is not None:
            self.kill()
        if self.is_closed and not was_closed:
            self._deadline.expect_status(EXIT_GRACE)

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if self._noted_at_deadline is not None:
                break  # too late: a stopped test goes on for a moment when it is asked for its traceback
            if event[0] in LAST_WORDS:
                self.last_word = event
                self.duration = time.monotonic() - self.ordered
                self._deadline.set(EXIT_GRACE)
            elif event[0] == "debugger":
                if event[1]:
                    self._deadline.pause()
                else:
                    self._deadline.resume()
            elif event[0] == "measured":
                self.measured = event[1], event[2]
            elif event[0] == "deadline":
                self._deadline.share(*event[1:])
            else:
                if event[0] == "report":
                    self._phase_began = time.monotonic()
                elif event[0] == "leftovers":
                    self.told_leftovers += event[1]
                    self.helpers += event[2]
                self.events.append(event)

    @property
    def test(self) -> pytest.Item:
        """The test that the child was told to run."""
        if self.item is None:
            raise RuntimeError("this child waits for its test")
        return self.item

    def note_report(self, report: pytest.TestReport) -> None:
        """Remember the report of a phase: the next one has begun."""
        self.last_report = report

    # --------------------------------------------------------------------------------------------------------- its end

    @property
    def template(self) -> forkcore.Template:
        """The template that it was forked from."""
        return self.origin if self.base is None else self.base.template

    @property
    def pid(self) -> int | None:
        """The process id; None where the template was gone before it had told it. Waits for the template."""
        try:
            return self.child.pid
        except forkcore.TemplateDied:
            return None

    @property
    def status(self) -> forkcore.ExitStatus | None:
        """The exit status, once it is known."""
        return forkcore.ExitStatus(None) if self.is_lost else self.child.poll()

    @property
    def has_begun(self) -> bool:
        """The test has begun; to be asked until what is left in its files is collected."""
        return self._table.has_begun(self.slot)

    def has_ended(self) -> bool:
        """Tell whether the process is gone; where its template is, it is ended.

        Raises:
            forkcore.ForkcoreError: The child could not be forked.
        """
        if self.is_lost:
            return True
        try:
            return self.child.poll() is not None
        except forkcore.TemplateDied:
            self.is_lost = True
            if self.pid is not None:
                _leftovers.end_group(self.pid)
            return True

    @property
    def is_over(self) -> bool:
        """Nothing more will come of it."""
        return self.is_reaped or (self.last_word is not None and not self.timed_out)

    @property
    def is_blind(self) -> bool:
        """Its sandbox hides all processes from it: it cannot end those that its test has left."""
        bounds = self.test.stash.get(BOUNDS, None)
        return bounds is not None and bounds.hides_processes

    @property
    def was_cut_off(self) -> bool:
        """It did not say its last word, or not in time."""
        return self.last_word is None or self.timed_out

    @property
    def has_died(self) -> bool:
        """The process is gone, and did not end as it should."""
        return self.is_reaped and (self.was_cut_off or not (self.is_lost or self.child.returncode == 0))

    def collect(self, output_limit: int) -> None:
        """Take from its files what is left of a child that has ended; they are free for another one then."""
        self.is_reaped = True
        self.is_unbegun = self.is_lost and not self.has_begun
        if self.has_died:
            self._remains = Remains(
                phase=self._table.phase(self.slot),
                trace=read_text(self._faults(), output_limit),
                output=read_output(self.slot, output_limit),
            )
            self._bounds = explain(self.item, self.status, self.group)
            self._duration = time.monotonic() - self._phase_began
            self._stop = time.time()

    def _faults(self) -> int:
        """Give the file with the tracebacks: before it has begun its test, a child writes to that of its template."""
        return self._table.slots[0].faults if self.is_stillborn else self.slot.faults

    def seconds_left(self) -> float | None:
        """Give the seconds until `overdue` has to be called; None for never."""
        if self.has_begun:
            self._deadline.note_life()
        return self._deadline.seconds_left()

    def overdue(self) -> None:
        """Take the next step against a child that has passed its deadline."""
        if self.seconds_left() != 0.0 or self.has_ended():
            return
        if self._deadline.lacks_status():
            self._deadline.expect_status(EXIT_GRACE)  # its template has none: it runs on without its channel
            return
        with contextlib.suppress(forkcore.TemplateDied):
            self._take_step()

    def grant(self) -> None:
        """Give it the time to begin once more: it was its template that was not there."""
        self._deadline.renew_life()

    def _take_step(self) -> None:
        if not self.timed_out:
            self.receive()
            self.timed_out = True
            self.is_stillborn = self._deadline.lacks_life()
            self._deadline.note_life()
            self._noted_at_deadline = self._table.phase(self.slot)
            self._steps.begin_timeout()
        self._steps.take_next()

    def interrupt(self, grace: float) -> None:
        """Let the test see what Ctrl-C does, and end it when it does not end by itself within ``grace`` seconds."""
        self.timed_out = self.is_interrupted = True
        with contextlib.suppress(forkcore.TemplateDied):
            self._steps.begin_interrupt(grace)

    def kill(self) -> None:
        """End the child and its process group at once."""
        with contextlib.suppress(forkcore.TemplateDied):
            self._steps.kill()

    def end(self) -> None:
        """Wait for the end of a child that is through with its test, and end any other at once."""
        if self.is_reported and not self.was_cut_off:
            self._wait_for_its_end(EXIT_GRACE)
        if not self.has_ended():
            self.is_interrupted = not self.is_reported
            self.kill()
            self._wait_for_its_end(None)

    def _wait_for_its_end(self, seconds: float | None) -> None:
        with contextlib.suppress(forkcore.TimeoutExpired, forkcore.TemplateDied):
            self.child.wait(seconds)

    def death(self) -> Death:
        """Give what is known of a child that has died, or is to be reported as if it had."""
        remains, item = self._remains, self.item
        return Death(
            nodeid="" if item is None else item.nodeid,
            noted=self._noted_at_deadline or remains.phase,
            last_report=self.last_report,
            status=self.status,
            limits=self._limits(),
            garbage=self._conversation.garbage,
            loss=self.loss,
            bounds=self._bounds,
            trace=remains.trace,
            shows_all=item is not None and bool(item.config.getoption("fulltrace", default=False)),
            output=remains.output,
            duration=self._duration,
            stop=self._stop,
        )

    def _limits(self) -> Limits:
        return Limits(
            timeout=self._deadline.timeout,
            alive_timeout=self._deadline.alive_timeout,
            has_passed=self.timed_out,
            is_stillborn=self.is_stillborn,
            words=self._deadline.words,
            silence=self._steps.silence,
        )

    def close(self) -> None:
        """Close the channel: a child that waits for a test ends. What is left in the group of the test ends too."""
        if self.group is not None:
            self.group.close()
        self.child.channel.close()
        self.child.detach()
