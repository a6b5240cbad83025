"""Output files of children: made once, before the template, and used again by child after child."""

from __future__ import annotations

import mmap
import os
import tempfile

_PHASES = ("setup", "call", "teardown")
_NOT_BEGUN = len(_PHASES)
_KINDS = ("stdout", "stderr", "faults", "log")
_NOTE_LENGTH = 100
# Bound now: a test may replace names of the module `os`, and is reported all the same.
_fstat = os.fstat


class Slot:
    """The files that one child at a time writes to; they outlive a crash.

    Attributes:
        number: Its place in the table.
        stdout: Descriptor of what pytest captures.
        stderr: As stdout.
        faults: Descriptor of what faulthandler writes.
        log: Descriptor of what pytest captures of the log.
    """

    def __init__(self, number: int, descriptors: tuple[int, int, int, int]) -> None:
        self.number = number
        self.stdout, self.stderr, self.faults, self.log = descriptors

    def clear(self) -> None:
        """Empty the files, for the next child. The offset is shared with the child: it is set back as well."""
        for fd in (self.stdout, self.stderr, self.faults, self.log):
            if os.fstat(fd).st_size:
                os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)


class SlotTable:
    """All slots, and a page of shared memory where each child notes its phase.

    Writing there costs nothing, and what is written outlives a crash. The descriptors are owned by the process that
    made the table; forks have them too, and a process that was given them can `attach`.

    Attributes:
        slots: In the order of their numbers.
    """

    def __init__(self, descriptors: list[int]) -> None:
        self._descriptors = descriptors
        self._page = mmap.mmap(descriptors[0], mmap.PAGESIZE)
        files = iter(descriptors[1:])
        self.slots = [Slot(number, fds) for number, fds in enumerate(zip(files, files, files, files, strict=True))]

    @classmethod
    def create(cls, count: int) -> SlotTable:
        """Make the files of so many slots."""
        page = anonymous_file("forkiso-phases")
        os.ftruncate(page, mmap.PAGESIZE)
        names = [f"forkiso-{kind}-{number}" for number in range(count) for kind in _KINDS]
        return cls([page, *map(anonymous_file, names)])

    @property
    def descriptors(self) -> list[int]:
        """What another process needs to `attach`, under the same numbers."""
        return self._descriptors

    def note_phase(self, slot: Slot, phase: str) -> None:
        """Note that the child with these files has begun a phase."""
        self._page[slot.number] = _PHASES.index(phase)

    def note_order(self, slot: Slot) -> None:
        """Note that the child with these files has been told its test, and has not begun it."""
        self._page[slot.number] = _NOT_BEGUN

    def has_begun(self, slot: Slot) -> bool:
        """Tell whether the child with these files has shown that it is alive, by beginning its test."""
        return self._page[slot.number] != _NOT_BEGUN

    def phase(self, slot: Slot) -> str:
        """Give the phase that was noted last; that before all others, where a test wrote over the note."""
        noted = self._page[slot.number]
        return _PHASES[noted if noted < len(_PHASES) else 0]

    def close(self) -> None:
        """Unmap the page, and close the files."""
        self._page.close()
        for fd in self._descriptors:
            os.close(fd)


def read_output(slot: Slot, limit: int) -> list[tuple[str, str]]:
    """Give what was captured, by the names that pytest has for it; nothing where there is none."""
    files = (("stdout", slot.stdout), ("stderr", slot.stderr), ("log", slot.log))
    read = [(name, read_text(fd, limit)) for name, fd in files]
    return [(name, text.strip() if name == "log" else text) for name, text in read if text]


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
    size = _fstat(fd).st_size
    if size <= limit:
        return
    half = max(0, limit - _NOTE_LENGTH) // 2  # with the note it is within the limit, and is shortened only once
    note = f"\n[... {size - 2 * half} bytes left out, see the ini option fork_output_limit ...]\n".encode()
    end = os.pread(fd, half, size - half)
    os.ftruncate(fd, half)
    os.pwrite(fd, note + end, half)
    os.lseek(fd, 0, os.SEEK_END)


def anonymous_file(name: str) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(prefix=name) as file:
        return os.dup(file.fileno())
