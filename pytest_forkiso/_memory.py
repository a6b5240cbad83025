"""Huge pages for what a template holds: a fork copies one entry for each, in place of 512. Linux; elsewhere nothing."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WORTH_IT = 30
"""Forks from which on it pays: moving memory takes as long as copying its page tables ten to thirty times."""
LARGE = 64 << 20
"""Bytes of a mapping that is rather data than objects."""

_SETTINGS = Path("/sys/kernel/mm/transparent_hugepage")
_MADV_COLLAPSE = 25  # madvise(2); Linux 6.1 and newer
_LARGEST_PAGE = 32 << 20  # some machines have huge pages of 512 MB
_SLICE = 1 << 30  # looked at in one go


def spare_forks(forks: int, at_least: int = 0) -> None:
    """Use huge pages where so many forks are worth the time; see `use_huge_pages`."""
    if forks >= WORTH_IT:
        use_huge_pages(at_least)


def use_huge_pages(at_least: int = 0) -> int:
    """Move private memory of this process that is in use into huge pages.

    What is in it stays the same, and where it is. Where a huge page is mostly unused, memory stays as it is. What the
    system cannot or must not do is left undone, without an error.

    Args:
        at_least: Bytes that a mapping must have.

    Returns:
        Bytes that are in huge pages now.
    """
    size = _huge_page_size()
    if not size:
        return 0
    library = ctypes.CDLL(None)
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    moved = 0
    for start, end in _anonymous_mappings():
        if end - start < at_least:
            continue
        for first, last in _in_use(library, -(-start // size) * size, end // size * size, size):
            if library.madvise(first, last - first, _MADV_COLLAPSE) == 0:
                moved += last - first
    return moved


def _huge_page_size() -> int:
    """Give the bytes of a huge page; 0 where there are none, or where the administrator wants none to be used."""
    if sys.platform != "linux":
        return 0
    try:
        if "[never]" in (_SETTINGS / "enabled").read_text(encoding="ascii"):
            return 0
        size = int((_SETTINGS / "hpage_pmd_size").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return size if size <= _LARGEST_PAGE else 0


def _anonymous_mappings() -> Iterator[tuple[int, int]]:
    """Give where the heap and other private writable memory begins and ends."""
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        span, permissions, _, _, inode, *name = line.split(None, 5)
        if permissions == b"rw-p" and inode == b"0" and (not name or name[0].startswith((b"[heap]", b"[anon"))):
            start, end = span.split(b"-")
            yield int(start, 16), int(end, 16)


def _in_use(library: ctypes.CDLL, start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Give the stretches of blocks of ``size`` bytes of which at least three quarters are in memory, by mincore(2)."""
    pages = size // mmap.PAGESIZE
    first = None
    while start < end:
        count = min(end - start, _SLICE)
        residence = ctypes.create_string_buffer(count // mmap.PAGESIZE)
        if library.mincore(ctypes.c_void_p(start), ctypes.c_size_t(count), residence) != 0:
            end = start  # another thread has just unmapped it
            break
        held = residence.raw
        for block in range(count // size):
            is_used = 4 * held.count(1, block * pages, (block + 1) * pages) >= 3 * pages
            place = start + block * size
            if is_used and first is None:
                first = place
            elif not is_used and first is not None:
                yield first, place
                first = None
        start += count
    if first is not None:
        yield first, end
