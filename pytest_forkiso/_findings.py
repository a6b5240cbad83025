"""What a process holds that its forks could not use, or would share: compared before and after some code has run."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
import warnings
from typing import TYPE_CHECKING

from pytest_forkiso import _hazards, _leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

Findings = dict[tuple[object, ...], str]
"""What there is: an identity, and what to call it in a sentence."""

_HARMLESS_NATIVE = (b"jemalloc_bg_thd",)  # its allocator starts it again in a fork
_SQLITE_HEADER = b"SQLite format 3\0"
_SQLITE_ENDINGS = ("-journal", "-wal", "-shm")
_FD_FOLDER = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
_TASKS = "/proc/self/task"


def look() -> Findings:
    """Find threads, child processes, sockets, SQLite files and event loops of this process."""
    found: Findings = {}
    for thread in _hazards.threads():
        found["thread", thread.name, thread.place] = f"the thread {thread}"
    for native in _native_threads():
        found["native", native] = f"the native thread {native} ({_native_name(native)})"
    for pid in _leftovers.children(os.getpid()):
        found["process", pid] = f"the child process {pid}"
    found.update(_descriptors())
    events = sys.modules.get("asyncio.events")
    loop = None if events is None else events._get_running_loop()  # noqa: SLF001 - get_running_loop() raises instead
    if loop is not None:
        found["loop", id(loop)] = "a running event loop"
    return found


def new_since(before: Findings) -> list[str]:
    """Name what there is now, and was not before.

    Args:
        before: As `look` gave it.
    """
    after = look()
    fresh = [key for key in after if key not in before]
    if any(key[0] == "native" for key in fresh):
        _fork_once()
        after = look()  # OpenBLAS, for one, ends its threads before a fork, and starts them again when it needs them
        fresh = [key for key in fresh if key in after]
    return [after[key] for key in fresh]


def _native_threads() -> set[int]:
    try:
        tasks = {int(name) for name in os.listdir(_TASKS)}  # noqa: PTH208 - around each fixture
    except OSError:
        return set()  # no /proc
    known = {thread.native_id for thread in threading.enumerate()} | {os.getpid()}
    return {task for task in tasks - known if _native_name(task).encode() not in _HARMLESS_NATIVE}


def _native_name(task: int) -> str:
    try:
        with open(f"{_TASKS}/{task}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return "ended meanwhile"


def _fork_once() -> None:
    """Fork, so that libraries which prepare for forks do that."""
    with warnings.catch_warnings():
        # Whether the threads are a hazard is what is to be found out; no code runs in this fork that could hang.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
    os.waitpid(pid, 0)


def _descriptors() -> Iterator[tuple[tuple[object, ...], str]]:
    for name in os.listdir(_FD_FOLDER):  # noqa: PTH208 - as above
        fd = int(name)
        try:
            status = os.fstat(fd)
            description = _describe(fd, status)
        except OSError:
            continue  # the one that listed the folder, or nothing that can be looked at
        if description:
            yield ("descriptor", fd, status.st_ino), description


def _describe(fd: int, status: os.stat_result) -> str | None:
    """Say what a descriptor is, if forks must not share it."""
    if stat.S_ISSOCK(status.st_mode):
        return _describe_socket(fd)
    target = _target(fd)
    if stat.S_ISREG(status.st_mode):
        is_database = target.endswith(_SQLITE_ENDINGS) or os.pread(fd, len(_SQLITE_HEADER), 0) == _SQLITE_HEADER
        return f"the open SQLite database {target}" if is_database else None
    if target == "anon_inode:[eventpoll]":
        return "an event loop or selector (epoll)"
    return None


def _describe_socket(fd: int) -> str | None:
    with socket.socket(fileno=os.dup(fd)) as connection:
        try:
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return f"the listening socket {connection.getsockname()!r}"
            return f"the connected socket to {connection.getpeername()!r}"
        except OSError:
            return None  # neither, and no state that a fork could disturb


def _target(fd: int) -> str:
    try:
        return os.readlink(f"{_FD_FOLDER}/{fd}")  # noqa: PTH115 - as above
    except OSError:
        return ""
