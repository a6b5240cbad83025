"""A control socket that threads can wait on, without a thread of its own."""

from __future__ import annotations

import select
import threading
import time

from forkcore._link import Link
from forkcore._proc import DirectProcess, to_milliseconds, wait_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class SyncLink(Link):
    """A control socket that threads can wait on; one of them reads, the others wait for it."""

    def __init__(self, sock: socket.socket, owner: DirectProcess | None = None) -> None:
        super().__init__(sock, owner)
        self._changed = threading.Condition(self.lock)
        self._sleepers = 0

    def wait_until(self, is_done: Callable[[], bool], timeout: float | None) -> bool:
        """Process events until something holds, or nothing more will come.

        Returns:
            False after the timeout.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        mark = threading.get_ident(), object()
        self.poll()
        while True:
            try:
                with self.lock:
                    if is_done() or self.connection.is_lost:
                        return True
                    remaining = None if deadline is None else deadline - time.monotonic()
                    if remaining is not None and remaining <= 0:
                        return False
                    if self.is_read_elsewhere:
                        self._sleep(remaining)
                        continue
                    self.readers.add(mark)
                    writable = bool(self.connection.outgoing)
                wait_readable([self.sock.fileno()], remaining, writable=writable)
            finally:
                self.resign(mark)

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

    def take_over(self, mark: tuple[int, object]) -> bool:
        """Become the one thread that reads, having taken in all that has arrived.

        Args:
            mark: Of this thread, to be given up by `resign`, which has been seen to before: this may be interrupted.

        Returns:
            False where another thread is that already, or the template is gone.
        """
        with self.lock:
            self.poll()
            if self.is_read_elsewhere or self.connection.is_lost:
                return False
            self.readers.add(mark)
            return True

    def resign(self, mark: tuple[int, object]) -> None:
        """Stop being the one thread that reads, if this is it: another one that waits goes on."""
        if mark not in self.readers:
            return
        self.readers.discard(mark)
        try:
            self._hand_over()
        except BaseException:
            # A signal's handler has raised: the others would wait for ever.
            self._hand_over()
            raise

    def _hand_over(self) -> None:
        with self.lock:
            if not self.connection.is_lost:
                self.write_some()
                self.read_some()
            self.close_if_lost()
            self._wake_sleepers()

    def forget(self) -> None:
        """In a fork of this process: the threads that slept are not here."""
        super().forget()
        self._changed = threading.Condition(self.lock)
        self._sleepers = 0

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
            if not self.is_read_elsewhere and not self.connection.is_lost:
                self.write_some()
                self.read_some()
                self._wake_sleepers()
