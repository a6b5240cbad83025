"""Descriptors that close themselves: for the parent, whose code may be interrupted at any step.

A handler of a signal runs between two steps of the interpreter, and may raise; a destructor may run nearly anywhere.
What has to be one step is one call of C here: CPython looks for signals after a call, not in the middle of it.
"""

from __future__ import annotations

import _socket
import posix
import socket

from forkcore._fds import above_standard

_STANDARD = 3  # stdin, stdout and stderr lie below


class OwnedFd(int):
    """A descriptor that is closed when nobody refers to it any more."""

    __slots__ = ()

    def __del__(self) -> None:
        try:
            posix.close(self)
        except OSError:
            return  # somebody else has closed it, or it is the end of the interpreter


def duplicate(fd: int) -> OwnedFd:
    """Duplicate a descriptor, close-on-exec, above the standard ones.

    Raises:
        OSError: EMFILE, EBADF.
    """
    (copy,) = map(OwnedFd, map(posix.dup, (fd,)))
    # A low one stays open, as a local variable, until a higher one is found.
    return copy if copy >= _STANDARD else duplicate(copy)


def make_pair() -> tuple[socket.socket, OwnedFd]:
    """Make a connected pair of AF_UNIX sockets, close-on-exec, above the standard descriptors.

    Returns:
        One end for this process, and one to be passed; both owned by the caller.

    Raises:
        OSError: EMFILE, ENFILE, ENOMEM; nothing stays open.
    """
    ours, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    if ours.fileno() < _STANDARD:
        try:
            ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=above_standard(ours.detach()))
        except OSError:
            other.close()
            raise
    (theirs,) = map(OwnedFd, map(_socket.socket.detach, (other,)))
    if theirs >= _STANDARD:
        return ours, theirs
    try:
        return ours, duplicate(theirs)
    except OSError:
        ours.close()
        raise
