"""A control socket and its `Connection`: moves bytes and descriptors, and never waits.

Both drivers build on it: waiting is theirs.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import socket
import threading
import weakref
from typing import Generic, TypeVar

from forkcore._fds import encode_descriptors
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
        readers: Marks of the one thread that waits for events, which alone reads; several where a handler of a signal
            waits as well, in the middle of it.
        owner: The process itself, where it is a direct child of this one.
        watchers: Called, with `lock` held, after something may have been read, by any thread; those
            who wait otherwise than by reading. The socket stays open as long as there are any.
    """

    # Those of templates with children that die with this process: open until those have ended. An
    # attribute, because names of the module are gone when the last of them is destroyed.
    kept: ClassVar[set[Link]] = set()

    def __init__(self, sock: socket.socket, owner: DirectProcess | None = None) -> None:
        """Take over a control socket.

        Args:
            sock: Consumed.
            owner: Handed on to whoever reaps orphans, if it has not ended when this is closed.
        """
        # Made after this object, so that the collector of garbage finds this one first, which closes it.
        # One step: in between, the descriptor would be nobody's.
        values = (socket.AF_UNIX,), (socket.SOCK_STREAM,), (0,), map(_socket.socket.detach, (sock,))
        (self.sock,) = map(_socket.socket, *values)
        self.connection = Connection()
        self.lock = threading.RLock()
        self.readers: set[tuple[int, object]] = set()
        self.owner = owner
        self.watchers: set[Callable[[], None]] = set()
        _LINKS.add(self)

    @property
    def is_reading(self) -> bool:
        """Whether a thread waits for events."""
        return bool(self.readers)

    @property
    def is_read_elsewhere(self) -> bool:
        """Whether another thread waits for events."""
        own = threading.get_ident()
        return any(thread != own for thread, _ in tuple(self.readers))

    def write_some(self) -> bool:
        """Send what the kernel takes now.

        Returns:
            Whether nothing is left to send.

        Raises:
            OSError: A descriptor could not be sent; the message stays in the queue.
        """
        connection = self.connection
        with self.lock:
            while connection.outgoing:
                message = connection.outgoing[0]
                ancillary = encode_descriptors(message.fds)
                try:
                    # One step: it takes the attempt, sends, and notes how much went.
                    message.sent.extend(map(self.sock.sendmsg, message.attempt, (ancillary,), (socket.MSG_DONTWAIT,)))
                except (BlockingIOError, InterruptedError):
                    connection.conclude(message)
                    return False
                except OSError as error:
                    if error.errno in (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM):
                        connection.conclude(message)
                        return False  # until the template has taken what is under way
                    # The template is gone, or going: reading tells what it still had to say.
                    connection.outgoing.clear()
                    return True
                connection.conclude(message)
            return True

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
            has_more = self._receive()
            try:
                is_at_end = self.connection.handle_arrived()
            except ProtocolError:
                is_at_end = True
            if is_at_end:
                self.lose()
            elif not has_more:
                return

    def _receive(self) -> bool:
        """Receive what there is, in one step with its place among what has arrived.

        A template passes no descriptors; the kernel drops those that come all the same, for none are asked for.

        Returns:
            Whether there may be more.
        """
        arrived = self.connection.arrived
        try:
            arrived.extend(map(self.sock.recv, (_CHUNK,), (socket.MSG_DONTWAIT,)))
        except BlockingIOError:
            return False
        except OSError:
            arrived.append(b"")
        # No call in between: whoever interrupts this may take them all.
        return len(arrived[-1]) == _CHUNK if arrived else False

    def lose(self) -> None:
        """Give the template up: whoever waits learns that nothing more will come."""
        with self.lock:
            self.connection.lose()
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
        if self.owner is not None:
            ORPHANS.add(self.owner)
            self.owner = None
        with contextlib.suppress(OSError):  # somebody else has closed its descriptor
            self.sock.close()

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
                        if not link.is_read_elsewhere:
                            link.read_some()
                    finally:
                        link.lock.release()
            self.kept.add(self)

    def stop_watching(self, watcher: Callable[[], None]) -> None:
        """Note that one of the watchers does not poll the socket any more; the caller holds `lock`."""
        self.watchers.discard(watcher)
        self.close_if_lost()

    def close_if_lost(self) -> None:
        """Close the socket of a template that is gone, once nobody polls it; the caller holds `lock`."""
        if self.connection.is_lost and not (self.is_reading or self.watchers):
            self._close_socket()

    def forget(self) -> None:
        """In a fork of this process: close this copy, without a word to the template."""
        self.lock = threading.RLock()
        self.readers.clear()
        self.watchers.clear()
        self.connection.lose()
        with contextlib.suppress(OSError):
            self.sock.close()
        if self.owner is not None:
            self.owner.forget()
            self.owner = None

    def __del__(self) -> None:
        # Nobody waits any more. Where this was interrupted once, the socket is still open.
        sock = getattr(self, "sock", None)
        if sock is not None and sock.fileno() >= 0:
            self.readers.clear()
            self.watchers.clear()
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
