"""One call of a `forkcore.ForkExecutor`, and a child that performs calls: the parent's side."""

from __future__ import annotations

import logging
import pickle
import socket
import traceback
from concurrent.futures import InvalidStateError

from forkcore import _executor_child
from forkcore.errors import ChildDied, NotPicklable, RemoteError, RemoteTraceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Any

    from forkcore._sync import Child
    from forkcore.errors import ForkcoreError
    from forkcore.sandbox import Sandbox

_CHUNK = 256 * 1024
_MAIN_NAMES = (b"__main__", b"__mp_main__")  # the second, in what came from a child


class Call:
    """A function with its arguments, pickled, and the future of its result."""

    __slots__ = ("future", "payload")

    def __init__(self, future: Future[Any], payload: bytes) -> None:
        self.future = future
        self.payload = payload

    @property
    def needs_main(self) -> bool:
        """Whether it seems to refer to the program's main module."""
        return any(name in self.payload for name in _MAIN_NAMES)

    def answer(self, reply: bytes) -> None:
        """Resolve the future by what the child has sent."""
        kind, payload = reply[:1], memoryview(reply)[1:]
        value: Any = None
        try:
            value = _executor_child.load(payload)
            failure: BaseException | None = None if kind == _executor_child.RESULT else _rebuild(kind, value)
        except BaseException as error:  # noqa: BLE001 - by the user's own classes; or the function wrote to our channel
            text = traceback.format_exception_only(error)[-1].strip()
            failure = NotPicklable(f"the result cannot be unpickled in this process: {text}")
            failure.__cause__ = error
        if failure is None:
            self._settle(self.future.set_result, value)
        else:
            self.fail(failure)

    def fail(self, error: BaseException) -> None:
        """Resolve the future by an exception."""
        self._settle(self.future.set_exception, error)

    def _settle(self, how: Callable[[Any], None], value: object) -> None:
        try:
            how(value)
        except InvalidStateError:
            return  # its user has resolved it
        except BaseException:
            # Of a callback, as SystemExit; others are logged by the future itself, in these words. Other calls go on.
            logging.getLogger("concurrent.futures").exception("exception calling callback for %r", self.future)


def pickle_call(function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
    """Encode a call.

    Raises:
        NotPicklable: It cannot be.
    """
    try:
        return pickle.dumps((function, arguments, keywords), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise NotPicklable(f"the call of {function!r} cannot be pickled: {error}") from error


def _rebuild(kind: bytes, description: tuple[bytes, str, str, str, str]) -> BaseException:
    """Make the exception that a child has described."""
    itself, name, message, trace, about = description
    try:
        loaded = _executor_child.load(itself) if itself else None
    except BaseException:  # noqa: BLE001 - by the user's own classes
        loaded = None
    stand_in = RemoteError(f"{name}: {message}", name, trace)
    error = loaded if isinstance(loaded, BaseException) else stand_in
    try:
        _add_to(error, kind, trace)
    except BaseException:  # noqa: BLE001 - a class may refuse to have attributes set
        error = stand_in
        _add_to(error, kind, trace)
    if kind != _executor_child.UNPICKLABLE:
        return error
    failure = NotPicklable(f"{about}: {name}: {message}")
    failure.__cause__ = error
    return failure


def _add_to(error: BaseException, kind: bytes, trace: str) -> None:
    error.__cause__ = RemoteTraceback(trace)
    if kind == _executor_child.UNINITIALIZED:
        error.add_note("raised by the initializer")


class Performer:
    """A child and the call that it performs; owns the child and its channel.

    Attributes:
        child: Itself.
        call: What it performs; None between calls.
        calls_left: How many more it takes; None for any number.
        has_main: It knows the program's main module.
        idle_since: When it was done with its last call, as ``time.monotonic`` has it.
        is_at_end: Nothing more will come from its channel.
        outgoing: What it has not been sent yet.
    """

    __slots__ = (
        "_incoming",
        "_sandbox",
        "call",
        "calls_left",
        "child",
        "has_main",
        "idle_since",
        "is_at_end",
        "outgoing",
    )

    def __init__(self, child: Child, calls_left: int | None, sandbox: Sandbox | None = None, *, has_main: bool) -> None:
        child.channel.setblocking(False)
        self._sandbox = sandbox
        self.child = child
        self.call: Call | None = None
        self.calls_left = calls_left
        self.has_main = has_main
        self.idle_since = 0.0
        self.is_at_end = False
        self.outgoing = memoryview(b"")
        self._incoming = bytearray()

    def begin(self, call: Call) -> None:
        """Send it a call, as much of it as goes now."""
        self.call = call
        if self.calls_left is not None:
            self.calls_left -= 1
        self.outgoing = memoryview(_executor_child.pack(call.payload))
        self.write_some()

    def write_some(self) -> None:
        """Send what goes without waiting."""
        try:
            while self.outgoing:
                sent = self.child.channel.send(self.outgoing[:_CHUNK])
                self.outgoing = self.outgoing[sent:]
        except BlockingIOError:
            return
        except OSError:
            # It is gone: its end is reported, and what it said before can still be read.
            self.outgoing = memoryview(b"")

    def read_some(self) -> None:
        """Receive what has come; resolves the future once the reply is complete."""
        while not self.is_at_end:
            try:
                part = self.child.channel.recv(_CHUNK)
            except BlockingIOError:
                break
            except OSError:
                part = b""
            self._incoming += part
            self.is_at_end = not part
        self._take_reply()

    def _take_reply(self) -> None:
        if len(self._incoming) < _executor_child.LENGTH_SIZE:
            return
        end = _executor_child.LENGTH_SIZE + int.from_bytes(self._incoming[: _executor_child.LENGTH_SIZE], "little")
        if len(self._incoming) < end or self.call is None:
            return
        reply = bytes(self._incoming[_executor_child.LENGTH_SIZE : end])
        del self._incoming[:end]
        call, self.call = self.call, None
        if reply.startswith(_executor_child.LAST):
            self.calls_left = 0
        call.answer(reply.removeprefix(_executor_child.LAST))

    def dismiss(self) -> None:
        """Tell it to end: it waits for a call that will not come."""
        try:
            self.child.channel.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it has ended by itself

    def end(self, failure: ForkcoreError | None) -> None:
        """Note that the process is gone: a call without a reply has failed.

        Args:
            failure: Why its exit status is not known, or why it never ran.
        """
        try:
            self.read_some()
        finally:
            self.child.channel.close()
        if self.call is None:
            return
        call, self.call = self.call, None
        if failure is None:
            status = self.child.poll()
            text = f"the child of this call (pid {self.child.pid}) {status} before it gave a result"
            failure = ChildDied(text, self.child.pid, status)
            reason = None if self._sandbox is None or status is None else self._sandbox.explain(status)
            if reason is not None:
                failure.add_note(reason)
        call.fail(failure)
