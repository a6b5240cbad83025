"""Interrupting code between any two of its steps, as a handler of a signal or a destructor does."""

from __future__ import annotations

import contextlib
import dis
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import forkcore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

PACKAGE = str(Path(forkcore.__file__).parent) + "/"
# After these, and where a function begins, CPython looks for signals.
_CALLS = frozenset(code for name, code in dis.opmap.items() if name.startswith(("CALL", "JUMP_BACKWARD")))


class Interrupted(BaseException):
    """What a handler of a signal raises."""


class Interruption:
    """Does something at one of the points at which CPython would call a handler of a signal in this package.

    Attributes:
        has_come: Whether there was such a point.
    """

    def __init__(self, number: int, action: Callable[[], None]) -> None:
        """Choose the point.

        Args:
            number: Of the points that come by, from 0.
            action: What is done there; it may raise.
        """
        self._left = number
        self._action = action
        self._pid = os.getpid()
        self._last: dict[FrameType, int] = {}
        self.has_come = False

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Look at one event; for ``sys.settrace``."""
        if not frame.f_code.co_filename.startswith(PACKAGE) or self.has_come:
            return None
        if frame.f_code.co_name == "__del__":
            return None  # what is raised there is reported by the interpreter, and goes no further
        if event == "call":
            frame.f_trace_opcodes = True
            if not frame.f_code.co_flags & 0x20:  # the first step of a generator is none of its function
                self._pass()
        elif event == "opcode":
            last, self._last[frame] = self._last.get(frame), frame.f_code.co_code[frame.f_lasti]
            if last in _CALLS:
                self._pass()
        elif event in ("return", "exception"):  # it looks for none after a call that has raised
            self._last.pop(frame, None)
        return self.trace

    def _pass(self) -> None:
        if os.getpid() != self._pid:
            return  # a template that was forked here: no handler of this program is called there
        self._left -= 1
        if self._left < 0 and not self.has_come:
            self.has_come = True
            self._last.clear()
            sys.settrace(None)
            self._action()


def interrupt() -> None:
    """Raise, as a handler does that ends what is going on."""
    raise Interrupted


@contextlib.contextmanager
def interrupted(number: int, action: Callable[[], None] = interrupt) -> Iterator[Interruption]:
    """Interrupt the block at a point of this package that it comes to; what the action raises comes out of it."""
    before = sys.gettrace()
    interruption = Interruption(number, action)
    sys.settrace(interruption.trace)
    try:
        yield interruption
    finally:
        sys.settrace(before)
