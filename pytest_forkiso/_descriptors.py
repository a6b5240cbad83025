"""What a fork would share that must not be shared: connections, databases, a graphics processor. Linux."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import socket
import stat
import sys

_SQLITE = b"SQLite format 3\0"
_SQLITE_ENDINGS = (".db", ".db3", ".sqlite", ".sqlite3")
"""Of a database that is empty yet, nothing but its name tells what it is, unless Python knows of it."""


def open_descriptors() -> dict[int, str]:
    """Give the descriptors of this process, and what they refer to; nothing where the system does not tell."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with contextlib.suppress(FileNotFoundError):  # that of the listing itself
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
    return found


def describe_shared(fd: int, target: str) -> str | None:
    """Say what a fork would share.

    Args:
        fd: Borrowed.
        target: What it refers to, as /proc has it.

    Returns:
        The end of a sentence; None where nothing speaks against sharing it.
    """
    if target.startswith("socket:"):
        peer = _peer(fd)
        return None if peer is None else f"the connection to {peer}"
    if target.startswith("/dev/nvidia"):
        return f"CUDA, which is initialised ({target})"
    if _is_sqlite(fd, target):
        return f"the open database {target}"
    return None


def _peer(fd: int) -> str | None:
    """Give the other end of a connection to another program; None for a pair of sockets, and for one that listens."""
    try:
        with socket.socket(fileno=os.dup(fd)) as copy:
            peer = copy.getpeername()
    except OSError:
        return None
    if isinstance(peer, tuple):
        return f"{peer[0]}:{peer[1]}"
    return os.fsdecode(peer) or None


def _is_sqlite(fd: int, target: str) -> bool:
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return False
        if status.st_size == 0:
            if status.st_nlink == 0:
                return False  # a temporary file, as pytest's own for what it captures
            return _is_opened_as_database(fd) and (target.endswith(_SQLITE_ENDINGS) or _has_sqlite_connection())
        return os.pread(fd, len(_SQLITE), 0) == _SQLITE
    except OSError:
        return False


def _is_opened_as_database(fd: int) -> bool:
    """Tell whether a file can be both read and written, and is not written at its end only."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    return flags & os.O_ACCMODE == os.O_RDWR and not flags & os.O_APPEND


def _has_sqlite_connection() -> bool:
    """Tell whether there is a connection of the module sqlite3; looks at all objects, and is asked seldom."""
    kind = getattr(sys.modules.get("sqlite3"), "Connection", None)
    return kind is not None and any(issubclass(type(each), kind) for each in gc.get_objects())
