"""Stands in for the interpreter that pytest-xdist starts for a worker, and has a template fork the worker instead.

Executed as a script, by path, with the interpreter's ``-I -S``: it imports nothing but built-in modules, so that it
starts at once. It hands its standard streams over, and becomes a shell that waits, so that its exit status is that of
the worker. `_worker_server` is at the other end of the socket.

Usage: _launcher.py SOCKET [-u] [-B] -c CODE, where CODE is what the interpreter would have executed.
"""

from __future__ import annotations

import _signal
import _socket
import posix
import sys

WAIT = """
ulimit -c 0
read -r status reason <&3 || status=1
[ -z "$reason" ] || printf '%s\\n' "$reason" >&2
case $status in -*) kill "$status" $$ ;; esac
exit "${status#-}"
"""
"""What the shell does that stands there for the worker: to wait takes little of an interpreter's memory.

It reads a line from the socket: the worker's exit code or the negative number of the signal that ended it, and ends
alike. A text may follow, which says why there was no worker.
"""


def request(arguments: list[str]) -> bytes:
    """Give what the worker has to know of this process, as NUL-terminated fields.

    Umask, working directory, the interpreter's arguments joined by blanks, and the environment.
    """
    umask = posix.umask(0)
    posix.umask(umask)
    environment = [name + b"=" + value for name, value in posix.environ.items()]
    flags = " ".join(arg for arg in arguments if arg in ("-u", "-B")).encode()
    fields = [b"%d" % umask, posix.getcwdb(), flags, *environment]
    return b"".join(field + b"\0" for field in fields)


def hand_over(sock: _socket.socket, data: bytes) -> None:
    """Send the standard streams with a request, after its length, and let go of input and output here.

    While this process held them, neither the worker's end nor that of pytest would be seen at the other side.
    """
    descriptors = b"".join(fd.to_bytes(4, sys.byteorder) for fd in (0, 1, 2))
    header = len(data).to_bytes(4, "big")
    sock.sendmsg([header], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    sock.sendall(data)
    null = posix.open("/dev/null", posix.O_RDWR)
    for fd in (0, 1):
        posix.dup2(null, fd)
    posix.close(null)


def main(path: str, arguments: list[str]) -> None:
    """Have a worker forked, and become what waits for its end."""
    # Ctrl-C reaches the worker as well: what it makes of it is for this process to tell.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(path)
        hand_over(sock, request(arguments))
    except OSError as error:
        sys.exit(f"forkiso: no worker can be forked: {error}")
    posix.dup2(sock.fileno(), 3)
    posix.set_inheritable(3, True)  # where it was 3 already
    posix.execv("/bin/sh", ["/bin/sh", "-c", WAIT, "forkiso: stands for a worker"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
