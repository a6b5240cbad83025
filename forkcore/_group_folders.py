"""Folders of control groups: which of them a process may divide, and how they are written, named and removed.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, https://systemd.io/CGROUP_DELEGATION, proc(5).
"""

from __future__ import annotations

import contextlib
import os
import select
import time

from forkcore._sandbox_group import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX = "forkcore-"
_IDENTITY = ("PID namespace", "process id", "start")
"""What the name of a group says of its owner."""
_DELEGATED = ("user.delegate", "trusted.delegate")
"""Attributes by which systemd marks a group that belongs to the processes in it."""
_END = 5.0
"""Seconds that processes have to be gone."""
_PAUSE = 100
"""Milliseconds after which those that have come meanwhile are moved as well."""


def own_group() -> str:
    """Give the folder of the group that this process is in; see `locate`."""
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = file.read().decode("utf-8", "surrogateescape")
    with open("/proc/self/cgroup", "rb") as file:
        groups = file.read().decode("utf-8", "surrogateescape")
    return locate(mounts, groups)


def locate(mounts: str, groups: str) -> str:
    """Find the folder of a process's group, which is delegated or the root of what the process sees.

    Args:
        mounts: What ``/proc/PID/mountinfo`` says.
        groups: What ``/proc/PID/cgroup`` says.

    Raises:
        OSError: There is none.
    """
    own = next((line[3:] for line in groups.splitlines() if line.startswith("0::")), None)
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        root, point = (_unescape(field) for field in fields.split()[3:5])
        if kind.split()[0] != "cgroup2" or own is None or not f"{own}/".startswith(root.rstrip("/") + "/"):
            continue
        inside = own[len(root.rstrip("/")) :].rstrip("/")
        folder = point.rstrip("/") + inside
        if not inside or is_of_owner(folder) or _is_delegated(folder):
            return folder
        raise OSError(0, f"the group {own} is not delegated to the processes in it")
    raise OSError(0, "cgroup v2 is not mounted")


def _unescape(text: str) -> str:
    """Undo what mountinfo does to blanks (proc(5))."""
    head, *rest = text.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def _is_delegated(folder: str) -> bool:
    for name in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def is_of_owner(folder: str) -> bool:
    """Tell whether an owner of groups has made this for itself, beside which others can be made."""
    above, name = os.path.split(folder)
    parts = name.removeprefix(_PREFIX).split("-")
    is_named = name.startswith(_PREFIX) and len(parts) == len(_IDENTITY)
    return is_named and "memory" in read(above, "cgroup.subtree_control").split()


def controllers(base: str) -> list[str]:
    """Give those that limits need; "memory" is one of them.

    Raises:
        OSError: It is not there.
    """
    known = read(base, "cgroup.controllers").split()
    if "memory" not in known:
        raise OSError(0, f"{base} does not have the controller 'memory'")
    return [name for name in ("memory", "pids") if name in known]


def write(path: str, name: str, text: str) -> None:
    """Write to a file of a group.

    Raises:
        OSError: It failed; names the file and the text.
    """
    fd = os.open(f"{path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: {text} cannot be written", f"{path}/{name}") from None
    finally:
        os.close(fd)


def below(path: str) -> list[str]:
    """Give the groups in a group."""
    with os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def remove(path: str) -> None:
    """End what is in a group, and remove it and those in it; what is gone already, or held by others, is left alone."""
    with contextlib.suppress(OSError):
        write(path, "cgroup.kill", "1")
    with contextlib.suppress(OSError):
        _empty(path)
    for folder, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def move_all(source: str, target: str) -> None:
    """Move all processes from one group to another.

    Raises:
        OSError: There is no such group.
    """

    def move() -> None:
        for pid in read(source, "cgroup.procs").split():
            with contextlib.suppress(OSError):  # it has just ended
                write(target, "cgroup.procs", pid)

    _empty(source, move)


def _empty(path: str, move: Callable[[], None] = lambda: None) -> None:
    """Wait until the last process has left; the kernel says so in a file that can be polled.

    Args:
        path: Of the group.
        move: What makes them leave; called again as long as there are any.
    """
    deadline = time.monotonic() + _END
    fd = os.open(f"{path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        move()
        while b"populated 0" not in os.pread(fd, 1024, 0) and time.monotonic() < deadline:
            poll.poll(_PAUSE)
            move()
    finally:
        os.close(fd)


def name_in(base: str, count: int | None = None) -> str:
    """Give the path of the group of this process in another one, or of one of those that it makes for its children.

    Args:
        base: Folder of the other one.
        count: Which of those; None for its own.
    """
    name = f"{base}/{_PREFIX}{'-'.join(_identity(os.getpid()))}"
    return name if count is None else f"{name}-{count}"


def _identity(pid: int) -> list[str]:
    """Name a process of this PID namespace so that no other one, now or later, has the same name.

    Raises:
        OSError: There is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        start = file.read().rpartition(b")")[2].split()[19].decode()
    return [str(os.stat("/proc/self/ns/pid").st_ino), str(pid), start]


def remove_stale(base: str) -> None:
    """Remove the groups of processes that were killed before they could."""
    for name in os.listdir(base):
        if name.startswith(_PREFIX) and _is_stale(name.removeprefix(_PREFIX).split("-")):
            if len(name.split("-")) > len(_IDENTITY) + 1:
                remove(f"{base}/{name}")
            else:
                with contextlib.suppress(OSError):  # what its owner left running is not ours to end
                    os.rmdir(f"{base}/{name}")


def _is_stale(parts: list[str]) -> bool:
    if len(parts) < len(_IDENTITY) or not all(part.isdigit() for part in parts):
        return False
    if parts[0] != _identity(os.getpid())[0]:
        return False  # whether that process is still there is not to be seen from here
    try:
        return _identity(int(parts[1])) != parts[: len(_IDENTITY)]
    except OSError:
        return True
