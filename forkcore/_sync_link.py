"""A control socket that threads can wait on, without a thread of its own."""

from __future__ import annotations

import select
import threading
import time

from forkcore._link import Link
from forkcore._proc import DirectProcess, to_milliseconds, wait_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class SyncLink(Link):
    """A control socket that threads can wait on; one of them reads, the others wait for it."""

    def __init__(self, fd: int, owner: DirectProcess | None = None) -> None:
        super().__init__(fd, owner)
        self._changed = threading.Condition(self.lock)
        self._sleepers = 0

    def wait_until(self, is_done: Callable[[], bool], timeout: float | None) -> bool:
        """Process events until something holds, or nothing more will come.

        Returns:
            False after the timeout.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.lock:
            self.poll()
            while not is_done() and not self.connection.is_lost:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return False
                if self.is_reading:
                    self._sleep(remaining)
                else:
                    self._read_once(remaining)
            return True

    def _sleep(self, timeout: float | None) -> None:
        """Wait for the thread that reads; the lock is free meanwhile."""
        self._sleepers += 1
        try:
            self._changed.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        finally:
            self._sleepers -= 1

    def _wake_sleepers(self) -> None:
        if self._sleepers:
            self._changed.notify_all()

    def _read_once(self, timeout: float | None) -> None:
        self.is_reading = True
        writable = bool(self.connection.outgoing)
        # Written out, because the lock is released inside its own ``with`` block.
        self.lock.release()
        try:
            wait_readable([self.sock.fileno()], timeout, writable=writable)
        finally:
            self.lock.acquire()
            self.resign()

    def take_over(self) -> bool:
        """Become the one thread that reads, having taken in all that has arrived; to be given up by `resign`.

        Returns:
            False where another thread is that already, or the template is gone.
        """
        with self.lock:
            self.poll()
            if self.is_reading or self.connection.is_lost:
                return False
            self.is_reading = True
            return True

    def resign(self) -> None:
        """Stop being the one thread that reads: another one that waits goes on."""
        with self.lock:
            self.stop_reading()
            if not self.connection.is_lost:
                self.write_some()
                self.read_some()
            self._wake_sleepers()

    def flush(self, timeout: float | None = None) -> bool:
        """Send all that is queued, waiting for room as long as it takes.

        Returns:
            False after the timeout.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.write_some():
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return False
            self._wait_for_room(remaining)
        return True

    def _wait_for_room(self, timeout: float | None) -> None:
        poller = select.poll()
        poller.register(self.sock.fileno(), select.POLLOUT)
        # Room may be there already, where it is descriptors under way that are too many.
        ready = poller.poll(to_milliseconds(timeout))
        if ready and not self.write_some():
            time.sleep(0.001)

    def poll(self) -> None:
        """Process what has arrived; never waits."""
        with self.lock:
            if not self.is_reading and not self.connection.is_lost:
                self.write_some()
                self.read_some()
                self._wake_sleepers()
