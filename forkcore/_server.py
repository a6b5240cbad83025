"""The template's loop: it takes commands, forks, reaps, and reports.

Commands: EVAL, PRELOAD, SEND, FORK, FORK_RUN, RUN, PING, SIGNAL, CLOSE, BIND, CONFIGURE, as
``forkcore._messages`` describes them. It never waits for anything but in ``poll``, never runs the
user's code but for what EVAL and PRELOAD ask for, and ends with its parent.

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
from forkcore._call import Call, pair, send_report
from forkcore._fds import close_all, open_missing_standard, receive, socket_pair
from forkcore._signals import heed_children, ignore_children, take_signals
from forkcore._title import Titler
from forkcore._wire import HEADER_SIZE, Decoder, Frame, encode
from forkcore.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn, TypeAlias

    from forkcore._messages import Field

    # What a child is to do: the function, its channel, and what was sent.
    Departure: TypeAlias = tuple[Callable[..., object], Any, list[Any]]

_CHUNK = 8 * 1024
_LARGE_CHUNK = 1024 * 1024
_INBOX_CHUNK = 64 * 1024


class Server:
    """One idle template process."""

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
        "_inbox",
        "_inbox_end",
        "_interrupt",
        "_namespace",
        "_out",
        "_own_fds",
        "_poller",
        "_title",
        "_titler",
        "_used",
        "_writing",
    )

    def __init__(self, control: int, namespace: dict[str, Any], allowed: Sequence[str]) -> None:
        """Take over this process.

        Args:
            control: The control socket; consumed.
            namespace: Where `eval` code runs.
            allowed: Hazards that do not keep it from forking.
        """
        self._namespace = namespace
        self._allowed = list(allowed)
        self._arguments: list[tuple[Field, int | None]] = []
        self._failure: bytes | None = None
        self._titler = Titler()
        self._title = b""
        self._interrupt = take_signals()
        self._handlers = {
            m.EVAL: self._eval,
            m.PRELOAD: self._preload,
            m.SEND: self._send,
            m.FORK: self._fork,
            m.FORK_RUN: self._fork_run,
            m.RUN: self._run,
            m.PING: self._ping,
            m.SIGNAL: self._signal,
            m.CLOSE: self._close,
            m.BIND: self._bind,
            m.CONFIGURE: self._configure,
        }
        self._inbox = self._inbox_end = -1
        self._departure: Departure | None = None
        self._begin(control)

    def _begin(self, control: int) -> None:
        """Start the life of a process of its own: nothing said before, and no children."""
        self._control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, control)
        self._decoder = Decoder()
        self._out = bytearray()
        self._children: dict[int, int] = {}
        self._bound: set[int] = set()
        self._closing = self._writing = False
        self._used = True
        # Datagrams: one byte for each signal, by the interpreter; whole frames, by children.
        inbox, self._inbox_end = socket_pair(_socket.SOCK_DGRAM)
        self._inbox = inbox
        posix.set_blocking(inbox, False)
        posix.set_blocking(self._inbox_end, False)
        self._titler.open()
        self._own_fds = [control, inbox, self._inbox_end, *self._titler.fds]
        heed_children(self._inbox_end)
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)
        self._poller.register(inbox, select.POLLIN)

    # The loop.

    def serve(self) -> Departure:
        """Serve until the parent is gone, or has said CLOSE and the last child is reaped; the process ends then.

        Returns:
            In each child, what it is to do. The frames of this module are off the stack when it does, so that a
            function has as much of it as in a program of its own.
        """
        while self._departure is None:
            if self._out:
                self._write()
            if self._closing and not self._children and not self._out:
                posix._exit(0)
            ready = self._poller.poll()
            # The control socket comes last: handling it may replace both descriptors.
            control = False
            for fd, _ in ready:
                if fd == self._inbox:
                    self._drain_inbox()
                    self._reap()
                else:
                    control = True
            if control:
                self._read()
        return self._departure

    def _read(self) -> None:
        decoder = self._decoder
        size = _LARGE_CHUNK if decoder.missing > _CHUNK else _CHUNK
        try:
            data, fds = receive(self._control, size)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            self._leave()
        if not data:
            self._leave()
        decoder.feed(data, fds)
        try:
            frame = decoder.next_frame()
            # A process that was just forked off has a decoder of its own, and leaves the loop.
            while frame is not None:
                self._handlers[frame.kind](frame)
                is_ours = decoder is self._decoder and self._departure is None
                frame = decoder.next_frame() if is_ours else None
        except (ProtocolError, KeyError, IndexError, ValueError):
            # Whoever writes there is no forkcore of this version.
            self._leave()

    def _leave(self) -> NoReturn:
        """End with the parent, and with the children that asked to."""
        for pid in self._bound:
            posix.kill(pid, _signal.SIGKILL)
        posix._exit(0)

    def _write(self) -> None:
        try:
            sent = self._control.send(self._out, _socket.MSG_DONTWAIT)
            del self._out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            # Broken: what it still has to say to us, and its end, is found by reading.
            self._out.clear()
        if self._writing is not bool(self._out):
            self._writing = bool(self._out)
            events = select.POLLIN | (select.POLLOUT if self._writing else 0)
            self._poller.modify(self._control, events)

    def _reap(self) -> None:
        while self._children:
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
            identifier = self._children.pop(pid, None)
            # A process that eval code has made is reaped too; nobody asks for it.
            if identifier is not None:
                self._bound.discard(pid)
                payload = b"%d %d %d %d %d" % (
                    pid,
                    status,
                    usage.ru_utime * 1e6,
                    usage.ru_stime * 1e6,
                    usage.ru_maxrss,
                )
                self._out += encode(m.EXITED, identifier, payload)

    def _report_lost(self) -> None:
        """Eval code has waited for children that were not its own: their status is unknown."""
        for pid, identifier in self._children.items():
            self._out += encode(m.EXITED, identifier, b"%d -1 0 0 0" % pid)
        self._children.clear()
        self._bound.clear()

    def _drain_inbox(self) -> None:
        try:
            while True:
                data = posix.read(self._inbox, _INBOX_CHUNK)
                # Single bytes come from the interpreter's signal handler, one for each signal.
                if len(data) >= HEADER_SIZE:
                    self._out += data
        except BlockingIOError:
            return

    # Commands that run the user's code.

    def _eval(self, frame: Frame) -> None:
        fields = m.unpack(frame.payload)
        arguments = [_child.build_argument(field, None) for field in fields[1:]]
        self._attempt(lambda: self._execute(fields[0][1].decode(), arguments))

    def _execute(self, code: str, arguments: list[Any]) -> None:
        self._namespace["args"] = arguments
        try:
            exec(compile(code, "<eval>", "exec"), self._namespace)  # noqa: S102 - what `eval` is for
        finally:
            self._namespace.pop("args", None)

    def _preload(self, frame: Frame) -> None:
        names = [data.decode() for _, data in m.unpack(frame.payload)]
        self._attempt(lambda: [__import__(name) for name in names])

    def _attempt(self, action: Any) -> None:
        """Do what may fail; the first failure stays this template's answer to everything."""
        if self._failure is not None:
            return
        self._used = True
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - SystemExit too must reach the parent
            self._failure = _child.describe_failure(error)

    # Commands about this process.

    def _send(self, frame: Frame) -> None:
        self._arguments += pair(m.unpack(frame.payload), frame.fds)

    def _configure(self, frame: Frame) -> None:
        options = m.unpack(frame.payload)
        self._attempt(lambda: self._apply(options))

    def _apply(self, options: list[Field]) -> None:
        for tag, data in options:
            if tag == m.TITLE:
                self._title = self._titler.encode(data.decode("utf-8", "surrogateescape"))
                self._titler.write(self._title)
            elif tag == m.ALLOW_HAZARDS:
                self._allowed.append(data.decode())
        _child.apply_options(options)

    def take_arguments(self) -> list[Any]:
        """Hand what was sent so far to code in this process; see `forkcore.take_args`."""
        taken, self._arguments = self._arguments, []
        return [_child.build_argument(field, fd) for field, fd in taken]

    def _ping(self, frame: Frame) -> None:
        if self._failure is None:
            self._out += encode(m.READY, frame.identifier)
        else:
            self._out += encode(m.ERROR, frame.identifier, self._failure)

    def _signal(self, frame: Frame) -> None:
        number = int(frame.payload)
        for pid, identifier in self._children.items():
            if identifier == frame.identifier:
                # Not reaped yet, so the pid can be nobody else's.
                posix.kill(pid, number)
                return

    def _bind(self, frame: Frame) -> None:
        for pid, identifier in self._children.items():
            if identifier == frame.identifier:
                self._bound.add(pid)

    def _close(self, _frame: Frame) -> None:
        self._closing = True

    # Commands that fork.

    def _refuse_fork(self) -> bytes | None:
        """Give the failure that keeps this process from forking, if there is one."""
        if self._failure is not None:
            return self._failure
        hazards = _hazards.find_hazards()
        if hazards:
            hazards = _hazards.refused(hazards, self._allowed)
        if hazards:
            return m.pack_failure(m.HAZARD, _hazards.describe(hazards), *hazards)
        return None

    def _fork_process(self, identifier: int, title: bytes) -> int | None:
        """Fork.

        What the child must not find, the template takes away before and restores afterwards: its
        own code and data are warm, while a fresh fork pays for each page that it touches.

        Returns:
            The pid; 0 in the new process; None where it was not done, and the parent was told.
        """
        failure = self._refuse_fork()
        if failure is not None:
            self._out += encode(m.FAILED, identifier, failure)
            return None
        if self._used:
            self._settle()
        self._titler.write(title)
        ignore_children()
        try:
            pid = posix.fork()
        except OSError as error:
            pid = None
            failure = m.pack_failure(m.FORK_FAILED, str(error.errno), str(error.strerror))
            self._out += encode(m.FAILED, identifier, failure)
        if pid == 0:
            return 0
        heed_children(self._inbox_end)
        self._titler.write(self._title)
        if pid:
            self._children[pid] = identifier
            self._out += encode(m.STARTED, identifier, b"%d" % pid)
        # Whoever ended meanwhile has woken nobody.
        self._reap()
        return pid

    def _settle(self) -> None:
        """Before the first fork after any code has run here."""
        self._used = False
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                try:
                    stream.flush()
                except (OSError, ValueError):
                    continue  # its buffer stays, and each child shows the same error
        # A collection in a child would write to every object, and so copy every page.
        gc.freeze()

    def _fork(self, frame: Frame) -> None:
        (control,) = frame.fds
        options = m.unpack(frame.payload)
        pid = self._fork_process(frame.identifier, self._title)
        if pid != 0:
            posix.close(control)
            return
        self._discard_descriptors()
        self._begin(control)
        self._attempt(lambda: self._start_idle(options))

    def _start_idle(self, options: list[Field]) -> None:
        _child.reseed()
        self._apply(options)

    def _fork_run(self, frame: Frame) -> None:
        call = Call(frame, self._namespace)
        pid = self._fork_process(frame.identifier, self._titler.encode(call.title))
        if pid == 0:
            self._become(call, self._inbox_end)
            return
        call.close()
        if pid and call.is_bound:
            self._bound.add(pid)

    def _run(self, frame: Frame) -> None:
        call = Call(frame, self._namespace)
        if self._failure is not None:
            self._out += encode(m.FAILED, frame.identifier, self._failure)
            self._closing = True
            call.close()
            return
        ignore_children()
        self._titler.write(self._titler.encode(call.title))
        posix.set_blocking(self._control.fileno(), True)
        self._become(call, self._control.fileno())

    def _become(self, call: Call, report: int) -> None:
        """Turn this process into the child: the loop ends with what it is to do.

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
                _child.apply_options(call.options)
            if function is None:
                function = _child.resolve(call.target, self._namespace)
        except BaseException as error:  # noqa: BLE001 - whatever the user's module raises
            failure = encode(m.FAILED, call.identifier, _child.describe_failure(error))
            send_report(report, failure)
            posix._exit(1)
        self._discard_descriptors()
        arguments: list[Any] = []
        pairs = self._arguments + call.arguments
        if pairs:
            self._arguments = call.arguments = []
            arguments = [_child.build_argument(field, fd) for field, fd in pairs]
        self._departure = (function, call.channel, arguments)

    def _discard_descriptors(self) -> None:
        """Close what belongs to the server; only arguments stay open."""
        for fd in self._own_fds:
            posix.close(fd)
        # Without closing it again: the number may be another's by now.
        self._control.detach()
        close_all(self._decoder.take_leftovers())


# The server of this process, for code that runs in it (`forkcore.take_args`).
current: Server | None = None


def take_args() -> list[Any]:
    """Take, and clear, what was sent to this idle process so far.

    For code that `Template.eval` runs: children that are forked later do not get these arguments.

    Returns:
        Bytes, descriptors, sockets and files in the order in which they were sent; the caller
        owns them. Nothing once the function that `run` asked for has been called.

    Raises:
        RuntimeError: This process is no template.
    """
    if current is None:
        raise RuntimeError("take_args() works in a template and its children only")
    return current.take_arguments()


def serve(control: int, namespace: dict[str, Any] | None = None, allowed: Sequence[str] = ()) -> Departure:
    """Turn this process into a template.

    Args:
        control: The control socket; consumed.
        namespace: Names that eval code and targets of the form ":name" see.
        allowed: Hazards that do not keep it from forking.

    Returns:
        In each child: the arguments for `_child.call`, which ends the process.
    """
    global current  # noqa: PLW0603 - a process is one template at most
    open_missing_standard()
    # wait4 imports it at its first use; every child would pay for that anew.
    import resource  # noqa: F401

    if namespace is None:
        namespace = {}
    namespace.setdefault("__builtins__", __builtins__)
    namespace.setdefault("__name__", "__forkcore__")
    current = Server(control, namespace, allowed)
    try:
        return current.serve()
    except BaseException:  # noqa: BLE001 - only a bug of this module gets here; no exit handler of the program must run
        sys.excepthook(*sys.exc_info())
        posix._exit(70)


def main(control: int) -> NoReturn:
    """Be a template, from the start of an interpreter to the end of each child.

    Args:
        control: The control socket; consumed.
    """
    _child.call(*serve(control))
