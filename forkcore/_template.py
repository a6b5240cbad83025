"""A template process: its descriptors, what it receives and reports, and how it becomes a child.

What this module imports, every child of every template pays for.
"""

from __future__ import annotations

import _signal
import _socket
import gc
import posix
import select
import sys

from forkcore import _child, _hazards
from forkcore import _messages as m
from forkcore._call import Call, send_report
from forkcore._fds import close_all, socket_pair, take_descriptors
from forkcore._leave import BARRIER
from forkcore._signals import heed_children, send_signal, take_signals
from forkcore._title import Titler
from forkcore._wire import HEAD_SIZE, Decoder, decode_identifier, encode
from forkcore.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn, TypeAlias

    from forkcore._messages import Field
    from forkcore._wire import Frame

    # What a child is to do: the function, its channel, and what was sent.
    Departure: TypeAlias = tuple[Callable[..., object], Any, list[Any]]

_MIDDLE_CHUNK = 8 * 1024
_LARGE_CHUNK = 1024 * 1024
_INBOX_CHUNK = 64 * 1024
_WAKE_CHUNK = 256
# As `forkcore._template_loop.STARTED_FRAME`, with the identifier and five numbers.
EXITED_FRAME = encode(m.EXITED, 0, bytes(104))[:HEAD_SIZE] + b"%b%20d%21d%21d%21d%21d"


class TemplateProcess:
    """A process that forks on request; the loop, and its commands, are the subclasses'."""

    __slots__ = (
        "_allowed",
        "_arguments",
        "_bound",
        "_children",
        "_closing",
        "_control",
        "_decoder",
        "_departure",
        "_failure",
        "_handlers",
        "_has_changed",
        "_inbox",
        "_inbox_end",
        "_interrupt",
        "_namespace",
        "_out",
        "_own_fds",
        "_poller",
        "_spare",
        "_title",
        "_titler",
        "_used",
        "_wake",
        "_writing",
    )

    def __init__(
        self,
        control: int,
        namespace: dict[str, Any],
        allowed: Sequence[str],
        handlers: Mapping[int, Callable[[Frame], None]],
    ) -> None:
        """Take over this process.

        Args:
            control: The control socket; consumed.
            namespace: Where targets of the form ":name" are looked for.
            allowed: Hazards that do not keep it from forking.
            handlers: What to do for each kind of command but FORK_RUN.
        """
        self._namespace = namespace
        self._allowed = list(allowed)
        self._handlers = handlers
        self._arguments: list[tuple[Field, int | None]] = []
        self._failure: bytes | None = None
        self._titler = Titler()
        self._title = b""
        self._interrupt = take_signals()
        self._departure: Departure | None = None
        # The channel of every child, made once: there, its descriptor becomes the one that the parent has sent.
        fd, other = socket_pair()
        posix.close(other)
        self._spare = _child.make_channel(fd)
        self._begin(control)

    def _begin(self, control: int) -> None:
        """Start the life of a process of its own: nothing said before, and no children."""
        self._control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, control)
        self._decoder = Decoder()
        self._out = bytearray()
        # By pid: identifiers as they stand in headers.
        self._children: dict[int, bytes] = {}
        self._bound: set[int] = set()
        self._closing = self._writing = False
        self._used = self._has_changed = True
        # Bytes from the interpreter, one for each signal; datagrams from children, each a whole frame.
        self._wake, wake_end = socket_pair()
        self._inbox, self._inbox_end = socket_pair(_socket.SOCK_DGRAM)
        for fd in (self._wake, wake_end, self._inbox, self._inbox_end):
            posix.set_blocking(fd, False)
        self._titler.open()
        self._own_fds = (self._wake, wake_end, self._inbox, self._inbox_end, *self._titler.fds)
        heed_children(wake_end)
        # The loop takes them in this order. What comes over the control socket may replace them all.
        self._poller = select.poll()
        for fd in (self._wake, self._inbox, control):
            self._poller.register(fd, select.POLLIN)

    # Receiving.

    def _chunk(self) -> int:
        """Say how much to receive of a frame that has begun."""
        return _LARGE_CHUNK if self._decoder.missing > _MIDDLE_CHUNK else _MIDDLE_CHUNK

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]], flags: int) -> Call | None:
        """Take what was received; see `_next_call`."""
        try:
            fds = take_descriptors(ancillary, flags)
        except ProtocolError:
            self._leave()
        if not data:
            self._leave()
        self._decoder.feed(data, fds)
        return self._next_call()

    def _next_call(self) -> Call | None:
        """Execute the next command, or give it where it is FORK_RUN."""
        try:
            frame = self._decoder.next_frame()
            if frame is None:
                return None
            if frame.kind == m.FORK_RUN:
                return Call(frame, self._namespace, self._titler)
            self._has_changed = True
            self._handlers[frame.kind](frame)
        except (ProtocolError, KeyError, IndexError, ValueError):
            # Whoever writes there is no forkcore of this version.
            self._leave()
        return None

    def _leave(self) -> NoReturn:
        """End with the parent, and with the children that asked to."""
        for pid in self._bound:
            send_signal(pid, _signal.SIGKILL)
        posix._exit(0)

    # Reporting.

    def _write(self) -> None:
        out = self._out
        try:
            sent = self._control.send(out, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            # Broken: what it still has to say to us, and its end, is found by reading.
            sent = len(out)
        del out[:sent]
        if out or self._writing:
            self._writing = bool(out)
            events = select.POLLIN | (select.POLLOUT if out else 0)
            self._poller.modify(self._control, events)

    def _reap(self) -> None:
        # A byte for each signal: whoever ends from here on writes another one.
        posix.read(self._wake, _WAKE_CHUNK)
        children = self._children
        while children:
            try:
                pid, status, usage = posix.wait4(-1, posix.WNOHANG)
            except ChildProcessError:
                self._reap_each()
                return
            if pid == 0:
                return
            if status:
                # What a child said before it left comes before its end.
                self._drain_inbox()
            identifier = children.pop(pid, None)
            # A process that eval code has made is reaped too; nobody asks for it.
            if identifier is not None:
                if self._bound:
                    self._bound.discard(pid)
                # Times and peak memory, by their places in the tuple.
                self._out += EXITED_FRAME % (identifier, pid, status, usage[0] * 1e6, usage[1] * 1e6, usage[2])

    def _reap_each(self) -> None:
        """Ask for each child by itself, where another one may have waited for it: its status is unknown then."""
        for pid, identifier in list(self._children.items()):
            usage: Any = (0, 0, 0)
            try:
                ended, status, usage = posix.wait4(pid, posix.WNOHANG)
            except ChildProcessError:
                ended, status = pid, -1
            if ended:
                self._drain_inbox()
                del self._children[pid]
                self._bound.discard(pid)
                self._out += EXITED_FRAME % (identifier, pid, status, usage[0] * 1e6, usage[1] * 1e6, usage[2])

    def _heed_again(self) -> None:
        """After any code has run here: it may have taken SIGCHLD, or waited for children that were not its own."""
        heed_children(self._own_fds[1])
        self._reap_each()

    def _drain_inbox(self) -> None:
        try:
            while True:
                self._out += posix.read(self._inbox, _INBOX_CHUNK)
        except BlockingIOError:
            return

    # Forking.

    def _prepare_fork(self) -> bytes | None:
        """See to what has to be done before a fork.

        Returns:
            The failure that keeps this process from forking, if there is one.
        """
        if self._failure is not None:
            return self._failure
        hazards = _hazards.find_hazards()
        if hazards:
            hazards = _hazards.refused(hazards, self._allowed)
        if hazards:
            return m.pack_failure(m.HAZARD, _hazards.describe(hazards), *hazards)
        if self._used:
            self._settle()
        return None

    def _settle(self) -> None:
        """Before the first fork after any code has run here."""
        self._used = False
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                try:
                    stream.flush()
                except Exception:  # noqa: BLE001, S112 - it may be any object that eval code has put there
                    continue  # its buffer stays, and each child shows the same error
        BARRIER.raise_again()
        # A collection in a child would write to every object, and so copy every page.
        gc.freeze()

    def _renew_spare(self) -> Any:
        """Give the channel of the next child; it is of another type once the module ``socket`` is loaded."""
        if type(self._spare) is not _child.channel_type():
            self._spare = _child.make_channel(self._spare.detach())
        return self._spare

    # In a child.

    def _become(self, call: Call, report: int) -> Departure:
        """Turn this process into the child: where something may fail, or take a while.

        Args:
            call: What to do; its descriptors are consumed.
            report: A socket that takes one frame where the function cannot be called.
        """
        _signal.signal(_signal.SIGINT, self._interrupt)
        function = call.function
        try:
            if not call.keep_random:
                _child.reseed()
            if call.options:
                _child.apply_options(call.options, (*self._own_fds, self._control.fileno(), call.channel))
            if function is None:
                function = _child.resolve(call.target, self._namespace)
        except BaseException as error:  # noqa: BLE001 - whatever the user's module raises
            failure = encode(m.FAILED, decode_identifier(call.identifier), _child.describe_failure(error))
            send_report(report, failure)
            posix._exit(1)
        self._discard_descriptors()
        posix.dup2(call.channel, self._spare.fileno(), False)
        posix.close(call.channel)
        return function, self._spare, self._build_arguments(call)

    def _discard_descriptors(self) -> None:
        """Close what belongs to the template; only arguments, and what is to be the channel, stay open."""
        for fd in self._own_fds:
            posix.close(fd)
        self._control.close()
        close_all(self._decoder.take_leftovers())

    def _build_arguments(self, call: Call) -> list[Any]:
        """Make what the function gets after the channel."""
        pairs = self._arguments + call.arguments
        self._arguments = call.arguments = []
        return [_child.build_argument(field, fd) for field, fd in pairs]
