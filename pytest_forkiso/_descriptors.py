"""What a fork would share that must not be shared: connections, databases, a graphics processor. Linux."""

from __future__ import annotations

import contextlib
import os
import socket
import stat

_SQLITE = b"SQLite format 3\0"


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
    if _is_sqlite(fd):
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


def _is_sqlite(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode) and os.pread(fd, len(_SQLITE), 0) == _SQLITE
    except OSError:
        return False
