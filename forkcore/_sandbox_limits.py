"""Resource limits of a process, what it has used of them, and which of them an error speaks of.

Source: getrlimit(2), proc_pid_status(5).
"""

from __future__ import annotations

import errno
import os
import resource
import sys

from forkcore._sandbox_missing import LINUX, ORDINARY_USER, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

NAMES = ("memory", "cpu", "processes", "open_files", "file_size")
NOTE = "sandbox limit "
SOON = 5
"""CPU seconds between SIGXCPU and SIGKILL."""
_WHOLE = 0.9  # the kernel counts in whole seconds; a tenth is what a fresh child has used at the most

_LINUX_ONLY = ("memory", "processes")
_PAGE = resource.getpagesize()
# What is kept back for whoever has to say that a limit was reached: see `Limits.relax`.
_RESERVES = {"memory": 64 << 20, "open_files": 16, "file_size": 64 << 20}
_KINDS = {
    "memory": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "processes": resource.RLIMIT_NPROC,
    "open_files": resource.RLIMIT_NOFILE,
    "file_size": resource.RLIMIT_FSIZE,
}


class Limits:
    """The limits of this very process.

    Attributes:
        values: By name, as they were asked for.
        group: Folder of the control group that holds for this process and those below it; empty for none.
    """

    def __init__(self, values: dict[str, int]) -> None:
        self.values = values
        self.group = ""
        self._bases: dict[str, int] = {}
        self._set: dict[str, tuple[int, int]] = {}
        self._tasks: int | None = None
        self._descriptors: list[int] | None = None

    def apply(self, name: str, *, vanishing: Collection[int] = (), is_alone: bool = False) -> None:
        """Set one of them.

        Args:
            name: Of `NAMES`.
            vanishing: Descriptors that will be closed before the user's code runs.
            is_alone: No process of the same user counts but this one and those that it makes.

        Raises:
            Missing: It would have no effect.
            OSError: It could not be set.
        """
        wanted = f"{name}={self.values[name]}"
        if name in _LINUX_ONLY and sys.platform != "linux":
            raise Missing(wanted, LINUX, "this system does not limit it, or does not tell what is used")
        limit = _STARTS[name](self, vanishing, is_alone) + self.values[name]
        reserve = SOON if name == "cpu" else _RESERVES.get(name, 0)
        kind = _KINDS[name]
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            limit, reserve = min(limit, hard), min(reserve, max(0, hard - limit))
        if name == "processes" and not _binds_processes():
            raise Missing(wanted, ORDINARY_USER, "the kernel does not count the processes of root")
        resource.setrlimit(kind, (limit, limit + reserve))
        self._set[name] = (limit, limit + reserve)

    def count_early(self, user: int) -> None:
        """Count what is in use, while this process can still see it: it is about to lose the sight of ``/proc``.

        Args:
            user: Number of the user that the process will be.
        """
        if "memory" in self.values:
            self._bases["memory"] = _address_space()
        if "processes" in self.values:
            self._tasks = _count_tasks(user) + (user != os.getuid())  # this process will be one of them
        if "open_files" in self.values:
            self._descriptors = _open_descriptors()

    def leave_to_group(self, name: str) -> None:
        """Take note that the group binds to what `apply` could not."""
        self._set[name] = (self.values[name], self.values[name])

    def memory_start(self, *_: object) -> int:
        """Give the address space that is mapped now."""
        if "memory" not in self._bases:
            self._bases["memory"] = _address_space()
        return self._bases["memory"]

    def cpu_start(self, *_: object) -> int:
        """Give the whole seconds that were used until now."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return int(usage.ru_utime + usage.ru_stime + _WHOLE)

    def processes_start(self, _: object, is_alone: bool) -> int:  # noqa: FBT001 - as `apply` calls it
        """Count what is there now."""
        if is_alone:
            return 1
        return _count_tasks(os.getuid()) if self._tasks is None else self._tasks

    def open_files_start(self, vanishing: Collection[int], _: object) -> int:
        """Count the descriptors that are in use below the one that will be the last."""
        used = set(_open_descriptors() if self._descriptors is None else self._descriptors) - set(vanishing)
        self._bases["open_files"] = len(used)
        limit = self.values["open_files"]
        for fd in sorted(used):
            limit += fd < limit
        return limit - self.values["open_files"]

    def relax(self) -> None:
        """Let this process have what was kept back, so that it can report."""
        for name, (_, hard) in self._set.items():
            if name in _RESERVES:
                resource.setrlimit(_KINDS[name], (hard, hard))

    def tighten(self) -> None:
        """Take back what `relax` has given."""
        for name, (soft, hard) in self._set.items():
            if name in _RESERVES:
                resource.setrlimit(_KINDS[name], (soft, hard))

    def explain(self, error: BaseException) -> str | None:
        """Say which limit an error speaks of, and what is used of it now; None where it speaks of none."""
        seen = 0
        one: BaseException | None = error
        while one is not None and seen < _CHAIN:
            name = _limit_of(one)
            is_elsewhere = isinstance(one, BlockingIOError) and not _has_company()  # of a file that does not block
            if name in self._set and not is_elsewhere:
                return f"{NOTE}{name}={self.values[name]}: {self._used(name)}"
            one = one.__cause__ or one.__context__
            seen += 1
        return self._explain_group()

    def _explain_group(self) -> str | None:
        if not self.group or "memory" not in self.values:
            return None
        from forkcore._sandbox_group import explain_memory

        text = explain_memory(self.group, self.values["memory"])
        return None if text is None else f"{NOTE}{text}"

    def _used(self, name: str) -> str:
        try:
            return _USED[name](self)
        except FileNotFoundError:
            return "how much is used is not to be seen without /proc"

    def memory_used(self) -> str:
        """Say what was mapped."""
        peak = _status_field("VmPeak") * 1024 - self._bases["memory"]
        return f"{max(0, peak)} bytes beyond the template's were mapped when more was asked for"

    def processes_used(self) -> str:
        """Say what runs."""
        return f"{_count_below(os.getpid())} processes and threads beside the first are there now"

    def open_files_used(self) -> str:
        """Say what is open."""
        return f"{max(0, len(_open_descriptors()) - self._bases['open_files'])} beyond the template's are open now"

    def file_size_used(self) -> str:
        """Say what happened."""
        return "a file reached it"


_STARTS: dict[str, Callable[[Limits, Collection[int], bool], int]] = {
    "memory": Limits.memory_start,
    "cpu": Limits.cpu_start,
    "processes": Limits.processes_start,
    "open_files": Limits.open_files_start,
    "file_size": lambda *_: 0,
}
_USED: dict[str, Callable[[Limits], str]] = {
    "memory": Limits.memory_used,
    "processes": Limits.processes_used,
    "open_files": Limits.open_files_used,
    "file_size": Limits.file_size_used,
}
_CHAIN = 10
_ERRNOS = {
    errno.EMFILE: "open_files",
    errno.EFBIG: "file_size",
    errno.ENOMEM: "memory",
    errno.EAGAIN: "processes",
}


def _limit_of(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "processes"
    if isinstance(error, OSError):
        return _ERRNOS.get(error.errno or 0, "")
    return ""


def _binds_processes() -> bool:
    """Try whether the kernel refuses a process at the limit: who it does not count is not to be seen from inside.

    That is root, whatever it is called in a user namespace, and everybody with CAP_SYS_RESOURCE or CAP_SYS_ADMIN.
    """
    from forkcore._sandbox_system import call

    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
    try:
        # Not `os.fork`: the handlers that are registered for that are not to be called for a process that does nothing.
        pid = call("fork")
    except OSError:
        return True
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return False


def _address_space() -> int:
    """Give the bytes of this process's address space."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * _PAGE


def _status_field(name: str) -> int:
    with open("/proc/self/status", "rb") as file:
        for line in file:
            field, _, value = line.partition(b":")
            if field.decode() == name:
                return int(value.split()[0])
    return 0


def _open_descriptors() -> list[int]:
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    return [fd for fd in map(int, os.listdir(folder)) if _is_open(fd)]  # that of the listing itself is closed by now


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _has_company() -> bool:
    """Tell whether this process has other threads, or has made processes; does without ``/proc``."""
    if len(sys._current_frames()) > 1:
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _count_below(root: int) -> int:
    """Count the threads of a process but one, and the processes and threads below it."""
    os.stat(f"/proc/{root}/task")
    count, waiting = -1, [root]
    while waiting:
        pid = waiting.pop()
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                count += 1
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    waiting += map(int, file.read().split())
        except OSError:
            continue  # it has just ended
    return count


def _count_tasks(user: int) -> int:
    """Count what RLIMIT_NPROC counts: processes and threads of a user, as far as they are to be seen."""
    count = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.stat(f"/proc/{name}").st_uid == user:
                count += os.stat(f"/proc/{name}/task").st_nlink - 2
        except OSError:
            continue  # it has just ended
    return count
