"""Calls that wait for a child: put in by any thread, taken out by the one of the executor."""

from __future__ import annotations

import threading
from collections import deque

from forkcore._bell import Bell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from forkcore._executor_calls import Call


class CallQueue:
    """A queue with a bell that wakes the thread which takes from it.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        # Reentrant, because a destructor that closes the queue may run at any point.
        self._lock = threading.RLock()
        self._calls: deque[Call] = deque()
        self._bell: Bell | None = None
        self.is_closed = False

    def listen(self) -> Bell:
        """Put up the bell.

        Returns:
            It is rung when there is something to do; owned by the queue, until `hang_up`.

        Raises:
            OSError: EMFILE.
        """
        self._bell = Bell()
        return self._bell

    def hear(self) -> None:
        """Take note of the bell."""
        if self._bell is not None:
            self._bell.hear()

    def hang_up(self) -> None:
        """Take the bell down: nobody listens any more."""
        with self._lock:
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.take_down()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    def check(self) -> None:
        """Refuse further calls after `close`.

        Raises:
            RuntimeError: With the words of the standard library.
        """
        if self.is_closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def put(self, call: Call) -> None:
        """Append a call.

        Raises:
            RuntimeError: After `close`.
        """
        with self._lock:
            self.check()
            self._calls.append(call)
            self._ring()

    def take(self) -> Call | None:
        """Take the first call that nobody has cancelled; its future is running from here on."""
        while True:
            with self._lock:
                if not self._calls:
                    return None
                call = self._calls.popleft()
            if call.future.set_running_or_notify_cancel():
                return call

    def take_all(self) -> list[Call]:
        """Take the calls that wait, as they are."""
        with self._lock:
            calls = list(self._calls)
            self._calls.clear()
        return calls

    def close(self, *, cancel: bool = False) -> None:
        """Take no more calls, and wake the thread.

        Args:
            cancel: The calls that wait are cancelled.
        """
        with self._lock:
            self.is_closed = True
            dropped = self.take_all() if cancel else []
            self._ring()
        for call in dropped:
            call.future.cancel()
            call.future.set_running_or_notify_cancel()

    @property
    def is_done(self) -> bool:
        """Whether it is closed and empty: nothing will come any more."""
        with self._lock:
            return self.is_closed and not self._calls
