"""Arguments and options, as fields of a frame: the parent's side.

The other side is `forkcore._child`.
"""

from __future__ import annotations

import io
import os
import socket

from forkcore import _messages as m
from forkcore._owned import duplicate
from forkcore._wire import MAX_ARGUMENT
from forkcore.errors import FrameTooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from tempfile import _TemporaryFileWrapper
    from typing import Any, Protocol

    from forkcore._messages import Field
    from forkcore._owned import OwnedFd

    class HasFileno(Protocol):
        """Anything with a descriptor."""

        def fileno(self) -> int: ...

    Passable = int | socket.socket | io.IOBase | _TemporaryFileWrapper[Any] | HasFileno


_NEWLINES = (None, "", "\n", "\r", "\r\n")


class Item:
    """One argument of the function, with the duplicates of its descriptors: one or none."""

    __slots__ = ("fds", "field")

    def __init__(self, field: Field, *fds: OwnedFd) -> None:
        self.field = field
        self.fds = fds


def bytes_item(data: bytes | bytearray | memoryview | str) -> Item:
    """Make an argument of bytes; text is encoded as UTF-8.

    Raises:
        FrameTooLarge: Above 64 MiB.
        TypeError: Something else was given.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    elif not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"send_arg takes bytes, not {type(data).__name__}")
    data = bytes(data)
    if len(data) > MAX_ARGUMENT:
        raise FrameTooLarge(f"an argument of {len(data)} bytes; {MAX_ARGUMENT} is the most")
    return Item((m.BYTES, data))


def descriptor_item(thing: Passable, newline: str | None = None) -> Item:
    """Duplicate an open file, now, whatever becomes of the original.

    Args:
        thing: A descriptor, a socket or a file object; borrowed. What a file object for writing
            has buffered is flushed.
        newline: As for ``open``, if it is a text file.

    Raises:
        ValueError: It is closed, or negative; or there is no such `newline`.
        TypeError: It is none of these.
        OSError: EMFILE; or the flush failed.
    """
    if newline not in _NEWLINES:
        raise ValueError(f"illegal newline: {newline!r}")
    if isinstance(thing, bool):
        raise TypeError("send_fd takes a descriptor, a socket or a file, not a bool")
    if isinstance(thing, int):
        return _duplicate(thing, (m.INTEGER, b""))
    if isinstance(thing, socket.socket):
        return _duplicate(thing.fileno(), (m.SOCKET, b""))
    if isinstance(thing, io.IOBase):
        if thing.closed:
            raise ValueError("send_fd of a closed file")
        if thing.writable():
            thing.flush()
        return _duplicate(thing.fileno(), (m.FILE, _describe_file(thing, newline)))
    fileno = getattr(thing, "fileno", None)
    if fileno is None:
        raise TypeError(f"send_fd takes a descriptor, a socket or a file, not {type(thing).__name__}")
    # A wrapper of a file, as tempfile makes them, or anything else that has a descriptor.
    inner = getattr(thing, "file", None)
    if isinstance(inner, io.IOBase):
        return descriptor_item(inner, newline)
    return _duplicate(fileno(), (m.INTEGER, b""))


def _duplicate(fd: int, field: Field) -> Item:
    try:
        if fd < 0:
            raise ValueError(f"send_fd of a closed object: descriptor {fd}")
        copy = duplicate(fd)
    except OSError as error:
        import errno

        if error.errno == errno.EBADF:
            raise ValueError(f"send_fd of a closed descriptor: {fd}") from error
        raise
    except OverflowError as error:
        raise ValueError(f"send_fd of an impossible descriptor: {fd}") from error
    return Item(field, copy)


def _describe_file(file: io.IOBase, newline: str | None) -> bytes:
    """Say how to open it again: mode, encoding, errors, newline, line buffering or unbuffered."""
    mode = _mode_of(file)
    if isinstance(file, io.TextIOBase):
        text = mode.replace("b", "")
        parts = [
            text,
            file.encoding or "",
            file.errors or "",
            "-" if newline is None else newline,
            "1" if getattr(file, "line_buffering", False) else "",
        ]
    else:
        binary = mode if "b" in mode else mode + "b"
        parts = [binary, "", "", "", "0" if isinstance(file, io.RawIOBase) else ""]
    return "\0".join(parts).encode()


def _mode_of(file: io.IOBase) -> str:
    # The raw file below knows for certain; a text file's own ``mode`` is what open() was given.
    raw = file
    while not isinstance(raw, io.FileIO):
        below = getattr(raw, "buffer", None) or getattr(raw, "raw", None)
        if below is None:
            break
        raw = below
    if isinstance(raw, io.FileIO):
        mode = raw.mode
    elif file.readable():
        mode = "rb+" if file.writable() else "rb"
    else:
        mode = "wb"
    # "x" would ask for a new file, which it is no more.
    return mode.replace("x", "w")


def option_fields(
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    umask: int | None = None,
    sys_path: Sequence[str] | None = None,
    title: str | None = None,
    allow_hazards: Collection[str] | bool = (),
) -> list[Field]:
    """Encode what is set for one process; see `Template.fork` for the arguments."""
    fields: list[Field] = []
    if env is not None:
        fields.append((m.EMPTY_ENVIRONMENT, b""))
        fields += [(m.ENVIRONMENT, os.fsencode(name) + b"=" + os.fsencode(value)) for name, value in env.items()]
    if cwd is not None:
        fields.append((m.DIRECTORY, os.fsencode(cwd)))
    if umask is not None and umask >= 0:
        fields.append((m.UMASK, b"%d" % umask))
    if sys_path is not None:
        fields += [(m.SEARCH_PATH, os.fsencode(entry)) for entry in sys_path]
    if title is not None:
        fields.append((m.TITLE, title.encode("utf-8", "surrogateescape")))
    return fields + hazard_fields(allow_hazards)


def hazard_fields(allowed: Collection[str] | bool) -> list[Field]:  # noqa: FBT001 - True is 'any'
    """Encode hazards that are accepted; True for all of them."""
    return [(m.ALLOW_HAZARDS, name.encode()) for name in hazard_names(allowed)]


def hazard_names(allowed: Collection[str] | bool) -> list[str]:  # noqa: FBT001 - as above
    """Give the names of hazards that are accepted, ``*`` for all."""
    if isinstance(allowed, bool):
        return ["*"] if allowed else []
    if isinstance(allowed, str):
        return [allowed]
    return list(allowed)
