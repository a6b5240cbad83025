"""What a set-up has left in a process that its forks could not use, or would share with each other."""

from __future__ import annotations

import os
import socket
import sys
from typing import NamedTuple

from pytest_forkiso import _hazards, _leftovers, _native
from pytest_forkiso._descriptors import describe_shared, open_descriptors

_EPOLL = "anon_inode:[eventpoll]"
_SQLITE_ENDINGS = ("-journal", "-wal")


class Findings(NamedTuple):
    """What there is in a process, by kind.

    Attributes:
        threads: Python's.
        natives: Other threads, by the kernel's identifier.
        processes: Process ids of its children.
        descriptors: What each one refers to.
    """

    threads: frozenset[_hazards.ThreadHazard]
    natives: frozenset[int]
    processes: frozenset[int]
    descriptors: dict[int, str]


def look() -> Findings:
    """See what there is in this process."""
    return Findings(
        threads=frozenset(_hazards.threads()),
        natives=frozenset(thread.identifier for thread in _native.native_threads()),
        processes=frozenset(_leftovers.children(os.getpid())),
        descriptors=open_descriptors(),
    )


def new_since(before: Findings) -> list[str]:
    """Say what has come that speaks against sharing it with forks: ends of a sentence, none where nothing does.

    Args:
        before: As `look` gave it.
    """
    now = look()
    found = [f"the thread {thread}" for thread in now.threads - before.threads]
    if now.natives - before.natives:
        unsafe = [thread for thread in _native.unsafe_threads() if thread.identifier not in before.natives]
        found += sorted({f"a native thread ({thread})" for thread in unsafe})
    found += [f"the child process {pid}" for pid in sorted(now.processes - before.processes)]
    opened = sorted(now.descriptors.items() - before.descriptors.items())
    found += [text for fd, target in opened if (text := _describe(fd, target)) is not None]
    if _runs_loop():
        found.append("a running event loop")
    return found


def _describe(fd: int, target: str) -> str | None:
    """Say what a descriptor is, where several processes with copies of the same state would get in each other's way."""
    if target == _EPOLL:
        return "an event loop or selector (epoll)"
    if target.endswith(_SQLITE_ENDINGS):
        return f"the open database {target}"
    shared = describe_shared(fd, target)
    return _describe_socket(fd) if shared is None and target.startswith("socket:") else shared


def _describe_socket(fd: int) -> str | None:
    try:
        with socket.socket(fileno=os.dup(fd)) as copy:
            if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return f"the listening socket {copy.getsockname()!r}"
            copy.getpeername()
    except OSError:
        return None  # neither listening nor connected: it has no state yet
    return "a connected pair of sockets"


def _runs_loop() -> bool:
    events = sys.modules.get("asyncio.events")
    # asyncio.get_running_loop raises where there is none.
    return events is not None and events._get_running_loop() is not None  # noqa: SLF001
