"""Limits of all processes below a child together, by control groups: cgroup v2 of Linux.

For instance::

    with ControlGroups() as groups, groups.make(Sandbox(memory="512M")) as group:
        with template.run("my_module:work", sandbox=group.sandbox) as child:
            status = child.wait()
        print(group.explain())

`forkcore.Sandbox` bounds the memory of each process by its address space; a group bounds what they hold together. It
outlives its processes, so it has an owner, which removes it: the process that made it.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, and https://systemd.io/CGROUP_DELEGATION.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Self

from forkcore import _group_folders as folders
from forkcore import _sandbox_group
from forkcore._sandbox_limits import NOTE
from forkcore._sandbox_missing import GROUPS, Missing
from forkcore._sandbox_values import parse_size
from forkcore.errors import SandboxUnavailable

if TYPE_CHECKING:
    from types import TracebackType

    from forkcore.sandbox import Sandbox

__all__ = ["ControlGroup", "ControlGroups"]


class ControlGroups:
    """Groups below the one that this process is in, which must be a delegated one, or the root of what it sees.

    A group with limits for those below it has no processes of its own. So this process moves into one that it makes
    beside the others, and back at the end. What it forks meanwhile is there as well.

    Use it as a context manager, or `close` it.

    Raises:
        SandboxUnavailable: This process may make none; says why.
    """

    def __init__(self) -> None:
        self._made: set[ControlGroup] = set()
        self._count = 0
        self._own: str | None = None
        self._enabled: list[str] = []
        try:
            place = folders.own_group()
            self._base = os.path.dirname(place) if folders.is_of_owner(place) else place
            self._controllers = folders.controllers(self._base)
            folders.remove_stale(self._base)
            if self._base == place:
                self._divide()
        except OSError as error:
            raise SandboxUnavailable(str(Missing("memory of all processes", GROUPS, error))) from error

    def _divide(self) -> None:
        own = folders.name_in(self._base)
        with contextlib.suppress(FileExistsError):  # left from another of these objects
            os.mkdir(own)
        try:
            if not os.path.exists(f"{own}/cgroup.kill"):
                raise OSError(0, "groups have no cgroup.kill (Linux 5.14)")
            _sandbox_group.enter(own)
            known = _sandbox_group.read(self._base, "cgroup.subtree_control").split()
            folders.write(self._base, "cgroup.subtree_control", " ".join(f"+{name}" for name in self._controllers))
            self._enabled = [name for name in self._controllers if name not in known]
        except OSError:
            self._leave(own)
            raise
        self._own = own

    def _leave(self, own: str) -> None:
        """Move this process back, and whatever it has forked meanwhile and still runs."""
        with contextlib.suppress(OSError):
            _sandbox_group.enter(self._base)  # or it stays where it is: others have groups here now
            folders.move_all(own, self._base)
        with contextlib.suppress(OSError):
            os.rmdir(own)

    def make(self, sandbox: Sandbox) -> ControlGroup:
        """Make a group for one child, and what that starts.

        Args:
            sandbox: Its `memory`, and 64 MiB, is what all processes may hold together; above it, the kernel ends the
                one that holds most. Of its `processes` there are no more, whoever runs them, where the system counts
                them in groups.

        Returns:
            The group; owned by the caller, and removed when these groups are closed, at the latest.

        Raises:
            ValueError: The sandbox limits neither.
            OSError: It cannot be made.
        """
        if sandbox.memory is None and sandbox.processes is None:
            raise ValueError("a group limits memory= or processes=, and the sandbox has neither")
        path = self._make_folder()
        try:
            _limit(path, sandbox, self._controllers)
        except OSError:
            folders.remove(path)
            raise
        group = ControlGroup(path, sandbox, self._made)
        self._made.add(group)
        return group

    def _make_folder(self) -> str:
        while True:
            self._count += 1
            path = folders.name_in(self._base, self._count)
            with contextlib.suppress(FileExistsError):  # this process has others of these objects
                os.mkdir(path)
                return path

    def close(self) -> None:
        """Remove all groups, ending what is in them, and move this process back to where it was."""
        for group in list(self._made):
            group.close()
        if self._own is not None:
            own, self._own = self._own, None
            if self._enabled and folders.below(self._base) == [own]:  # or others would lose their limits
                with contextlib.suppress(OSError):
                    folders.write(self._base, "cgroup.subtree_control", " ".join(f"-{name}" for name in self._enabled))
            self._leave(own)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ControlGroup:
    """A group for one child, and what that starts; `ControlGroups.make` makes it.

    Attributes:
        path: Of its folder.
        sandbox: As it was given, for a child that enters the group.
    """

    def __init__(self, path: str, sandbox: Sandbox, owner: set[ControlGroup]) -> None:
        """Take over a folder; for `ControlGroups`."""
        self.path = path
        self.sandbox = dataclasses.replace(sandbox, group=path)
        self._owner = owner

    def explain(self) -> str | None:
        """Say which limit has ended processes, and how much they held; None where none has."""
        if self.sandbox.memory is None:
            return None
        text = _sandbox_group.explain_memory(self.path, parse_size(self.sandbox.memory))
        return None if text is None else f"{NOTE}{text}"

    def close(self) -> None:
        """End all processes in it, with SIGKILL, and remove it; may be called again."""
        if self in self._owner:
            self._owner.discard(self)
            folders.remove(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _limit(path: str, sandbox: Sandbox, controllers: list[str]) -> None:
    if sandbox.memory is not None:
        folders.write(path, "memory.max", str(parse_size(sandbox.memory) + _sandbox_group.MEMORY_RESERVE))
        with contextlib.suppress(FileNotFoundError):  # a kernel without swap
            folders.write(path, "memory.swap.max", "0")
    if sandbox.processes is not None and "pids" in controllers:
        folders.write(path, "pids.max", str(sandbox.processes + 1))
