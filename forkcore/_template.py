"""A template process: its descriptors, and the loop in which it forks children, reaps and reports them.

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
from forkcore._call import Call, pack_fork_failure, send_report
from forkcore._fds import (
    ANCILLARY_SIZE,
    NATIVE_ORDER,
    RECEIVE_FLAGS,
    TRUNCATED,
    close_all,
    socket_pair,
    take_descriptors,
)
from forkcore._leave import BARRIER
from forkcore._signals import heed_children, take_signals
from forkcore._title import MAX_NAME, Titler
from forkcore._wire import HEAD_SIZE, HEADER_SIZE, Decoder, decode_identifier, encode
from forkcore.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, NoReturn, TypeAlias

    from forkcore._messages import Field
    from forkcore._wire import Frame

    # What a child is to do: the function, its channel, and what was sent.
    Departure: TypeAlias = tuple[Callable[..., object], Any, list[Any]]

# So small that Python's own allocator serves it: malloc keeps its books all over the heap.
_CHUNK = 448
_MIDDLE_CHUNK = 8 * 1024
_LARGE_CHUNK = 1024 * 1024
_INBOX_CHUNK = 64 * 1024
_WAKE_CHUNK = 256
# Frames that one formatting makes of an identifier, as it stands in a header, and of numbers. Blanks fill these up, so
# that the length in the header is right for all.
STARTED_FRAME = encode(m.STARTED, 0, bytes(20))[:HEAD_SIZE] + b"%b%20d"
EXITED_FRAME = encode(m.EXITED, 0, bytes(104))[:HEAD_SIZE] + b"%b%20d%21d%21d%21d%21d"


class TemplateProcess:
    """A process that forks on request; commands other than FORK_RUN are the subclass's."""

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

    def serve(self) -> Iterator[Departure]:  # noqa: C901, PLR0912, PLR0915 - one function, for the reason that it gives
        """Serve until the parent is gone, or has said CLOSE and the last child is reaped; the process ends then.

        After a fork, each of the two processes pays some 2 microseconds for each page that it is the first to write
        to, and Python writes to all that it looks at, for it counts references. So what makes a child is one function,
        and what is needed after the fork is in its variables before.

        Yields:
            In each child, once: what it is to do. The frames of this module are off the stack then, so that a function
            has as much of it as in a program of its own. To return would give up all the variables, and so write to
            each object that they name.
        """
        function: Any
        close, dup2, write, pwrite = posix.close, posix.dup2, posix.write, posix.pwrite
        current_frames, from_bytes, byte_order = sys._current_frames, int.from_bytes, NATIVE_ORDER
        set_signal, set_wakeup_fd, interrupt = _signal.signal, _signal.set_wakeup_fd, self._interrupt
        sigchld, sigint, default = _signal.SIGCHLD, _signal.SIGINT, _signal.SIG_DFL
        while True:
            # Once more after each command but FORK_RUN: it may have changed anything, or made another process.
            self._has_changed = False
            if self._departure is not None:
                yield self._departure
            poll, receive, close_control = self._poller.poll, self._control.recvmsg, self._control.close
            wake, inbox, own_fds, out, children = self._wake, self._inbox, self._own_fds, self._out, self._children
            own_title, own_name = self._title, self._title[:MAX_NAME]
            name_fd, memory_fd, title_start = self._titler.places
            channel, may_refuse = self._renew_spare(), self._failure is not None or _hazards.may_run_loop()
            channel_fd, has_arguments = channel.fileno(), bool(self._arguments)
            # The last FORK_RUN, where it can be repeated: it is mostly.
            last: Any = None
            head = payload = None
            # What came together with the last command.
            call = self._next_call()
            is_empty = self._decoder.is_empty
            while True:
                # Fork.
                while call is not None:
                    failure, pid = None, -1
                    if may_refuse or self._used or len(current_frames()) > 1:
                        failure = self._prepare_fork()
                    if failure is None:
                        function, is_plain, theirs = call.function, call.is_plain and is_empty, call.channel
                        must_build = has_arguments or call.arguments
                        if memory_fd >= 0:
                            try:
                                write(name_fd, call.name)
                                pwrite(memory_fd, call.title, title_start)
                            except OSError:
                                memory_fd = -1  # a system that refuses shows the old one
                        try:
                            pid = posix.fork()
                        except OSError as error:
                            failure = pack_fork_failure(error)
                        if pid == 0:
                            # The child. It calls nothing but what the template has looked up for it.
                            set_wakeup_fd(-1)
                            set_signal(sigchld, default)
                            if not is_plain:
                                yield self._become(call, self._inbox_end)
                            set_signal(sigint, interrupt)
                            for fd in own_fds:
                                close(fd)
                            close_control()
                            dup2(theirs, channel_fd, False)
                            close(theirs)
                            yield function, channel, self._build_arguments(call) if must_build else []
                        if memory_fd >= 0 and own_title:
                            write(name_fd, own_name)
                            pwrite(memory_fd, own_title, title_start)
                    if failure is None:
                        children[pid] = call.identifier
                        if call.is_bound:
                            self._bound.add(pid)
                        out += STARTED_FRAME % (call.identifier, pid)
                    else:
                        out += encode(m.FAILED, decode_identifier(call.identifier), failure)
                    if call is last:
                        close(call.channel)
                        break
                    call.close()
                    call = self._next_call()
                if self._has_changed:
                    break
                # Report, and wait for what comes next.
                if out or self._writing:
                    self._write()
                if self._closing and not children and not out:
                    posix._exit(0)
                call = None
                for fd, _ in poll():
                    if fd == wake:
                        self._reap()
                    elif fd == inbox:
                        self._drain_inbox()
                    else:
                        try:
                            data, ancillary, flags, _ = receive(
                                _CHUNK if is_empty else self._chunk(), ANCILLARY_SIZE, RECEIVE_FLAGS
                            )
                        except BlockingIOError:
                            continue
                        except OSError:
                            self._leave()
                        if data[HEADER_SIZE:] == payload and data[:HEAD_SIZE] == head and not flags & TRUNCATED:
                            call = last
                            call.identifier = data[HEAD_SIZE:HEADER_SIZE]
                            call.channel = from_bytes(ancillary[0][2], byte_order)
                        else:
                            call = self._take(data, ancillary, flags)
                            last = head = payload = None
                            if is_empty and call is not None and call.is_repeatable(data):
                                last, head, payload = call, data[:HEAD_SIZE], data[HEADER_SIZE:]
                            is_empty = self._decoder.is_empty

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
            posix.kill(pid, _signal.SIGKILL)
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
                self._report_lost()
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

    def _report_lost(self) -> None:
        """Eval code has waited for children that were not its own: their status is unknown."""
        for pid, identifier in self._children.items():
            self._out += EXITED_FRAME % (identifier, pid, -1, 0, 0, 0)
        self._children.clear()
        self._bound.clear()

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
                except (OSError, ValueError):
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
