"""What ``ps`` shows of a process.

Linux only; elsewhere the functions do nothing. The area of the arguments is overwritten in place
through /proc/self/mem, as setproctitle does it in C.
"""

from __future__ import annotations

import posix

from forkcore._fds import above_standard, close_all

_STAT_FIELDS_AFTER_NAME = 46  # arg_start, counted from behind the name in parentheses
_MAX_NAME = 15  # TASK_COMM_LEN without its zero


class Titler:
    """Knows where this process, and each fork of it, keeps its arguments.

    A template gives itself the title of the child that it forks next, and takes its own back
    afterwards: that is much cheaper than to open these files in every child, because a fresh fork
    pays for each page of code and data that it touches. So it keeps them open.
    """

    __slots__ = ("_end", "_start", "fds")

    def __init__(self) -> None:
        self._start, self._end = _find_arguments()
        # Of the name and of the memory; empty where they cannot be opened.
        self.fds: list[int] = []

    def open(self) -> None:
        """Open the files of this very process; it has closed those that it was forked with."""
        self.fds = []
        try:
            for path in ("/proc/self/comm", "/proc/self/mem"):
                self.fds.append(above_standard(posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)))
        except OSError:
            self.close()

    def close(self) -> None:
        """Close them."""
        close_all(self.fds)
        self.fds = []

    def encode(self, title: str) -> bytes:
        """Give the bytes that `write` takes: what does not fit is cut off.

        Zero bytes at the end are what ps takes for the end of the arguments.
        """
        room = max(0, self._end - self._start)
        return title.encode("utf-8", "surrogateescape")[: max(0, room - 1)].ljust(room, b"\0")

    def write(self, data: bytes) -> None:
        """Show a title that `encode` has made; a system that refuses shows the old one."""
        if self.fds and data:
            try:
                posix.write(self.fds[0], name_of(data))
                posix.pwrite(self.fds[1], data, self._start)
            except OSError:
                return

    @property
    def places(self) -> tuple[int, int, int]:
        """Give what `write` writes to: two borrowed descriptors, -1 for none, and the offset in the second."""
        name, memory = self.fds or (-1, -1)
        return name, memory, self._start


def name_of(title: bytes) -> bytes:
    """Give the short name that goes with a title.

    It has no space: at a fork, CPython 3.12 and newer count fields of /proc/self/stat by spaces to find the number of
    threads. With one in the name they find the process's niceness, and warn of threads that there are not.
    """
    return title.replace(b": ", b":", 1)[:_MAX_NAME].replace(b" ", b"_")


def _find_arguments() -> tuple[int, int]:
    try:
        fd = posix.open("/proc/self/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return 0, 0
    try:
        text = posix.read(fd, 4096)
    finally:
        posix.close(fd)
    fields = text[text.rfind(b")") + 1 :].split()
    if len(fields) < _STAT_FIELDS_AFTER_NAME + 1:
        return 0, 0
    # proc(5): field 48 is arg_start, 49 is arg_end; "state", the first one here, is field 3.
    return int(fields[45]), int(fields[46])
