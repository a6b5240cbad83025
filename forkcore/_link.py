"""A control socket and its `Connection`: moves bytes and descriptors, and never waits.

Both drivers build on it: waiting is theirs.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import weakref
from typing import Generic, TypeVar

from forkcore._fds import close_all, encode_descriptors, receive
from forkcore._proc import ORPHANS, DirectProcess
from forkcore._state import Connection
from forkcore.errors import ProtocolError, TemplateDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from forkcore._state import ChildRecord
    from forkcore._status import ExitStatus
    from forkcore.errors import ForkcoreError

LinkT = TypeVar("LinkT", bound="Link")

_CHUNK = 32 * 1024
_LINKS: weakref.WeakSet[Link] = weakref.WeakSet()


class Link:
    """The parent's end of one template's control socket.

    Attributes:
        connection: What is known; guarded by `lock`.
        lock: Held for moments only, never while waiting.
        is_reading: One thread waits for events, and it alone reads.
        owner: The process itself, where it is a direct child of this one.
        watchers: Called, with `lock` held, after something may have been read, by any thread; those
            who wait otherwise than by reading. The socket stays open as long as there are any.
    """

    # Those of templates with children that die with this process: open until those have ended. An
    # attribute, because names of the module are gone when the last of them is destroyed.
    kept: ClassVar[set[Link]] = set()

    def __init__(self, fd: int, owner: DirectProcess | None = None) -> None:
        """Take over a control socket.

        Args:
            fd: Consumed.
            owner: Handed on to whoever reaps orphans, if it has not ended when this is closed.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=fd)
        self.connection = Connection()
        self.lock = threading.RLock()
        self.is_reading = False
        self.owner = owner
        self.watchers: set[Callable[[], None]] = set()
        _LINKS.add(self)

    def write_some(self) -> bool:
        """Send what the kernel takes now.

        Returns:
            Whether nothing is left to send.

        Raises:
            OSError: A descriptor could not be sent; the message stays in the queue.
        """
        with self.lock:
            outgoing = self.connection.outgoing
            while outgoing:
                data, fds = outgoing[0]
                try:
                    count = self.sock.sendmsg([data], encode_descriptors(fds), socket.MSG_DONTWAIT)
                except (BlockingIOError, InterruptedError):
                    return False
                except OSError as error:
                    if error.errno in (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM):
                        return False  # until the template has taken what is under way
                    # The template is gone, or going: reading tells what it still had to say.
                    self._discard_outgoing()
                    return True
                close_all(self.connection.sent(count))
            return True

    def _discard_outgoing(self) -> None:
        for _, fds in self.connection.outgoing:
            close_all(fds)
        self.connection.outgoing.clear()

    def read_some(self) -> None:
        """Take in all that has arrived."""
        with self.lock:
            self._read_all()
            if not self.connection.children:
                self.kept.discard(self)
            self._notify()

    def _notify(self) -> None:
        for watcher in tuple(self.watchers):
            watcher()

    def _read_all(self) -> None:
        while not self.connection.is_lost:
            try:
                data, fds = receive(self.sock, _CHUNK)
                self.connection.receive(data, fds)
            except BlockingIOError:
                return
            except (OSError, ProtocolError):
                data = b""
            if not data:
                self.lose()
            elif len(data) < _CHUNK:
                return

    def lose(self) -> None:
        """Give the template up: whoever waits learns that nothing more will come."""
        with self.lock:
            close_all(self.connection.lose())
            self.kept.discard(self)
            self._notify()
            if self.is_reading or self.watchers:
                # Wakes those who poll it; the last of them closes it.
                self._shut_down()
            else:
                self._close_socket()

    def _shut_down(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other end is gone already

    def _close_socket(self) -> None:
        self.sock.close()
        if self.owner is not None:
            ORPHANS.add(self.owner)
            self.owner = None

    def keep(self) -> None:
        """Stay open while there are children: to those that are bound, the end is the parent's.

        Whoever comes first looks whether the others are still needed, as ``subprocess`` does it with
        processes that nobody waits for: a link that has lost its last user is read by nobody else.
        """
        if self not in self.kept:
            for link in tuple(self.kept):
                # Another thread that holds it is using it, and reads by itself.
                if link.lock.acquire(blocking=False):
                    try:
                        if not link.is_reading:
                            link.read_some()
                    finally:
                        link.lock.release()
            self.kept.add(self)

    def stop_reading(self) -> None:
        """Note that the one thread that read has stopped; the caller holds `lock`."""
        self.is_reading = False
        self._close_if_lost()

    def stop_watching(self, watcher: Callable[[], None]) -> None:
        """Note that one of the watchers does not poll the socket any more; the caller holds `lock`."""
        self.watchers.discard(watcher)
        self._close_if_lost()

    def _close_if_lost(self) -> None:
        if self.connection.is_lost and not (self.is_reading or self.watchers):
            self._close_socket()

    def forget(self) -> None:
        """In a fork of this process: close this copy, without a word to the template."""
        self.lock = threading.RLock()
        self.is_reading = False
        self.watchers.clear()
        close_all(self.connection.lose())
        self.sock.close()
        if self.owner is not None:
            self.owner.forget()
            self.owner = None

    def __del__(self) -> None:
        if not self.connection.is_lost:
            self.lose()


class RemoteProcess(Generic[LinkT]):
    """A process that a template has forked, as the template tells of it."""

    def __init__(self, link: LinkT, record: ChildRecord) -> None:
        self.link = link
        self.record = record

    @property
    def pid(self) -> int | None:
        """The process id, once it is known."""
        return self.record.pid

    @property
    def status(self) -> ExitStatus | None:
        """The exit status, once it is known."""
        return self.record.status

    @property
    def failure(self) -> ForkcoreError | None:
        """Why it was not made, or did not run its function."""
        return self.record.failure


def check_alive(link: LinkT, process: RemoteProcess[LinkT] | DirectProcess | None) -> None:
    """Refuse to queue for a template that is known to be gone.

    Raises:
        TemplateDied: It is.
        ForkcoreError: Why it was never made.
    """
    if link.connection.is_lost:
        raise died(process)


def died(process: RemoteProcess[LinkT] | DirectProcess | None) -> ForkcoreError:
    """Make the exception that says what became of a template."""
    if process is None:
        return TemplateDied("the template is gone")
    if isinstance(process, RemoteProcess) and process.failure is not None:
        return process.failure
    status = process.status if isinstance(process, RemoteProcess) else process.poll()
    end = "is gone" if status is None else str(status)
    return TemplateDied(f"the template (pid {process.pid}) {end}", process.pid, status)


def forget_everything() -> None:
    """In a fork of this process: templates, children and orphans are the parent's."""
    for link in list(_LINKS):
        link.forget()
    _LINKS.clear()
    Link.kept.clear()
    ORPHANS.forget()


os.register_at_fork(after_in_child=forget_everything)
