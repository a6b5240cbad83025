"""A template in which fixtures are set up, seen from pytest's own process; and the work that is done in it."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import forkcore
from pytest_forkiso import _failures
from pytest_forkiso._control import ControlWatch
from pytest_forkiso._conversation import Conversation
from pytest_forkiso._deadline import Deadline
from pytest_forkiso._inchild import DUMP_SIGNAL
from pytest_forkiso._slots import read_output, read_text

if TYPE_CHECKING:
    import selectors
    from collections.abc import Iterable, Iterator, Sequence

    import pytest

    from pytest_forkiso._events import Event
    from pytest_forkiso._plan import Fixture
    from pytest_forkiso._private_fixtures import Node
    from pytest_forkiso._slots import Slot

DUMP_GRACE = 0.5
"""Seconds that a template has to write its tracebacks, before it is ended."""
INTERRUPT_GRACE = 0.5
"""Seconds in which work ends after a SIGINT that its template may have got with us, before it is sent one."""
CLOSING_TIME = 60.0
"""Seconds that all teardowns together have where the run was broken off."""
DEATH_GRACE = 5.0
"""Seconds after which the exit status of a template that is gone is not waited for any longer."""


class Snapshot:
    """A link of the chain: owns its template.

    Attributes:
        template: Forked from that of the link above.
        origin: That template.
        path: The links that it is forked from, the outermost first, and itself.
        root: The template below all of them, which has set nothing up.
        item: The test that it was made for.
        fixtures: That are set up in it.
        failed: Those of them whose failure is kept, by the identity of their definitions.
        users: Tests that were started from it or from a link below, and are not reported yet.
        children: Tests' processes that were forked from it, and are not reaped yet.
    """

    def __init__(
        self,
        template: forkcore.Template,
        origin: forkcore.Template,
        above: Sequence[Snapshot],
        item: pytest.Item,
        fixtures: Iterable[Fixture],
    ) -> None:
        self.template = template
        self.origin = origin
        self.path = (*above, self)
        self.root: forkcore.Template = self.path[0].origin
        self.item = item
        self.fixtures = tuple(fixtures)
        self.failed: set[int] = set()
        self.users = 0
        self.children = 0

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Have the template's events processed as they come.

        Raises:
            forkcore.TemplateDied: The one that it is to be forked from is gone.
        """
        self._watch = ControlWatch(self.template, selector)

    def close(self) -> None:
        """Close the template."""
        self._watch.close()
        self.template.close()

    def names(self) -> str:
        """Give the names of its fixtures."""
        return ", ".join(repr(fixture.name) for fixture in self.fixtures)

    @property
    def node(self) -> Node:
        """The node that its fixtures live as long as."""
        return self.fixtures[0].node

    @property
    def scope(self) -> str:
        """The scope of its fixtures."""
        return self.fixtures[0].scope


class Work:
    """Fixtures of one snapshot are set up, or torn down.

    Attributes:
        snapshot: In whose template it is done.
        item: The test that it is done for.
        kind: "set_up" or "tear_down".
        events: Received, but for those that ask for an answer.
        last_word: How it ended; None while it is under way, or where the template died of it.
        current: The fixture whose set-up was begun last; None before the first of them, while their node is set up.
        is_over: Nothing more will come.
    """

    def __init__(self, snapshot: Snapshot, item: pytest.Item, kind: str, slot: Slot, timeout: float | None) -> None:
        self.snapshot = snapshot
        self.item = item
        self.kind = kind
        self.events: list[Event] = []
        self.last_word: Event | None = None
        self.current: Fixture | None = None
        self.is_over = False
        self._slot = slot
        self._timeout = timeout
        self._deadline = Deadline()
        self._is_stillborn = False
        self._timed_out = False
        self._escalation: Iterator[tuple[int, float | None]] = iter(
            ((DUMP_SIGNAL, DUMP_GRACE), (signal.SIGKILL, None)),
        )
        self.channel, self._theirs = socket.socketpair()
        self._conversation = Conversation(self.channel)

    def begin(self, position: int, alive_timeout: float, *values: object) -> None:
        """Tell the template what to do.

        Args:
            position: Of the test among the session's items.
            alive_timeout: Seconds after which a template must have begun.
            values: As `pytest_forkiso._shared` expects them.

        Raises:
            forkcore.TemplateDied: The template that it is forked from is gone.
        """
        self._slot.clear()
        with self._theirs:
            self.snapshot.template.send_fd(self._theirs).eval("snapshot()")
        self._conversation.answer((self.kind, position, self._slot.number, *values))
        self._deadline.begin(self._timeout, alive_timeout)

    def answer(self, event: Event) -> None:
        """Send an event to the template."""
        self._conversation.answer(event)

    def hear(self) -> list[Event]:
        """Take in what has come, and give the events that ask for an answer."""
        questions = []
        for event in self._conversation.receive():
            if event[0] == "alive":
                self._deadline.note_life()
            elif event[0] == "fixture":
                self.current = self.snapshot.fixtures[event[1]]
            elif event[0] in ("base_temp", "shown"):
                questions.append(event)
            elif event[0] == "debugger":
                (self._deadline.pause if event[1] else self._deadline.resume)()
            elif event[0] in ("made", "ended", "exit", "keyboard", "usage", "error"):
                self.last_word = event
                self.is_over = True
            else:
                self.events.append(event)
        self.is_over = self.is_over or self._conversation.is_closed
        return questions

    def seconds_left(self) -> float | None:
        """Give the seconds until `overdue` has to be called; None for never."""
        return None if self.is_over else self._deadline.seconds_left()

    def end_by(self, deadline: float, seconds: float) -> None:
        """Set a limit, unless there is an earlier one.

        Args:
            deadline: On the monotonic clock.
            seconds: How much time that was in all, for the user.
        """
        left, remaining = self._deadline.seconds_left(), max(0.0, deadline - time.monotonic())
        if left is None or remaining < left:
            self._deadline.set(remaining)
            self._timeout = seconds

    def grant(self) -> None:
        """Give it the time to begin once more: it was its template that was not there."""
        self._deadline.renew_life()

    def overdue(self) -> None:
        """Take the next step against work that takes too long."""
        last_step: tuple[int, float | None] = (signal.SIGKILL, None)
        number, grace = next(self._escalation, last_step)
        self._timed_out = self._timed_out or number == DUMP_SIGNAL
        self._is_stillborn = self._is_stillborn or self._deadline.lacks_life()
        self._deadline.note_life()
        self._deadline.set(grace)
        self.signal(number)
        if number == DUMP_SIGNAL:
            self.signal(signal.SIGCONT)  # a stopped process writes none

    def interrupt(self, grace: float) -> None:
        """Let it end as Ctrl-C ends a set-up, which it may have got with us; at last, end it.

        Args:
            grace: Seconds that it has from the signal on.
        """
        self._escalation = iter(((signal.SIGINT, grace), (signal.SIGKILL, None)))
        self._deadline.set(INTERRUPT_GRACE)

    def signal(self, number: int) -> None:
        """Send a signal to the template, where it is alive."""
        if self._conversation.is_closed:
            return
        try:
            os.kill(self.snapshot.template.pid, number)
        except (ProcessLookupError, forkcore.ForkcoreError):
            return  # it has just ended, or never was

    def describe_death(self, output_limit: int) -> str:
        """Say what became of a template that did not say its last word; waits for its exit status."""
        where = self._where()
        if self._is_stillborn:
            summary = f"Timeout: {where}: its process was not alive {self._deadline.alive_timeout:g} s after its fork"
        elif self._timed_out:
            summary = f"Timeout: {where} was ended, since it took longer than {self._timeout:g} s"
        else:
            summary = f"Crash in {where}: {self._ending()}"
        trace = _failures.users_frames(read_text(self._slot.faults, output_limit)).rstrip()
        return f"{summary}\n{trace}" if trace else summary

    def _where(self) -> str:
        if self.kind == "tear_down":
            return f"teardown of the fixtures {self.snapshot.names()}"
        if self.current is None:
            return f"set-up of {self.snapshot.node.nodeid or 'the session'!r}, before any fixture"
        return f"set-up of the fixture {self.current.name!r}"

    def _ending(self) -> str:
        try:
            self.snapshot.template.ready(timeout=DEATH_GRACE)
        except forkcore.TemplateDied as error:
            return _failures.describe_end(error.status).replace("the test's process", "the process of its snapshot")
        except forkcore.ForkcoreError as error:
            return str(error)
        return "the process of its snapshot fell silent"

    def output(self, output_limit: int) -> list[tuple[str, str]]:
        """Give what was captured until its template died, as sections of a report."""
        when = "setup" if self.kind == "set_up" else "teardown"
        return [(f"Captured {name} {when}", text) for name, text in read_output(self._slot, output_limit)]

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
