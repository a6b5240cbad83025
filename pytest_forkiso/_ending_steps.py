"""How a child is ended that does not end by itself: signal by signal, each with some time for its effect."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from pytest_forkiso import _silence
from pytest_forkiso._inchild import DUMP_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    import forkcore
    from pytest_forkiso._deadline import Deadline

DUMP_GRACE = 0.5
"""Seconds that a child has to write tracebacks."""
INTERRUPT_GRACE = 0.5
"""Seconds in which a child ends after a SIGINT that it may have got with us, before it is sent one."""
TERM_GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""
_LAST: tuple[int, float | None] = (signal.SIGKILL, None)


class EndingSteps:
    """The steps against one child.

    Attributes:
        silence: Why it has written no traceback when it was asked to; empty where it has, or was not asked.
    """

    def __init__(self, child: forkcore.Child, faults: int, deadline: Deadline) -> None:
        """Take none yet.

        Args:
            child: Borrowed.
            faults: The file that its tracebacks go to, borrowed.
            deadline: Of the child; each step sets it.
        """
        self.silence = ""
        self._child = child
        self._faults = faults
        self._deadline = deadline
        self._steps: Iterator[tuple[int, float | None]] = iter(())

    def begin_timeout(self) -> None:
        """Let the steps be those against a test that takes too long: tracebacks, SIGTERM, SIGKILL."""
        self._steps = iter(((DUMP_SIGNAL, DUMP_GRACE), (signal.SIGTERM, TERM_GRACE), _LAST))

    def begin_interrupt(self, grace: float) -> None:
        """Let the test see what Ctrl-C does, and the steps end it when it does not end by itself.

        Args:
            grace: Seconds that it has.
        """
        if self._shares_our_group():
            # Ctrl-C at the terminal has reached it already: once more would break off its teardown.
            self._deadline.set(INTERRUPT_GRACE)
            self._steps = iter(((signal.SIGINT, grace), _LAST))
            return
        self._deadline.set(grace)
        self._steps = iter((_LAST,))
        self._child.send_signal(signal.SIGINT)

    def take_next(self) -> None:
        """Take the next step; the last one again when all are taken."""
        number, grace = next(self._steps, _LAST)
        self._deadline.set(grace)
        if number == DUMP_SIGNAL:
            self._child.send_signal(number)
            self._child.send_signal(signal.SIGCONT)  # a stopped process writes none
            return
        if number == signal.SIGTERM and not os.fstat(self._faults).st_size and not self._has_ended():
            self.silence = _silence.explain(self._child.pid, DUMP_SIGNAL)
        self._signal_group(number)

    def kill(self) -> None:
        """End the child and its process group at once."""
        self._deadline.clear()
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        """Send a signal to the child and to the processes of its group, while it is not reaped."""
        if self._has_ended():
            return
        pid = self._child.pid
        try:
            if os.getpgid(pid) == pid:
                os.killpg(pid, number)
        except OSError:
            pass  # it has just ended, or leads no group
        self._child.send_signal(number)

    def _shares_our_group(self) -> bool:
        try:
            return not self._has_ended() and os.getpgid(self._child.pid) == os.getpgrp()
        except ProcessLookupError:
            return False

    def _has_ended(self) -> bool:
        return self._child.poll() is not None
