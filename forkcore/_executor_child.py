"""What a child of `forkcore.ForkExecutor` runs: it takes calls from its channel, and gives results.

A message is a length (8 bytes, little-endian) and so many bytes. Those to the child are the pickle
of a function, its arguments and its keyword arguments; those back are one of the kinds below and a
pickle.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback

from forkcore._child import annotate, users_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

TARGET = "forkcore._executor_child:serve"
LENGTH_SIZE = 8
# Kinds of replies.
RESULT = b"r"  # the pickle of what the function returned
RAISED = b"x"  # what `_describe` gives
UNINITIALIZED = b"i"  # the same, of what the initializer raised; the child ends
UNPICKLABLE = b"u"  # the same, about the call or the result
LAST = b"!"  # before one of these: the child ends, and takes no more calls

_CHUNK = 256 * 1024
NO_LIMIT = 0  # of calls


# Both ends are processes of one program, joined by an anonymous pair of sockets.
load = pickle.loads


class Serving:
    """Whether this process is a child of an executor, and whether it goes on to be one."""

    is_on = False
    is_last = False


class MainModule:
    """What became of the program's main module in this process."""

    is_being_imported = False
    failure = ""


def pack(payload: bytes) -> bytes:
    """Put the length before a message."""
    return len(payload).to_bytes(LENGTH_SIZE, "little") + payload


def serve(channel: Any, *sent: bytes) -> None:
    """Take calls until the channel is at its end, or the number of them is reached.

    Args:
        channel: Of this child.
        sent: What was sent to the template before, which is not for us; the pickle of an
            initializer and its arguments; how many calls, or 0, in ASCII.
    """
    initializer, limit = sent[-2], int(sent[-1])
    own_pid = os.getpid()
    Serving.is_on = True
    # Before there is a call, for a child that was forked ahead has the time.
    failure = _initialize(initializer)
    count = 0
    while limit == NO_LIMIT or count < limit:
        data = _receive(channel)
        if data is None:
            return
        reply = failure or _perform(data)
        if os.getpid() != own_pid:
            return  # a fork that the function has made, and let return: the answer is its parent's
        # Without its initialization, this process is of no use.
        is_last = Serving.is_last or failure is not None
        try:
            channel.sendall(pack(LAST + reply if is_last else reply))
        except (BrokenPipeError, ConnectionResetError):
            return  # nobody waits for the result
        if is_last:
            return
        count += 1


def retire() -> None:
    """In a call of `forkcore.ForkExecutor`: let its child end after this call, and another one take its place.

    For functions that find that their process has grown too large, or is not to be trusted any more.

    Raises:
        RuntimeError: This is no such process.
    """
    if not Serving.is_on:
        raise RuntimeError("retire() works in a child of a ForkExecutor only")
    Serving.is_last = True


def _receive(channel: Any) -> bytearray | None:
    """Give the next message, or None at the end."""
    header = _receive_exactly(channel, LENGTH_SIZE)
    return None if header is None else _receive_exactly(channel, int.from_bytes(header, "little"))


def _receive_exactly(channel: Any, size: int) -> bytearray | None:
    data = bytearray()
    while len(data) < size:
        part = channel.recv(min(size - len(data), _CHUNK))
        if not part:
            return None
        data += part
    return data


def _initialize(data: bytes) -> bytes | None:
    """Call the initializer; gives the reply to the first call, if there will be one, where it fails."""
    try:
        function, arguments, keywords = load(data)
        function(*arguments, **keywords)
    except BaseException as error:  # noqa: BLE001 - it is the answer to the call
        return UNINITIALIZED + _describe(error, "")
    return None


def _perform(data: bytearray) -> bytes:
    try:
        function, arguments, keywords = load(data)
    except BaseException as error:  # noqa: BLE001 - it is the answer to the call
        return UNPICKLABLE + _describe(error, "the call cannot be unpickled in the child" + MainModule.failure)
    try:
        value = function(*arguments, **keywords)
    except BaseException as error:  # noqa: BLE001 - it is the answer to the call
        return RAISED + _describe(error, "")
    try:
        return RESULT + pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # noqa: BLE001 - as above
        return UNPICKLABLE + _describe(error, f"the result, of type {type(value).__qualname__}, cannot be pickled")


def _describe(error: BaseException, about: str) -> bytes:
    """Encode an exception: itself, if it can be pickled, and texts that stand for it otherwise."""
    annotate(error)
    error = error.with_traceback(users_part(error))
    try:
        text = "".join(traceback.format_exception(error))
        message = str(error)
    except BaseException as secondary:  # noqa: BLE001 - by the user's __str__
        text = message = f"<the exception has no text: {type(secondary).__name__}>"
    try:
        itself = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
    except BaseException:  # noqa: BLE001 - by the user's __reduce__
        itself = b""  # the parent makes a RemoteError of the texts
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return pickle.dumps((itself, kind, message, text, about))


def do_nothing() -> None:
    """Initialize nothing: where the user gives no initializer."""


def call_each(function: Callable[..., T], chunk: list[tuple[Any, ...]]) -> list[T]:
    """Perform one chunk of `ForkExecutor.map`."""
    return [function(*arguments) for arguments in chunk]


def import_main(name: str, path: str) -> None:
    """Make functions of the program's main module known in a template, as ``multiprocessing`` does.

    The module runs under the name ``__mp_main__``, so that what is under ``if __name__ ==
    "__main__"`` does not. Where it fails, calls that need it say so.

    Args:
        name: Of the module, for a program that was started by ``-m``; or empty.
        path: Of the file.
    """
    if getattr(sys.modules["__main__"], "__file__", None) == path:
        return  # this is a fork of the program
    import runpy
    import types

    main = types.ModuleType("__mp_main__")
    MainModule.is_being_imported = True
    try:
        if name:
            names = runpy.run_module(name, run_name=main.__name__, alter_sys=True)
        else:
            names = runpy.run_path(path, run_name=main.__name__)
    except BaseException:  # noqa: BLE001 - calls that need it say so
        MainModule.failure = f"; the import of the main module failed there:\n{traceback.format_exc()}"
        return
    finally:
        MainModule.is_being_imported = False
    main.__dict__.update(names)
    sys.modules["__main__"] = sys.modules[main.__name__] = main
