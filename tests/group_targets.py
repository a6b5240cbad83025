"""What children do in control groups; each call is made in a child of a template, and gives what came of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import sandbox_targets

from forkcore import Sandbox, SandboxUnavailable, _sandbox_group
from forkcore.groups import ControlGroup, ControlGroups

_MEGABYTE = 1 << 20


def in_group(path: str, identity: str, deed: str, *arguments: Any) -> Any:
    """Go into a group, alone, become somebody, and do one of the deeds below.

    Args:
        path: Of a delegated group.
        identity: "root" or "ordinary".
        deed: Name of a function below.
        arguments: Of it.
    """
    if identity == "ordinary" and os.getuid() == 0:
        for name in ("", "cgroup.procs", "cgroup.subtree_control"):
            os.chown(f"{path}/{name}", sandbox_targets.ORDINARY, sandbox_targets.ORDINARY)
    _sandbox_group.enter(path)
    if identity == "ordinary":
        sandbox_targets.become_ordinary()
    return globals()[deed](*arguments)


def hold_together(count: int, megabytes: int) -> int:
    """Let so many processes hold so much each, all at a time; count those that were ended by a signal."""
    ready, is_ready = os.pipe()
    done, is_done = os.pipe()
    pids = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(is_done)
            held = bytearray(os.urandom(1)) * (megabytes * _MEGABYTE)
            os.write(is_ready, b"x")
            os.close(is_ready)
            os.read(done, 1)
            os._exit(0 if held else 1)
        pids.append(pid)
    os.close(is_ready)
    while os.read(ready, count):
        pass  # until each holds it, or is gone
    os.close(is_done)
    return sum(os.WIFSIGNALED(os.waitpid(pid, 0)[1]) for pid in pids)


def limit_together(sandbox: dict[str, Any], count: int, megabytes: int) -> dict[str, Any]:
    """Let processes hold memory in a group of this one's."""
    with ControlGroups() as groups:
        base = str(Path(f"/proc/{os.getpid()}/cgroup").read_text().splitlines()[-1])
        with groups.make(Sandbox(**sandbox)) as group:
            ended = _in_fork(group, count, megabytes)
            said = group.explain()
            path = group.path
        is_removed = not Path(path).exists()
    after = Path(f"/proc/{os.getpid()}/cgroup").read_text().splitlines()[-1]
    below = [entry.name for entry in Path(path).parent.iterdir() if entry.is_dir()]
    return {"ended": ended, "said": said, "removed": is_removed, "moved": base != after, "below": below}


def _in_fork(group: ControlGroup, count: int, megabytes: int) -> int:
    pid = os.fork()
    if pid == 0:
        code = 100
        try:
            group.sandbox.apply()
            code = hold_together(count, megabytes)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def bomb(sandbox: dict[str, Any], most: int) -> str:
    """Fork, so often at the most, in a group of this one's; gives what was refused, and what was said of it."""
    with ControlGroups() as groups, groups.make(Sandbox(**sandbox)) as group:
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            try:
                applied = group.sandbox.apply()
                os.write(theirs, f"{sandbox_targets.fork_bomb(most)} {applied.means}".encode())
            except BaseException as error:
                os.write(theirs, (" ".join(getattr(error, "__notes__", [])) or repr(error)).encode())
                raise
            finally:
                os._exit(0)
        os.close(theirs)
        with os.fdopen(ours) as file:
            said = file.read()
        os.waitpid(pid, 0)
        return said


def leave_running() -> dict[str, Any]:
    """Leave a process in a group that is closed, and see what becomes of it."""
    with ControlGroups() as groups, groups.make(Sandbox(memory="64M")) as group:
        pid = _sleep_in(group)
        group.close()
        return {"signal": os.WTERMSIG(os.waitpid(pid, 0)[1]), "there": Path(group.path).exists()}


def _sleep_in(group: ControlGroup) -> int:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            group.sandbox.apply()
            os.close(ours)
            os.close(theirs)
            while True:
                signal.pause()
        finally:
            os._exit(1)
    os.close(theirs)
    os.read(ours, 1)  # it is in there
    os.close(ours)
    return pid


def die_as_owner() -> dict[str, Any]:
    """Let an owner of groups be killed, and another one come after it."""
    with ControlGroups():  # in a group that is divided, only the owner of that could come after another one
        ours, theirs = os.pipe()
        owner = os.fork()
        if owner == 0:
            try:
                group = ControlGroups().make(Sandbox(memory="64M"))
                os.write(theirs, f"{_sleep_in(group)} {group.path}".encode())
                os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(1)
        os.close(theirs)
        pid, path = os.read(ours, 1000).decode().split()
        os.close(ours)
        os.waitpid(owner, 0)
        command = Path(f"/proc/{pid}/cmdline")
        was_there = Path(path).exists() and bool(command.read_bytes())
        with ControlGroups():
            is_removed = not Path(path).exists()
        return {"was_there": was_there, "removed": is_removed, "ended": not _has_command(command)}


def _has_command(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def divide_beside_another() -> str:
    """Try to make groups where another process is in the group, too."""
    ours, theirs = os.pipe()
    other = os.fork()
    if other == 0:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(0)
    before = Path("/proc/self/cgroup").read_text()
    try:
        with ControlGroups():
            return "made"
    except SandboxUnavailable as error:
        is_back = Path("/proc/self/cgroup").read_text() == before
        return f"{error} {is_back}"
    finally:
        os.close(theirs)
        os.waitpid(other, 0)


def close_beside_others() -> str:
    """Close groups beside one that somebody else has made meanwhile, and give the limit of that."""
    with ControlGroups() as groups:
        base = Path(groups.make(Sandbox(memory="64M")).path).parent
        other = base / "other"
        other.mkdir()
        (other / "memory.max").write_text("104857600")
    limit = (other / "memory.max").read_text().strip()
    other.rmdir()
    return limit


def divide() -> str:
    """Try to make groups."""
    try:
        with ControlGroups():
            return "made"
    except SandboxUnavailable as error:
        return str(error)
