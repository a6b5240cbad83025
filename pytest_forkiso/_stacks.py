"""Which libraries a native thread runs: read from the return addresses on its stack. Linux."""

from __future__ import annotations

import bisect
import os
import re
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_ATTEMPTS = 20
_PAUSE = 0.001
"""Seconds between attempts: OpenMP's threads look for work for some milliseconds before they sleep."""
_LONGEST = 256 * 1024
"""Bytes of a stack that are looked at: a thread that waits has used some thousand, thread-local storage included."""

_SYSTEM = re.compile(r"\[vdso\]|(ld|ld-linux|ld-musl|libc|libm|libpthread|libgcc_s|libstdc\+\+)[-.\w]*\.so[.\d]*\Z")


def libraries_on_stacks(threads: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Find the libraries, other than those of the system, that threads of this process have called.

    Args:
        threads: The kernel's numbers of them.

    Returns:
        Paths for each thread, innermost first. None where it does not sleep, or where the system does not tell.
    """
    space = _AddressSpace()
    return {thread: _libraries(thread, space) for thread in threads}


class _Mapping(NamedTuple):
    start: int
    end: int
    path: str | None  # of the library whose code it is


class _AddressSpace:
    """What lies where in the memory of this process."""

    def __init__(self) -> None:
        self._mappings = [_parse(line) for line in _read("/proc/self/maps").splitlines()]
        self._starts = [mapping.start for mapping in self._mappings]

    def find(self, address: int) -> _Mapping | None:
        index = bisect.bisect_right(self._starts, address) - 1
        return self._mappings[index] if index >= 0 and address < self._mappings[index].end else None


def _parse(line: str) -> _Mapping:
    bounds, rights, *rest = line.split(maxsplit=5)
    start, _, end = bounds.partition("-")
    path = rest[3] if "x" in rights and len(rest) > 3 else None  # noqa: PLR2004 - offset, device, inode, path
    is_systems = path is not None and _SYSTEM.match(path.rpartition("/")[2])
    return _Mapping(int(start, 16), int(end, 16), None if is_systems else path)


def _libraries(thread: int, space: _AddressSpace) -> tuple[str, ...]:
    pointer = _stack_pointer(thread)
    stack = None if pointer is None else space.find(pointer)
    if pointer is None or stack is None:
        return ()
    owners = map(space.find, _read_words(pointer, min(stack.end - pointer, _LONGEST)))
    return tuple(dict.fromkeys(owner.path for owner in owners if owner is not None and owner.path is not None))


def _stack_pointer(thread: int) -> int | None:
    """Ask where the stack of a thread ends that waits in a system call."""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
        try:
            fields = _read(f"/proc/self/task/{thread}/syscall").split()
        except OSError:
            return None  # it has ended, or this system has no such file
        if len(fields) > 1:  # otherwise it says 'running'
            return int(fields[-2], 16)
    return None


def _read_words(start: int, size: int) -> tuple[int, ...]:
    """Read memory of this process as the kernel sees it: what has just been unmapped is an error, and no crash."""
    word = struct.calcsize("P")
    try:
        with open("/proc/self/mem", "rb", buffering=0) as file:  # noqa: PTH123 - unbuffered
            data = os.pread(file.fileno(), size // word * word, start)
    except OSError:
        return ()
    count = len(data) // word
    return struct.unpack(f"{count}P", data[: count * word])


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")
