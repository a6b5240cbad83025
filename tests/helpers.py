"""What several tests need: the leak check, waiting for a condition, two ends of a protocol joined."""

from __future__ import annotations

import contextlib
import gc
import mmap
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from forkcore._proc import ORPHANS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 20.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail the test where it does not within `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"in {PATIENCE} s it did not come to this: {what}")
        time.sleep(0.002)


def open_descriptors() -> dict[int, str]:
    """Give this process's descriptors, and what they refer to."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found[int(entry.name)] = str(entry.readlink())
    return found


def exhaust_descriptors() -> None:
    """Let the next descriptor be one too many: no number below the limit is free."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 0
    in_use = set(open_descriptors())
    while limit in in_use:
        limit += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def children() -> dict[int, str]:
    """Give this process's children, dead and unreaped ones too, and what they are."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            found[int(pid)] = process_state(int(pid))
    return found


def process_state(pid: int) -> str:
    """Give the name and the state letter of a process; Z is a zombie; empty where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    name, _, rest = text.partition("(")[2].rpartition(")")
    return f"{name} {rest.split()[0]}"


def is_gone(pid: int) -> bool:
    """Tell whether there is no such process any more, or a zombie only."""
    state = process_state(pid)
    return not state or state.endswith("Z")


def title(pid: int) -> str:
    """Give what ps shows of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()


def has_huge_pages() -> bool:
    """Tell whether memory can be moved into huge pages here: MADV_COLLAPSE came with Linux 6.1."""
    try:
        allowed = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except FileNotFoundError:
        return False
    with mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[::4096] = b"x" * (len(memory) // 4096)
        try:
            memory.madvise(25)
        except OSError:
            return False
    return "[never]" not in allowed


@contextlib.contextmanager
def leak_check() -> Iterator[None]:
    """Fail where the block leaves descriptors, children or zombies behind in this process."""
    gc.collect()
    descriptors_before = set(open_descriptors().items())
    children_before = set(children())
    yield
    gc.collect()

    def new_children() -> dict[int, str]:
        ORPHANS.reap()
        return {pid: state for pid, state in children().items() if pid not in children_before}

    # A template that was told to leave may need a moment.
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not new_children(), "no children")
    left = new_children()
    leaked = set(open_descriptors().items()) - descriptors_before
    assert not left, f"children were left: {left}"
    assert not leaked, f"descriptors were left: {sorted(leaked)}"
