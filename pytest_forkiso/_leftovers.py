"""Processes that a test leaves behind: found, named and ended. Linux; elsewhere its process group alone is ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECTION = "Leftover processes (teardown)"
"""Name of the section of a report; pytest shows those of a teardown that have the word in their name."""
GRACE = 0.3
"""Seconds between SIGTERM and SIGKILL."""
LAST_GRACE = 5.0
"""Seconds after SIGKILL in which a process is waited for that has no parent to do so."""

ROUNDS = 10
"""How often what is still, or newly, there is ended."""

EXEC_ROUNDS = 20
"""How often a process without a command line is looked at: Linux has none to show in the middle of an exec."""
EXEC_PAUSE = 0.002
"""Seconds between two of these looks."""

# Bound now: a test may replace names of the module `time`.
_pause = time.sleep

# Helpers of the standard library and of joblib that end by themselves, with the process that they serve.
_HELPERS = (b"resource_tracker", b"multiprocessing.forkserver", b"multiprocessing/forkserver")


class Leftover(NamedTuple):
    """A process that outlives its test."""

    pid: int
    command: str


def describe(leftovers: Iterable[Leftover]) -> str:
    """Give a line for each, for a report."""
    return "\n".join(f"ended process {left.pid}: {left.command}" for left in leftovers)


class Found(NamedTuple):
    """What was found of a test's processes.

    Attributes:
        ended: Those that have been ended.
        helpers: Process ids of those that will end by themselves.
    """

    ended: list[Leftover]
    helpers: list[int]


def end_children(waitid: Callable[..., object] = os.waitid) -> Found:
    """End the processes below this one, and name them.

    Args:
        waitid: ``os.waitid``, as it was before a test could replace it.
    """
    try:
        waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return Found([], [])  # the usual case costs one system call
    return _end_all(lambda: descendants(os.getpid()))


def below() -> list[Leftover]:
    """Name the processes below this one, without ending them."""
    return _worth_ending(descendants(os.getpid()))


def end_orphans(parent: int, known: Iterable[int]) -> Found:
    """End what a test left behind and what was then handed to the template, and name it.

    Args:
        parent: Process id of the template, which adopts orphans.
        known: Process ids of its own children.
    """
    own = set(known)

    def find() -> list[int]:
        orphans = [pid for pid in children(parent) if pid not in own]
        return orphans + [below for pid in orphans for below in descendants(pid)]

    return _end_all(find)


def see_off(helpers: Iterable[int]) -> None:
    """Wait until the helpers of a process that is gone are gone as well; one that stays too long is ended.

    The test may have stopped them: they are told to go on.

    Args:
        helpers: Their process ids, as they were found.
    """
    held: list[int] = []
    try:
        for pid in helpers:
            held += _hold(pid)
            if held and not _is_helper(pid):
                os.close(held.pop())  # it is gone, and its number may be that of another process
        _signal_all(held, signal.SIGCONT)
        if not _all_ended(held, time.monotonic() + LAST_GRACE):
            _signal_all(held, signal.SIGKILL)
            _all_ended(held, time.monotonic() + LAST_GRACE)
    finally:
        for fd in held:
            os.close(fd)


def end_group(pid: int) -> None:
    """End a process whose parent is gone, and its process group; wait until it is gone itself.

    Args:
        pid: Of a process that leads its group, or is in that of this one.
    """
    held = _hold(pid)
    try:
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or another user's
                end(pid, signal.SIGKILL)
        _all_ended(held, time.monotonic() + LAST_GRACE)
    finally:
        for fd in held:
            os.close(fd)


def _hold(pid: int) -> list[int]:
    """Give a pidfd, where the process is there, and the system has such."""
    if not hasattr(os, "pidfd_open"):
        return []
    try:
        return [os.pidfd_open(pid)]
    except OSError:
        return []


def children(pid: int) -> list[int]:
    """Give the process ids of a process's children."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123 - read for each test
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """Give the process ids of all processes below one, parents first."""
    found: list[int] = []
    waiting = _children_of_threads(pid)
    while waiting:
        child = waiting.pop()
        found.append(child)
        waiting += _children_of_threads(child)
    return found


def _children_of_threads(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - as above
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                found += [int(child) for child in file.read().split()]
        except OSError:
            continue
    return found


def _worth_ending(pids: Iterable[int]) -> list[Leftover]:
    return [Leftover(pid, command) for pid in pids if (command := _command(pid)) is not None]


def _command(pid: int) -> str | None:
    """Give the command line; None for a process that has ended, or that ends by itself."""
    try:
        command = _read_command(pid)
        for _ in range(EXEC_ROUNDS):
            if command != b"":
                break
            _pause(EXEC_PAUSE)
            command = _read_command(pid)
    except (OSError, IndexError):
        return None
    if command is None or _ends_by_itself(pid, command):
        return None
    return command.replace(b"\0", b" ").decode("utf-8", "backslashreplace").strip()[:200] or "(no command line)"


def _ends_by_itself(pid: int, command: bytes) -> bool:
    """Tell a helper from what a test has let a fork server fork, which has the same command line."""
    if not any(helper in command for helper in _HELPERS):
        return False
    with contextlib.suppress(OSError, IndexError):
        parent = int(_read_status(pid)[1])
        return not any(helper in (_read_command(parent) or b"") for helper in _HELPERS)
    return True


def _is_helper(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        command = _read_command(pid)
        return command is not None and _ends_by_itself(pid, command)
    return False


def _read_status(pid: int) -> list[bytes]:
    """Give what the kernel says of a process, from its state and its parent on."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
        return file.read().rpartition(b")")[2].split()


def _read_command(pid: int) -> bytes | None:
    """Give the command line as the kernel has it now; None for a process that has ended."""
    state = _read_status(pid)[0]
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return None if state in (b"Z", b"X") else file.read()


def _end_all(find: Callable[[], Iterable[int]]) -> Found:
    """End what there is but for helpers, again and again: one of them may start others while it is being ended.

    Args:
        find: Gives process ids.
    """
    found: list[Leftover] = []
    for round_number in range(ROUNDS):
        left = _worth_ending(find())
        if not left:
            break
        _end(left, GRACE if round_number == 0 else 0.0)
        found += left
    return Found(found, [pid for pid in find() if _is_helper(pid)])


def _end(leftovers: list[Leftover], grace: float) -> None:
    """SIGTERM, a short grace, SIGKILL. A pidfd is held on each, so that no other process can be hit."""
    held = []
    for left in leftovers:
        held += _hold(left.pid)  # or it is gone by itself
    try:
        _signal_all(held, signal.SIGTERM)
        _signal_all(held, signal.SIGCONT)
        deadline = time.monotonic() + grace
        if not _all_ended(held, deadline):
            _signal_all(held, signal.SIGKILL)
            _all_ended(held, deadline + GRACE)
    finally:
        for fd in held:
            os.close(fd)


def _signal_all(held: list[int], number: int) -> None:
    for fd in held:
        try:
            signal.pidfd_send_signal(fd, number)
        except OSError:
            continue  # ended meanwhile


def _all_ended(held: list[int], deadline: float) -> bool:
    poll = select.poll()
    for fd in held:
        poll.register(fd, select.POLLIN)
    waiting = len(held)
    while waiting:
        ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ended:
            return False
        for fd, _ in ended:
            poll.unregister(fd)
        waiting -= len(ended)
    return True
