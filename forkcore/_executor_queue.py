"""Calls that wait for a child: put in by any thread, taken out by the one of the executor."""

from __future__ import annotations

import socket
import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from forkcore._executor_calls import Call

_MANY = 4096


class CallQueue:
    """A queue with a bell that wakes the thread which takes from it.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        # Reentrant, because a destructor that closes the queue may run at any point.
        self._lock = threading.RLock()
        self._calls: deque[Call] = deque()
        self._bell: tuple[socket.socket, socket.socket] | None = None
        self.is_closed = False

    def listen(self) -> socket.socket:
        """Put up the bell.

        Returns:
            A socket that is readable when it was rung; owned by the queue, until `hang_up`.

        Raises:
            OSError: EMFILE.
        """
        self._bell = socket.socketpair()
        for end in self._bell:
            end.setblocking(False)
        return self._bell[0]

    def hear(self) -> None:
        """Take note of the bell."""
        if self._bell is not None:
            try:
                # Whoever has rung more often than that is heard again.
                self._bell[0].recv(_MANY)
            except BlockingIOError:
                return

    def hang_up(self) -> None:
        """Take the bell down: nobody listens any more."""
        with self._lock:
            bell, self._bell = self._bell, None
        for end in bell or ():
            end.close()

    def _ring(self) -> None:
        if self._bell is not None:
            try:
                self._bell[1].send(b"!")
            except BlockingIOError:
                return  # it has been rung often enough

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
