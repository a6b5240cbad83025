"""What the parent knows of one template and of its children: transitions, and no I/O.

Drivers (`forkcore._sync`, `forkcore.aio`) move the bytes and descriptors of `Connection.outgoing`
to the control socket, and what they receive into `Connection.receive`.
"""

from __future__ import annotations

import sys
from collections import deque

from forkcore import _messages as m
from forkcore._status import ResourceUsage, decode_status
from forkcore._wire import Decoder, Frame, encode, split_frame
from forkcore.errors import (
    ForkcoreError,
    ForkFailed,
    ForkHazard,
    ProtocolError,
    RemoteError,
    SandboxUnavailable,
    TargetNotFound,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from forkcore._status import ExitStatus

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class ChildRecord:
    """What is known of one forked process; the connection of its template fills it in."""

    __slots__ = ("failure", "identifier", "is_leaving", "lost", "pid", "status")

    def __init__(self, identifier: int) -> None:
        self.identifier = identifier
        self.pid: int | None = None
        self.status: ExitStatus | None = None
        # Why it never ran the function.
        self.failure: ForkcoreError | None = None
        # The template is gone: nothing more will be known.
        self.lost = False
        # An idle process that was closed: nobody waits for it, and it ends by itself.
        self.is_leaving = False

    @property
    def is_started(self) -> bool:
        """Whether its pid is known, or that it will never have one."""
        return self.pid is not None or self.is_ended

    @property
    def is_ended(self) -> bool:
        """Whether all is known that ever will be.

        Where the function was not found, the process exists for a moment still: its exit follows.
        """
        if self.status is not None or self.lost:
            return True
        return self.failure is not None and self.pid is None


class Connection:
    """The parent's side of one control socket."""

    __slots__ = (
        "_decoder",
        "_last_identifier",
        "_unanswered",
        "children",
        "failure",
        "is_lost",
        "is_unconfirmed",
        "may_run_code",
        "outgoing",
    )

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._last_identifier = 0
        self._unanswered: set[int] = set()
        # Messages to send, each with its descriptors, which belong to this object.
        self.outgoing: deque[tuple[memoryview, list[int]]] = deque()
        self.children: dict[int, ChildRecord] = {}
        # What eval or preload raised there.
        self.failure: ForkcoreError | None = None
        # Something was queued whose failure would not be known yet.
        self.is_unconfirmed = False
        # The user's code may be running there, for as long as it likes.
        self.may_run_code = False
        self.is_lost = False

    # Outwards.

    def new_child(self) -> ChildRecord:
        """Make the record of a process that the next FORK, FORK_RUN or RUN stands for."""
        record = ChildRecord(self._next_identifier())
        self.children[record.identifier] = record
        return record

    def _next_identifier(self) -> int:
        while True:
            self._last_identifier = self._last_identifier % 0xFFFFFFFF + 1
            if self._last_identifier not in self.children:
                return self._last_identifier

    def queue(self, kind: int, identifier: int = 0, payload: bytes = b"", fds: Iterable[int] = ()) -> None:
        """Append one frame; all of it or nothing.

        Args:
            kind: A command.
            identifier: Of the child or request.
            payload: Of the frame.
            fds: Consumed, unless this raises.

        Raises:
            FrameTooLarge: See `forkcore._wire.encode`.
        """
        fds = list(fds)
        data = encode(kind, identifier, payload, len(fds))
        for part, part_fds in split_frame(data, fds):
            self.outgoing.append((memoryview(part), part_fds))
        if kind in (m.EVAL, m.PRELOAD, m.CONFIGURE):
            self.is_unconfirmed = True
            self.may_run_code = self.may_run_code or kind != m.CONFIGURE

    def sent(self, count: int) -> list[int]:
        """Note that so many bytes of the first message, and with them its descriptors, are gone.

        Returns:
            The descriptors, for the caller to close: the kernel has its own references now.
        """
        data, fds = self.outgoing[0]
        if count >= len(data):
            self.outgoing.popleft()
        else:
            self.outgoing[0] = (data[count:], [])
        return fds

    def ping(self) -> int:
        """Queue a request that is answered once all before it has been executed."""
        identifier = self._next_identifier()
        self._unanswered.add(identifier)
        self.queue(m.PING, identifier)
        self.is_unconfirmed = False
        return identifier

    def is_answered(self, identifier: int) -> bool:
        """Whether the answer to a `ping` has come, or will never come."""
        return identifier not in self._unanswered

    # Inwards.

    def receive(self, data: bytes, fds: list[int]) -> None:
        """Take what one receive call gave.

        Raises:
            ProtocolError: The peer is no template of this version. The caller gives up the
                connection: `lose`.
        """
        self._decoder.feed(data, fds)
        while (frame := self._decoder.next_frame()) is not None:
            if frame.fds:
                self._decoder.feed(b"", frame.fds)
                raise ProtocolError("a template sends no descriptors")
            self._handle(frame)

    def _handle(self, frame: Frame) -> None:
        if frame.kind in (m.READY, m.ERROR):
            if frame.kind == m.ERROR:
                self.failure = self.failure or decode_failure(frame.payload)
            self._unanswered.discard(frame.identifier)
            if not self._unanswered and not self.is_unconfirmed:
                self.may_run_code = False
            return
        record = self.children.get(frame.identifier)
        if record is None:
            return  # of somebody who held this template before, or was dropped
        if frame.kind == m.STARTED:
            record.pid = _integers(frame.payload, 1)[0]
        elif frame.kind == m.EXITED:
            pid, status, user, system, peak = _integers(frame.payload, 5)
            usage = ResourceUsage(user / 1e6, system / 1e6, peak * _MAXRSS_UNIT)
            record.pid, record.status = pid, decode_status(status, usage)
            del self.children[frame.identifier]
        elif frame.kind == m.FAILED:
            record.failure = decode_failure(frame.payload)
            if record.pid is None:
                del self.children[frame.identifier]
        else:
            raise ProtocolError(f"an unknown event: {frame.kind}")

    def lose(self) -> list[int]:
        """The control socket is at its end: nothing more will be known; wakes every waiter.

        Returns:
            Descriptors that were not sent, or belong to no frame; the caller closes them.
        """
        self.is_lost = True
        fds = self._decoder.take_leftovers()
        for _, unsent in self.outgoing:
            fds += unsent
        self.outgoing.clear()
        for record in self.children.values():
            record.lost = True
        self.children.clear()
        self._unanswered.clear()
        return fds


def _integers(payload: bytes, count: int) -> list[int]:
    try:
        numbers = [int(part) for part in payload.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise ProtocolError("an event without its numbers")
    return numbers


def decode_failure(payload: bytes) -> ForkcoreError:
    """Make the exception of a FAILED or ERROR event.

    Raises:
        ProtocolError: It is none.
    """
    category, texts = m.unpack_failure(payload)
    match category, texts:
        case m.FORK_FAILED, [number, text] if number.isdigit():
            return ForkFailed(int(number), f"the template could not fork: {text}")
        case m.HAZARD, [text, *hazards]:
            return ForkHazard(text, hazards)
        case m.NOT_FOUND, [message, kind, traceback]:
            return TargetNotFound(message, kind, traceback)
        case m.UNAVAILABLE, missing:
            return SandboxUnavailable(*missing)
        case m.REMOTE, [message, kind, traceback]:
            return RemoteError(f"{kind}: {message}", kind, traceback)
    raise ProtocolError(f"an unknown failure: {category!r} with {len(texts)} texts")
