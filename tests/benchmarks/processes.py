"""What the kernel tells of processes: CPU time and memory of a tree, descriptors, zombies.

Linux only. Everything is read from ``/proc`` at the moment of the call; nothing is kept.
"""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


@dataclass(frozen=True)
class Stat:
    """The fields of ``/proc/PID/stat`` that are of use here.

    Attributes:
        state: The letter; Z is a zombie.
        parent: Its parent's pid.
        cpu: Seconds of CPU time, of its own and of children that it has reaped.
    """

    state: str
    parent: int
    cpu: float


@dataclass(frozen=True)
class Memory:
    """Bytes of memory of one process.

    Attributes:
        rss: In memory, shared or not.
        pss: Each page divided by the number of processes that share it.
        private: Pages that no other process shares.
    """

    rss: int
    pss: int
    private: int


def parse_stat(text: str) -> Stat:
    """Read ``/proc/PID/stat``; the name in it may hold blanks and parentheses."""
    fields = text.rpartition(")")[2].split()
    ticks = sum(int(value) for value in fields[11:15])
    return Stat(state=fields[0], parent=int(fields[1]), cpu=ticks / _TICK)


def parse_memory(text: str) -> Memory:
    """Read ``/proc/PID/smaps_rollup``."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            found[name] = int(rest.split()[0]) * 1024
    private = found.get("Private_Clean", 0) + found.get("Private_Dirty", 0) + found.get("Private_Hugetlb", 0)
    return Memory(rss=found.get("Rss", 0), pss=found.get("Pss", 0), private=private)


def stat_of(pid: int) -> Stat | None:
    """Give state and CPU time of a process; None where there is none."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except _GONE:
        return None


def memory_of(pid: int) -> Memory:
    """Give the memory of a process; zeros where there is none, or it has none any more."""
    try:
        return parse_memory(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except _GONE:
        return Memory(0, 0, 0)


def children_of(pid: int) -> list[int]:
    """Give the pids of the children of a process, zombies too."""
    found: list[int] = []
    with contextlib.suppress(*_GONE):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(*_GONE):
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def descendants_of(pid: int) -> list[int]:
    """Give the pids of all living processes below this one."""
    found: list[int] = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def zombies_of(pid: int) -> int:
    """Count the children of a process that are dead and not reaped."""
    stats = [stat_of(child) for child in children_of(pid)]
    return sum(1 for stat in stats if stat is not None and stat.state == "Z")


def descriptors_of(pid: int) -> int:
    """Count the open descriptors of a process."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names are all that is wanted
    except _GONE:
        return 0


def own_cpu() -> float:
    """Give the CPU seconds of this process and of the children that it has reaped."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def tree_cpu() -> float:
    """Give the CPU seconds of this process and of all below it, reaped ones too.

    Exact for this process and what it has reaped; a template counts, with what it has reaped, to
    a tick of the clock (10 ms) each.
    """
    stats = [stat_of(pid) for pid in descendants_of(os.getpid())]
    return own_cpu() + sum(stat.cpu for stat in stats if stat is not None)


def tree_memory(pid: int) -> int:
    """Give the bytes of memory of a process and of all below it, shared pages once."""
    return sum(memory_of(one).pss for one in (pid, *descendants_of(pid)))


def allow_many_descriptors() -> None:
    """Raise this process's soft limit of open descriptors to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
