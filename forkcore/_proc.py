"""Processes that are direct children of this one: their end, their signals, their reaping.

Through a pidfd, where the system has them (Linux): never by SIGCHLD, which belongs to the program.
"""

from __future__ import annotations

import contextlib
import os

# wait4 imports it at its first use, which may be while the interpreter shuts down.
import resource  # noqa: TC003 - the same
import select
import sys
import threading
import time

from forkcore._owned import OwnedFd
from forkcore._status import UNKNOWN_STATUS, ExitStatus, ResourceUsage, decode_status

FIRST_PAUSE = 0.0005
LAST_PAUSE = 0.05
_LONGEST_POLL = 2**31 - 1  # milliseconds that fit into the int of poll(2)


class DirectProcess:
    """Owns a forked or exec'd child of this process, until it is reaped.

    Safe to use from several threads.
    """

    def __init__(self, pid: int) -> None:
        """Take over a process.

        Args:
            pid: A child of this process, waited for by nobody else.
        """
        self.pid: int = pid
        self.status: ExitStatus | None = None
        self._owner = os.getpid()
        # Reentrant, because a destructor or a handler of a signal that asks as well may run at any point.
        self._lock = threading.RLock()
        # Closed once nobody refers to it: whoever polls it holds it, lest its number be reused.
        self._pidfd: OwnedFd | None = _open_pidfd(pid)
        # What wait4 gave, put here by the step that called it: a status is given once.
        self._waited: list[tuple[int, int, resource.struct_rusage]] = []

    def fileno(self) -> int | None:
        """Give a descriptor that is readable once the process has ended; None where not known."""
        pidfd = self._pidfd
        return None if pidfd is None else int(pidfd)

    def duplicate_pidfd(self) -> int | None:
        """Give a descriptor as `fileno` does, owned by the caller.

        Raises:
            OSError: EMFILE.
        """
        with self._lock:
            return None if self._pidfd is None else os.dup(self._pidfd)

    def poll(self) -> ExitStatus | None:
        """Reap the process if it has ended; never waits."""
        with self._lock:
            if self.status is None:
                self._reap()
            return self.status

    def wait(self, timeout: float | None = None) -> ExitStatus | None:
        """Wait for the end of the process.

        Returns:
            Its status, or None after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE
        while (status := self.poll()) is None:
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return None
            if self._wait_pidfd(remaining):
                continue
            # Without pidfd: ask now and then, as subprocess does.
            time.sleep(pause if remaining is None else min(pause, remaining))
            pause = min(pause * 2, LAST_PAUSE)
        return status

    def _wait_pidfd(self, timeout: float | None) -> bool:
        pidfd = self.pidfd
        if pidfd is None:
            return self.status is not None
        wait_readable([pidfd], timeout)
        return True

    @property
    def pidfd(self) -> OwnedFd | None:
        """A descriptor as `fileno` gives it, that stays open as long as the caller refers to this very object.

        None where the process has been reaped, or there is no pidfd.
        """
        return self._pidfd

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has been reaped already."""
        with self._lock:
            if self.status is None:
                self._reap()
            if self.status is not None:
                return
            # It cannot have been reaped in between, so the pid is no other process's.
            os.kill(self.pid, number)

    def _reap(self) -> None:
        if self._owner != os.getpid():
            return  # a fork of the owner: not a child of this process
        if sys.is_finalizing():
            self._reap_late()
            return
        is_lost = False
        try:
            self._waited.extend(map(os.wait4, (self.pid,), (os.WNOHANG,)))
        except ChildProcessError:
            is_lost = True
        for pid, status, used in self._waited:
            if pid:
                usage = ResourceUsage(used.ru_utime, used.ru_stime, _peak_bytes(used.ru_maxrss))
                self._finish(decode_status(status, usage))
                return
        if is_lost:
            # SIGCHLD is ignored, or somebody else has waited.
            self._finish(UNKNOWN_STATUS)
        else:
            self._waited.clear()

    def _reap_late(self) -> None:
        """While the main interpreter goes: wait4 would import a module. Subinterpreters close their templates then."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            self._finish(UNKNOWN_STATUS)
            return
        if pid:
            self._finish(decode_status(status, None))

    def _finish(self, status: ExitStatus) -> None:
        self.status, self._pidfd = status, None

    def forget(self) -> None:
        """In a fork of the owner: the process is nothing of this one."""
        # The threads that held the lock, or waited, are not in this process.
        self._lock = threading.RLock()
        self._finish(self.status or UNKNOWN_STATUS)


def _peak_bytes(peak: int) -> int:
    return peak if sys.platform == "darwin" else peak * 1024


def _open_pidfd(pid: int) -> OwnedFd | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        (pidfd,) = map(OwnedFd, map(os.pidfd_open, (pid,)))
    except OSError:
        return None  # at the limit of descriptors, or an old kernel: `wait` asks now and then
    return pidfd


def wait_readable(fds: list[int], timeout: float | None, *, writable: bool = False) -> list[int]:
    """Wait until one of the descriptors is readable (or writable).

    Args:
        fds: Borrowed.
        timeout: Seconds, or None.
        writable: Wait for room to write too.

    Returns:
        Those that are ready; none after the timeout.
    """
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN | (select.POLLOUT if writable else 0))
    return [fd for fd, _ in poller.poll(to_milliseconds(timeout))]


def to_milliseconds(timeout: float | None) -> int | None:
    """Give a timeout in seconds as ``poll`` takes it; one that is too long for that is cut off."""
    if timeout is None:
        return None
    if timeout * 1000 > _LONGEST_POLL:
        return _LONGEST_POLL
    # Rounded up, lest the last millisecond become a busy loop.
    return max(0, -int(-timeout * 1000 // 1))


class Orphans:
    """Processes whose objects were dropped before they had ended: somebody must reap them.

    As ``subprocess`` does it: whenever a process is made or an object is dropped.
    """

    def __init__(self) -> None:
        self._processes: list[DirectProcess] = []

    def add(self, process: DirectProcess) -> None:
        """Take over a process that nobody else waits for."""
        if process not in self._processes:
            self._processes.append(process)
        self.reap()

    def reap(self) -> None:
        """Reap those that have ended; never waits."""
        for one in tuple(self._processes):
            if one.poll() is not None:
                with contextlib.suppress(ValueError):  # somebody else was faster
                    self._processes.remove(one)

    def forget(self) -> None:
        """In a fork of the owner."""
        for process in self._processes:
            process.forget()
        self._processes.clear()


ORPHANS = Orphans()
