"""What the parent knows of one template and of its children: transitions, and no I/O.

Drivers (`forkcore._sync`, `forkcore.aio`) move the bytes and descriptors of `Connection.outgoing`
to the control socket, and what they receive into `Connection.arrived`.

A handler of a signal or a destructor may run between any two steps of the interpreter, and raise, or use the same
connection by itself. So nothing here is lost or done twice for an interruption: what must not be parted is one call of
C, and what is done in several steps can be done again.
"""

from __future__ import annotations

import sys
from collections import deque

from forkcore import _messages as m
from forkcore._status import ResourceUsage, decode_status
from forkcore._wire import Frame, encode, read_frame, split_frame
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
    from collections.abc import Iterable, Iterator

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


class Message:
    """What one call sends: bytes, and the descriptors that go with the first of them.

    Attributes:
        data: The bytes.
        fds: The descriptors; each is closed with the last reference to it.
        attempt: Gives the bytes once. Whoever takes them sends them in the same step, and appends to `sent`.
        sent: How many bytes went; empty where none did.
    """

    __slots__ = ("attempt", "data", "fds", "sent")

    def __init__(self, data: memoryview, fds: list[int]) -> None:
        self.data = data
        self.fds = fds
        self.attempt: Iterator[list[memoryview]] = iter(([data],))
        self.sent: list[int] = []

    def rest(self) -> Message | None:
        """Give what is to be sent now that the attempt is over; None where that is nothing."""
        if not self.sent:
            return Message(self.data, self.fds)
        left = self.data[self.sent[0] :]
        return Message(left, []) if left else None


class Connection:
    """The parent's side of one control socket."""

    __slots__ = (
        "_last_identifier",
        "_unanswered",
        "arrived",
        "children",
        "failure",
        "is_lost",
        "is_unconfirmed",
        "may_run_code",
        "outgoing",
    )

    def __init__(self) -> None:
        # What was received and is not handled yet; an empty part stands for the end of the stream.
        self.arrived: list[bytes] = []
        self._last_identifier = 0
        self._unanswered: set[int] = set()
        self.outgoing: deque[Message] = deque()
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
        record = self.new_record()
        self.children[record.identifier] = record
        return record

    def new_record(self) -> ChildRecord:
        """Make a record that is in no list yet: nothing is asked for."""
        return ChildRecord(self._next_identifier())

    def _next_identifier(self) -> int:
        while True:
            number = self._last_identifier = self._last_identifier % 0xFFFFFFFF + 1
            if number not in self.children:
                return number

    def queue(self, kind: int, identifier: int = 0, payload: bytes = b"", fds: Iterable[int] = ()) -> None:
        """Append one frame; all of it or nothing, and in one step.

        Args:
            kind: A command.
            identifier: Of the child or request.
            payload: Of the frame.
            fds: Borrowed; they stay open as long as somebody refers to them (`forkcore._owned.OwnedFd`).

        Raises:
            FrameTooLarge: See `forkcore._wire.encode`.
        """
        self.outgoing.extend(self.prepare(kind, identifier, payload, fds))

    def prepare(self, kind: int, identifier: int = 0, payload: bytes = b"", fds: Iterable[int] = ()) -> list[Message]:
        """Make one frame, to be appended to `outgoing`; see `queue`."""
        fds = list(fds)
        data = encode(kind, identifier, payload, len(fds))
        messages = [Message(memoryview(part), part_fds) for part, part_fds in split_frame(data, fds)]
        if kind in (m.EVAL, m.PRELOAD, m.CONFIGURE):
            self.is_unconfirmed = True
            self.may_run_code = self.may_run_code or kind != m.CONFIGURE
        return messages

    def conclude(self, message: Message) -> None:
        """After an attempt to send the first message: put in its place what is left of it."""
        rest = message.rest()
        outgoing = self.outgoing
        # One step, as far as interruptions go: nobody else has concluded it, and nobody can in between.
        if outgoing and outgoing[0] is message:
            if rest is None:
                outgoing.popleft()
            else:
                outgoing[0] = rest

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

    def handle_arrived(self) -> bool:
        """Take in what has arrived, up to the last complete frame.

        To do so again changes nothing: the frames are dropped once all of them have been handled.

        Returns:
            Whether the stream is at its end.

        Raises:
            ProtocolError: The peer is no template of this version. The caller gives up the
                connection: `lose`.
        """
        parts = self.arrived[:]
        data = b"".join(parts)
        position = 0
        while (found := read_frame(data, position)) is not None:
            frame, position = found
            self._handle(frame)
        rest = [data[position:]] if position < len(data) else []
        # Those that came meanwhile stay. As in `conclude`, nobody else has dropped these, and nobody can in between.
        if self.arrived and parts and self.arrived[0] is parts[0]:
            self.arrived[: len(parts)] = rest
        return bool(parts) and not parts[-1]

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
            self.children.pop(frame.identifier, None)
        elif frame.kind == m.FAILED:
            record.failure = decode_failure(frame.payload)
            if record.pid is None:
                self.children.pop(frame.identifier, None)
        else:
            raise ProtocolError(f"an unknown event: {frame.kind}")

    def lose(self) -> None:
        """The control socket is at its end: nothing more will be known; wakes every waiter."""
        self.outgoing.clear()
        for record in list(self.children.values()):
            record.lost = True
        self.children.clear()
        self._unanswered.clear()
        # Last, for it says that all this is done.
        self.is_lost = True


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
