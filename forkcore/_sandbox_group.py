"""The control group that a process is in: how it gets there, and what the kernel has noted there.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import os

MEMORY_RESERVE = 64 << 20
"""Bytes above the limit that processes may hold: they are at their limits of address space before."""


def enter(path: str) -> None:
    """Go there, with all that will be made from here.

    Raises:
        OSError: There is no such group, or this process may not enter it.
    """
    fd = os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)


def binds_processes(path: str) -> bool:
    """Tell whether the group limits how many processes there are in it."""
    return read(path, "pids.max") not in ("", "max")


def explain_memory(path: str, limit: int) -> str | None:
    """Say how the memory of all processes was limited; None where no process was ended for that.

    Args:
        path: Of the group.
        limit: As the user gave it.
    """
    events = dict(line.split() for line in read(path, "memory.events").splitlines())
    ended = int(events.get("oom_kill", 0))
    if not ended:
        return None
    peak = read(path, "memory.peak")  # Linux 5.19
    held = f"all its processes together held {peak} bytes" if peak else "all its processes together held more"
    return f"memory={limit}: {held}, and the kernel has ended {ended} of them"


def read(path: str, name: str) -> str:
    """Give what a file of the group says; empty where it cannot be read."""
    try:
        with open(f"{path}/{name}", "rb") as file:
            return file.read().decode().strip()
    except OSError:
        return ""
