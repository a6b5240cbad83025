"""What ``ps`` shows of a process.

Linux only; elsewhere the functions do nothing. The area of the arguments is overwritten in place
through /proc/self/mem, as setproctitle does it in C.
"""

from __future__ import annotations

import posix

_STAT_FIELDS_AFTER_NAME = 46  # arg_start, counted from behind the name in parentheses
_MAX_NAME = 15  # TASK_COMM_LEN without its zero


class Titler:
    """Knows where this process, and each fork of it, keeps its arguments."""

    __slots__ = ("_end", "_start")

    def __init__(self) -> None:
        self._start, self._end = _find_arguments()

    def set(self, title: str) -> None:
        """Show a title; what does not fit is cut off. A system that refuses shows the old one."""
        data = title.encode("utf-8", "surrogateescape")
        room = self._end - self._start
        try:
            _write("/proc/self/comm", data[:_MAX_NAME], None)
            if room > 1:
                # Zero bytes at the end are what ps takes for the end of the arguments.
                _write("/proc/self/mem", data[: room - 1].ljust(room, b"\0"), self._start)
        except OSError:
            return


def _write(path: str, data: bytes, position: int | None) -> None:
    fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        if position is None:
            posix.write(fd, data)
        else:
            posix.pwrite(fd, data, position)
    finally:
        posix.close(fd)


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
