"""Descriptors: making, receiving, closing them; each has one owner at any time.

The template loads this module: it imports nothing that a bare interpreter has not loaded, but for
``_socket``.
"""

from __future__ import annotations

import _socket
import posix
import sys

from forkcore._wire import MAX_FDS_PER_MESSAGE
from forkcore.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

INT_SIZE = 4
NATIVE_ORDER = sys.byteorder
ANCILLARY_SIZE = _socket.CMSG_SPACE(MAX_FDS_PER_MESSAGE * INT_SIZE)
# Not in macOS: there, the flag is set after the fact, in `_read_descriptors`.
CLOEXEC_FLAG: int = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
RECEIVE_FLAGS = CLOEXEC_FLAG | _socket.MSG_DONTWAIT
TRUNCATED = _socket.MSG_CTRUNC
_STANDARD = 3  # stdin, stdout and stderr lie below


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors; one that is closed already is a bug of the caller, and passes."""
    for fd in fds:
        close_quietly(fd)


def close_quietly(fd: int) -> None:
    """Close one descriptor. An error of close itself leaves it closed all the same (close(2))."""
    try:
        posix.close(fd)
    except OSError:
        return


def above_standard(fd: int) -> int:
    """Move a descriptor out of the range of stdin, stdout and stderr.

    A program that has closed one of these gets its number for the next thing that it opens, and
    an interpreter would take that for its stdin.

    Args:
        fd: Consumed, on failure too.

    Returns:
        The descriptor, or a duplicate (close-on-exec) of a number above 2; owned by the caller.
    """
    low = []
    try:
        while fd < _STANDARD:
            low.append(fd)
            fd = posix.dup(fd)
    finally:
        close_all(low)
    return fd


def socket_pair(kind: int = _socket.SOCK_STREAM) -> tuple[int, int]:
    """Make a connected pair of AF_UNIX sockets, close-on-exec, above the standard descriptors.

    Returns:
        Two descriptors, owned by the caller.

    Raises:
        OSError: EMFILE, ENFILE, ENOMEM; nothing stays open.
    """
    one, other = _socket.socketpair(_socket.AF_UNIX, kind)
    first, second = one.detach(), other.detach()
    try:
        first = above_standard(first)
    except OSError:
        close_quietly(second)
        raise
    try:
        second = above_standard(second)
    except OSError:
        close_quietly(first)
        raise
    return first, second


def open_missing_standard() -> None:
    """Let /dev/null take the place of a closed stdin, stdout or stderr.

    Otherwise the next descriptor that is received would become one of them.
    """
    while True:
        fd = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
        if fd >= _STANDARD:
            posix.close(fd)
            return
        posix.set_inheritable(fd, True)


def receive(sock: _socket.socket, size: int) -> tuple[bytes, list[int]]:
    """Receive what there is, without waiting.

    Args:
        sock: Borrowed.
        size: At most so many bytes.

    Returns:
        Bytes (none at the end of the stream) and close-on-exec descriptors, owned by the caller.

    Raises:
        BlockingIOError: There is nothing now.
        ProtocolError: Descriptors were cut off; those that came through are closed.
        OSError: The connection is broken.
    """
    data, ancillary, flags, _ = sock.recvmsg(size, ANCILLARY_SIZE, RECEIVE_FLAGS)
    return data, take_descriptors(ancillary, flags) if ancillary or flags & TRUNCATED else []


def take_descriptors(ancillary: list[tuple[int, int, bytes]], flags: int) -> list[int]:
    """Take the descriptors out of what ``recvmsg`` gave.

    Args:
        ancillary: Control messages; the descriptors in them are consumed.
        flags: Of the message.

    Returns:
        Close-on-exec descriptors, owned by the caller.

    Raises:
        ProtocolError: Descriptors were cut off; those that came through are closed.
    """
    fds = _read_descriptors(ancillary)
    if flags & TRUNCATED:
        close_all(fds)
        raise ProtocolError("descriptors were cut off: too many open files")
    return fds


def _read_descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            # A trailing part of an integer is what a truncation leaves.
            starts = range(0, len(data) - INT_SIZE + 1, INT_SIZE)
            fds += [int.from_bytes(data[start : start + INT_SIZE], NATIVE_ORDER) for start in starts]
    if not CLOEXEC_FLAG:
        for fd in fds:
            posix.set_inheritable(fd, False)
    return fds


def encode_descriptors(fds: list[int]) -> list[tuple[int, int, bytes]]:
    """Give the control message that passes descriptors."""
    if not fds:
        return []
    data = b"".join([fd.to_bytes(INT_SIZE, NATIVE_ORDER) for fd in fds])
    return [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, data)]
