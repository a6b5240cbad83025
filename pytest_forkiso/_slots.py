"""Output files of children: made once, before the template, and used again by child after child."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile


_PHASES = ("setup", "call", "teardown")


class PhaseBoard:
    """A page of shared memory where each child notes its phase: it outlives a crash, and writing costs nothing."""

    def __init__(self, slots: int) -> None:
        self._page = mmap.mmap(-1, slots)

    def note(self, slot: int, phase: str) -> None:
        """Note that the child with these output files has begun a phase."""
        self._page[slot] = _PHASES.index(phase)

    def phase(self, slot: int) -> str:
        """Give the phase that was noted last."""
        return _PHASES[self._page[slot]]

    def close(self) -> None:
        """Unmap the page."""
        self._page.close()


class Slot:
    """The files that one child at a time writes to; they outlive a crash.

    Attributes:
        stdout: Descriptor of what pytest captures.
        stderr: As stdout.
        faults: Descriptor of what faulthandler writes.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.stdout = _anonymous_file(f"forkiso-stdout-{number}")
        self.stderr = _anonymous_file(f"forkiso-stderr-{number}")
        self.faults = _anonymous_file(f"forkiso-faults-{number}")

    def descriptors(self) -> tuple[int, int, int]:
        """Give all of them."""
        return self.stdout, self.stderr, self.faults

    def clear(self) -> None:
        """Empty the files, for the next child. The offset is shared with the child: it is set back as well."""
        for fd in self.descriptors():
            if os.fstat(fd).st_size:
                os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)

    def close(self) -> None:
        """Close the files."""
        for fd in self.descriptors():
            os.close(fd)


def read_text(fd: int, limit: int) -> str:
    """Give the end of a file as text.

    Args:
        fd: Of a regular file; its offset is left alone.
        limit: Bytes that are read at the most.
    """
    size = os.fstat(fd).st_size
    start = max(0, size - limit)
    text = os.pread(fd, limit, start).decode("utf-8", "backslashreplace")
    return text if start == 0 else f"[... {start} bytes left out, see the ini option fork_output_limit ...]\n{text}"


def limit_file(fd: int, limit: int) -> None:
    """Leave out the middle of a file that is too long, so that nobody has to hold all of it in memory."""
    size = os.fstat(fd).st_size
    if size <= limit:
        return
    half = limit // 2
    note = f"\n[... {size - 2 * half} bytes left out, see the ini option fork_output_limit ...]\n".encode()
    end = os.pread(fd, half, size - half)
    os.ftruncate(fd, half)
    os.pwrite(fd, note + end, half)
    os.lseek(fd, 0, os.SEEK_END)


def _anonymous_file(name: str) -> int:
    if sys.platform == "linux":
        return os.memfd_create(name, os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(prefix=name) as file:
        return os.dup(file.fileno())
