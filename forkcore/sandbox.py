"""What a forked process may use and touch: limits, places, network, rights.

    sandbox = Sandbox(memory="512M", cpu=10, network=False, read_only=True, private_tmp=True)
    child = forkcore.new().preload("my_module").run("my_module:work", sandbox=sandbox)

It is applied in the child right after the fork, before any code of the user runs there. What the system cannot give
keeps the function from running: `Child.wait` raises `SandboxUnavailable`, which names what is missing and the remedy.

This is a harness against accidents, and no jail for hostile code.
"""

from __future__ import annotations

import dataclasses
import fcntl  # noqa: F401 - as those below
import marshal
import os
import signal
from typing import TYPE_CHECKING, Any, Literal

# A template that has loaded this module has loaded all that its children need to be sandboxed.
from forkcore import (
    _sandbox_apply,
    _sandbox_group,  # noqa: F401 - see above
    _sandbox_landlock,  # noqa: F401 - see above
    _sandbox_namespaces,  # noqa: F401 - see above
    _sandbox_seccomp,  # noqa: F401 - see above
)
from forkcore._sandbox_apply import Applied
from forkcore._sandbox_credentials import CAPABILITIES
from forkcore._sandbox_environment import CLEAN
from forkcore._sandbox_limits import SOON
from forkcore._sandbox_values import absolute, find_user, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from forkcore._status import ExitStatus

    Path = str | os.PathLike[str]

__all__ = ["CLEAN", "Applied", "Sandbox", "current", "parse_size"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What a process may use and touch; without arguments: everything.

    Sizes are bytes, or text as "512K", "20M", "2G" (powers of 1,024). Paths may begin with ``~``; relative ones are
    relative to the working directory of the process that makes the sandbox.

    Attributes:
        memory: Address space that the process may map beyond what its template has mapped, so that a limit means the
            same whatever is preloaded. Above it, Python raises MemoryError. Linux.
        cpu: Seconds of CPU time, whole ones. At the limit, SIGXCPU ends the process.
        processes: Processes and threads that there may be at a time beside its first thread. Above it, making one fails
            with EAGAIN. It does not bind root.
        open_files: Descriptors that may be open at a time beyond those that are there at the start. Above it, EMFILE.
        file_size: Size of each file that is written. Above it, EFBIG.
        core_dumps: Whether a crash may write a core file.
        nice: Added to the priority: 1 to 19 for less of the CPU.
        cwd: Working directory.
        env: The whole environment; "clean" for a few variables of the present one (`CLEAN`).
        umask: As `os.umask` takes it.
        home: The variable HOME.
        private_tmp: A new and empty ``/tmp``, kept in memory, which is gone with the last process that sees it; a
            size limits what it holds.
        read_only: No file can be changed, made or removed but in `writable`, in a private ``/tmp``, and in
            ``/dev/shm``, which is a new one. Where there are no mount namespaces, Landlock is used: modes, owners and
            times of files can be changed then, and ``/dev/shm`` is the common one.
        writable: Paths of directories and files that stay as they are, for `read_only` and `private_tmp`.
        visible: Paths below ``/tmp`` that are to be seen in a private one as well. Working directory, home, interpreter
            and the entries of ``sys.path`` are, without being named.
        hide: Paths that are empty for this process; those that are not there are left alone.
        network: False for no other network than a loopback device of its own; "none" for not even that.
        signal_others: Whether it may send signals to processes that it has not made; where it may not, killing all that
            it sees, as by ``os.kill(-1, SIGKILL)``, ends none but those.
        hostname: Name of the machine, as this process sees it.
        user: Name or number of the user that it becomes, with that user's groups; for root.
        capabilities: Those that it keeps, as ``("net_raw",)``; None for all that it has.
        no_new_privs: Whether set-user-ID programs have no effect.
        group: Folder of a control group that it enters before all else: see `forkcore.groups`.
        missing: "error", or "ignore" to go on without what cannot be had, which `Applied.missing` names then.

    Raises:
        ValueError: A value is out of range or contradicts another one.
        TypeError: A value is of the wrong type.
    """

    memory: int | str | None = None
    cpu: int | None = None
    processes: int | None = None
    open_files: int | None = None
    file_size: int | str | None = None
    core_dumps: bool = True
    nice: int = 0
    cwd: Path | None = None
    env: Mapping[str, str] | Literal["clean"] | None = dataclasses.field(default=None, hash=False)
    umask: int | None = None
    home: Path | None = None
    private_tmp: bool | int | str = False
    read_only: bool = False
    writable: Collection[Path] = ()
    visible: Collection[Path] = ()
    hide: Collection[Path] = ()
    network: bool | Literal["none"] = True
    signal_others: bool = True
    hostname: str | None = None
    user: str | int | None = None
    capabilities: Collection[str] | None = None
    no_new_privs: bool = False
    group: Path | None = None
    missing: Literal["error", "ignore"] = "error"

    def __post_init__(self) -> None:
        for name in ("writable", "visible", "hide", "capabilities"):
            value = getattr(self, name)
            if isinstance(value, str | bytes | os.PathLike):
                raise TypeError(f"{name} takes several values, in a list or tuple, not {value!r} alone")
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        self._check_numbers()
        self._check_choices()
        if self.writable and not (self.read_only or self.private_tmp):
            raise ValueError("writable= names exceptions from read_only=True or private_tmp=True; neither is there")
        if self.visible and not self.private_tmp:
            raise ValueError("visible= names exceptions from private_tmp=True, which is not there")
        for path in map(absolute, self.writable):
            for hidden in map(absolute, self.hide):
                if path == hidden or path.startswith(hidden + "/"):
                    raise ValueError(f"writable path {path!r} is hidden by {hidden!r}")

    def _check_numbers(self) -> None:
        for name in ("memory", "file_size"):
            if getattr(self, name) is not None:
                parse_size(getattr(self, name), name)
        if not isinstance(self.private_tmp, bool):
            parse_size(self.private_tmp, "private_tmp")
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, not {value!r}")
            if not least <= value <= most:
                raise ValueError(f"{name} must be from {least} to {most}, not {value}")

    def _check_choices(self) -> None:
        for name in ("core_dumps", "read_only", "signal_others", "no_new_privs"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if not isinstance(self.network, bool) and self.network != "none":
            raise ValueError(f"network must be True, False or 'none', not {self.network!r}")
        if self.missing not in ("error", "ignore"):
            raise ValueError(f"missing must be 'error' or 'ignore', not {self.missing!r}")
        if isinstance(self.env, str):
            if self.env != "clean":
                raise ValueError(f"env must be a mapping or 'clean', not {self.env!r}")
        elif self.env is not None:
            object.__setattr__(self, "env", dict(self.env))
        if self.hostname is not None and not 0 < len(self.hostname) <= _LONGEST_HOST:
            raise ValueError(f"hostname must have 1 to {_LONGEST_HOST} characters, not {self.hostname!r}")
        unknown = sorted(set(self.capabilities or ()) - set(CAPABILITIES))
        if unknown:
            raise ValueError(f"no such capability: {unknown[0]!r}; they are: {', '.join(CAPABILITIES)}")

    def fields(self) -> dict[str, Any]:
        """Give what is bound, as plain data, with all names resolved.

        Raises:
            LookupError: There is no such user.
        """
        found: dict[str, Any] = {}
        for name, bound, encode in _BINDING:
            value = getattr(self, name)
            if value != getattr(Sandbox, name):  # the default binds nothing
                found[bound] = encode(value)
        return found

    def encode(self) -> bytes:
        """Give `fields` in the form in which they cross to a child."""
        return marshal.dumps(self.fields())

    def apply(self) -> Applied:
        """Put this very process into the sandbox, for good; it must have no threads but this one.

        For programs that fork by themselves; `Template.run` does it for you.

        Raises:
            SandboxUnavailable: Something cannot be had here.
            OSError: A path is not there, or the system refused what it should allow.
            LookupError: There is no such user.
            RuntimeError: This process is in a sandbox already.
        """
        return _sandbox_apply.apply(self.fields())

    def explain(self, status: ExitStatus) -> str | None:
        """Say which limit has ended a process, and how much it had used; None where none of them has."""
        if self.cpu is None or status.usage is None:
            return None
        used = status.usage.user_time + status.usage.system_time
        is_late = status.signal == signal.SIGKILL and used >= self.cpu + SOON - 1
        if status.signal == signal.SIGXCPU or is_late:
            return f"sandbox limit cpu={self.cpu}: {used:.2f} seconds of CPU time were used"
        return None


_LONGEST_HOST = 64
_MANY = (1 << 31) - 1
_RANGES = (
    ("cpu", 1, _MANY),
    ("processes", 0, _MANY),
    ("open_files", 0, _MANY),
    ("nice", -20, 19),
    ("umask", 0, 0o777),
)


def current() -> Applied | None:
    """Give the sandbox that this process is in; None where it is in none."""
    return _sandbox_apply.current


def _itself(value: Any) -> Any:
    return value


def _always(_: object) -> bool:
    return True


def _absolute_all(paths: Collection[Path]) -> tuple[str, ...]:
    return tuple(map(absolute, paths))


def _private_size(value: bool | int | str) -> int:  # noqa: FBT001 - as the user gives it
    return 0 if value is True else parse_size(value)


def _network_kind(value: bool | Literal["none"]) -> str:  # noqa: FBT001 - as the user gives it
    return "none" if value == "none" else "loopback"


# Attribute, its name among the fields, and what its value is there.
_BINDING: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("memory", "memory", parse_size),
    ("cpu", "cpu", _itself),
    ("processes", "processes", _itself),
    ("open_files", "open_files", _itself),
    ("file_size", "file_size", parse_size),
    ("core_dumps", "no_core_dumps", _always),
    ("nice", "nice", _itself),
    ("cwd", "cwd", absolute),
    ("env", "env", _itself),
    ("umask", "umask", _itself),
    ("home", "home", absolute),
    ("private_tmp", "private_tmp", _private_size),
    ("read_only", "read_only", _always),
    ("writable", "writable", _absolute_all),
    ("visible", "visible", _absolute_all),
    ("hide", "hide", _absolute_all),
    ("network", "network", _network_kind),
    ("signal_others", "own_signals", _always),
    ("hostname", "hostname", _itself),
    ("user", "user", find_user),
    ("capabilities", "capabilities", _itself),
    ("no_new_privs", "no_new_privs", _always),
    ("group", "group", absolute),
    ("missing", "ignores_missing", _always),
)
