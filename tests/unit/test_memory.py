"""Huge pages for memory that is forked often: nothing but the cost may change."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_forkiso import _memory

from helpers import has_huge_pages

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1 << 20


def run_alone(script: str) -> str:
    """Run a script in a process of its own, whose memory nobody else has to live with; give what it prints."""
    here = Path(__file__).parent
    prelude = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]}\n"
    prelude += "from pytest_forkiso import _memory\nimport test_memory\n"
    command = [sys.executable, "-c", prelude + script]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def kilobytes(name: str) -> int:
    """Give what the kernel says of all of this process's memory."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {name}")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Give a function that pretends what the system says of its huge pages."""

    def pretend(enabled: str, size: str) -> None:
        (tmp_path / "enabled").write_text(enabled)
        (tmp_path / "hpage_pmd_size").write_text(size)

    monkeypatch.setattr(_memory, "_SETTINGS", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    return pretend


@pytest.mark.parametrize(
    ("enabled", "size", "expected"),
    [
        ("always [madvise] never\n", "2097152\n", 2 * MEGABYTE),
        ("[always] madvise never\n", "2097152\n", 2 * MEGABYTE),
        ("always madvise [never]\n", "2097152\n", 0),
        ("always [madvise] never\n", "536870912\n", 0),
        ("always [madvise] never\n", "many\n", 0),
    ],
)
def test_what_the_system_says(settings: Callable[[str, str], None], enabled: str, size: str, expected: int) -> None:
    """Where an administrator wants none, or they are too large, there are none."""
    settings(enabled, size)
    assert _memory._huge_page_size() == expected


def test_a_system_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such files, or no Linux: nothing is done, and nothing fails."""
    monkeypatch.setattr(_memory, "_SETTINGS", tmp_path / "missing")
    assert _memory.use_huge_pages() == 0
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _memory.use_huge_pages() == 0


def test_few_forks_are_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a run with many forked tests spends the time."""
    calls: list[int] = []
    monkeypatch.setattr(_memory, "use_huge_pages", calls.append)
    _memory.spare_forks(_memory.WORTH_IT - 1)
    assert calls == []
    _memory.spare_forks(_memory.WORTH_IT, at_least=7)
    assert calls == [7]


linux = pytest.mark.skipif(sys.platform != "linux", reason="mappings are as Linux shows them")


@pytest.mark.skipif(not has_huge_pages(), reason="this system has no huge pages to give")
def test_memory_stays_what_it_is() -> None:
    """Contents are the same, and what was said to be in huge pages is there."""
    moved, huge = run_alone("""
import hashlib, mmap, os
pattern = os.urandom(4096)
memory = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
for place in range(0, len(memory), 4096):
    memory[place : place + 4096] = pattern
memory.madvise(mmap.MADV_HUGEPAGE)
before = hashlib.sha256(memory).digest()
moved = _memory.use_huge_pages(16 << 20)
assert hashlib.sha256(memory).digest() == before
print(moved, test_memory.kilobytes("AnonHugePages") << 10)
""").split()
    assert int(huge) >= int(moved)
    if int(moved) < 12 * MEGABYTE:  # contents are compared above all the same
        pytest.skip("the kernel has no huge page to give just now: its memory is too fragmented")


@linux
def test_unused_memory_stays_unused() -> None:
    """Of a mapping of which little is in use, no more is in use afterwards."""
    before, after = run_alone("""
import mmap
memory = mmap.mmap(-1, 256 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for place in range(0, len(memory), 1 << 20):
    memory[place] = 1
before = test_memory.kilobytes("Rss")
_memory.use_huge_pages(256 << 20)
print(before, test_memory.kilobytes("Rss"))
""").split()
    # No advice for them, as above: the kernel's own thread would do in the background what we must not.
    if int(before) > 200_000:
        pytest.skip("this system gives huge pages unasked")
    assert int(after) - int(before) < 4096


@linux
def test_files_and_shared_memory_are_left_alone() -> None:
    """Only private memory that belongs to no file is looked at."""
    shared = mmap.mmap(-1, 4 * MEGABYTE)
    with Path(sys.executable).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as private:
        assert len(private)
        spans = list(_memory._anonymous_mappings())
        lines = Path("/proc/self/maps").read_text().splitlines()
    shared.close()
    others = [line.split()[0] for line in lines if "/" in line or "rw-s" in line or "[stack]" in line]
    assert others
    assert spans
    assert not {f"{start:x}-{end:x}" for start, end in spans} & set(others)
