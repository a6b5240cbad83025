"""The template's loop: it takes commands, forks, reaps, and reports.

Commands: EVAL, PRELOAD, SEND, FORK, FORK_RUN, RUN, PING, SIGNAL, CLOSE, CONFIGURE, as
``forkcore._messages`` describes them. It never waits for anything but in ``poll``, never runs the
user's code but for what EVAL and PRELOAD ask for, and ends with its parent.

What this module imports, every child of every template pays for.
"""

from __future__ import annotations

import posix
import sys

from forkcore import _child
from forkcore import _messages as m
from forkcore._call import Call, pack_fork_failure, pair
from forkcore._fds import open_missing_standard
from forkcore._leave import BARRIER, call
from forkcore._signals import ignore_children, send_signal
from forkcore._template_loop import TemplateLoop
from forkcore._wire import encode, encode_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, NoReturn

    from forkcore._messages import Field
    from forkcore._template import Departure
    from forkcore._wire import Frame


class Server(TemplateLoop):
    """One idle template process, and the commands that it takes."""

    __slots__ = ()

    def __init__(self, control: int, namespace: dict[str, Any], allowed: Sequence[str]) -> None:
        """Take over this process; see `TemplateProcess`."""
        handlers = {
            m.EVAL: self._eval,
            m.PRELOAD: self._preload,
            m.SEND: self._send,
            m.FORK: self._fork,
            m.RUN: self._run,
            m.PING: self._ping,
            m.SIGNAL: self._signal,
            m.CLOSE: self._close,
            m.CONFIGURE: self._configure,
        }
        super().__init__(control, namespace, allowed, handlers)

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
        wanted = encode_identifier(frame.identifier)
        for pid, identifier in self._children.items():
            if identifier == wanted:
                # Not reaped yet, so the pid can be nobody else's.
                send_signal(pid, number)
                return

    def _close(self, _frame: Frame) -> None:
        self._closing = True

    # Commands that fork, or depart.

    def _fork(self, frame: Frame) -> None:
        """Make another idle process. It is given its title by the parent, so this one's own stays as it is."""
        (control,) = frame.fds
        options = m.unpack(frame.payload)
        pid = self._fork_process(frame.identifier)
        if pid != 0:
            posix.close(control)
            return
        ignore_children()
        self._discard_descriptors()
        self._begin(control)
        self._attempt(lambda: self._start_idle(options))

    def _fork_process(self, identifier: int) -> int | None:
        """Fork.

        Returns:
            The pid; 0 in the new process; None where it was not done, and the parent was told.
        """
        failure = self._prepare_fork()
        if failure is None:
            try:
                pid = posix.fork()
            except OSError as error:
                failure = pack_fork_failure(error)
            else:
                if pid:
                    self._children[pid] = encode_identifier(identifier)
                    self._out += encode(m.STARTED, identifier, b"%d" % pid)
                return pid
        self._out += encode(m.FAILED, identifier, failure)
        return None

    def _start_idle(self, options: list[Field]) -> None:
        _child.reseed()
        self._apply(options)

    def _run(self, frame: Frame) -> None:
        self._renew_spare()
        call = Call(frame, self._namespace, self._titler)
        if self._failure is not None:
            self._out += encode(m.FAILED, frame.identifier, self._failure)
            self._closing = True
            call.close()
            return
        BARRIER.raise_again()
        ignore_children()
        self._titler.write(call.title)
        posix.set_blocking(self._control.fileno(), True)
        self._departure = self._become(call, self._control.fileno())


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


def prepare(control: int, namespace: dict[str, Any] | None = None, allowed: Sequence[str] = ()) -> Iterator[Departure]:
    """Turn this process into a template.

    Args:
        control: The control socket; consumed.
        namespace: Names that eval code and targets of the form ":name" see.
        allowed: Hazards that do not keep it from forking.

    Returns:
        Its loop, for `run`.
    """
    global current  # noqa: PLW0603 - a process is one template at most
    open_missing_standard()
    # wait4 imports it at its first use; every child would pay for that anew.
    __import__("resource")

    if namespace is None:
        namespace = {}
    namespace.setdefault("__builtins__", __builtins__)
    namespace.setdefault("__name__", "__forkcore__")
    current = Server(control, namespace, allowed)
    return current.serve()


def run(loop: Iterator[Departure]) -> NoReturn:
    """Be a template, to the end of this process and of each child.

    Args:
        loop: As `prepare` gives it. It is held by this very frame, which no child leaves: what the loop has in its
            variables is not to be given up there.
    """
    try:
        function, channel, arguments = next(loop)
    except BaseException:  # noqa: BLE001 - only a bug of this module gets here; no exit handler of the program must run
        sys.excepthook(*sys.exc_info())
        posix._exit(70)
    call(function, channel, arguments)
