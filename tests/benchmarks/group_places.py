"""Where the benchmark of sandboxes makes control groups for children: with controllers, or, for want of these, without.

What a group costs is mostly to make it, to move a process there and to remove it, which any group of cgroup v2 has.
Where the controllers that limits need belong to cgroup v1, that can still be measured; the table says which it was.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import sandbox_targets

import forkcore
from forkcore import Sandbox, _group_folders, _sandbox_group
from forkcore.groups import ControlGroups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMITS = Sandbox(memory="512M", processes=100)


class Place(NamedTuple):
    """Where groups can be made.

    Attributes:
        controllers: What they limit, for a table.
        group: Makes one for a child of "root" or of an "ordinary" user, and gives its sandbox; asks at the end what the
            group has to say, and removes it.
    """

    controllers: str
    group: Callable[[str], contextlib.AbstractContextManager[Sandbox]]


@contextlib.contextmanager
def open_place() -> Iterator[Place | str]:
    """Give where groups can be made, or the reason why that is nowhere.

    This process is in another group meanwhile, and its templates are to be made there.
    """
    with contextlib.ExitStack() as stack:
        try:
            place = _with_controllers(stack)
        except (forkcore.SandboxUnavailable, OSError) as error:
            reason = str(error)
            try:
                place = _without_controllers(stack)
            except OSError as bare:
                yield f"{reason} Without controllers: {bare}"
                return
        yield place


def _with_controllers(stack: contextlib.ExitStack) -> Place:
    groups = stack.enter_context(ControlGroups())
    own = _group_folders.own_group()
    base = str(Path(own).parent)
    _hand_over(stack, base)

    @contextlib.contextmanager
    def group(identity: str) -> Iterator[Sandbox]:
        with groups.make(LIMITS) as made:
            _give(made.path, identity)
            yield Sandbox(group=made.path)
            made.explain()

    return Place(_sandbox_group.read(own, "cgroup.controllers").replace(" ", ", "), group)


def _without_controllers(stack: contextlib.ExitStack) -> Place:
    before = _group_folders.own_group()
    base = _group_folders.name_in(before)
    Path(base).mkdir()
    stack.callback(_group_folders.remove, base)
    own = f"{base}/own"
    Path(own).mkdir()
    _sandbox_group.enter(own)
    stack.callback(_group_folders.move_all, own, before)  # this process, and the template of all templates
    _hand_over(stack, base)
    count = 0

    @contextlib.contextmanager
    def group(identity: str) -> Iterator[Sandbox]:
        nonlocal count
        count += 1
        path = f"{base}/{count}"
        Path(path).mkdir()
        try:
            _give(path, identity)
            yield Sandbox(group=path)
            _sandbox_group.explain_memory(path, 0)
        finally:
            _group_folders.remove(path)

    return Place("no controller", group)


def _hand_over(stack: contextlib.ExitStack, base: str) -> None:
    """Let root's ordinary user move processes between the groups below one, as where a group is delegated to a user."""
    if os.getuid() == 0:
        path = f"{base}/cgroup.procs"
        owner = Path(path).stat()
        stack.callback(os.chown, path, owner.st_uid, owner.st_gid)
        _give(base, "ordinary")


def _give(path: str, identity: str) -> None:
    if identity == "ordinary" and os.getuid() == 0:
        os.chown(f"{path}/cgroup.procs", sandbox_targets.ORDINARY, sandbox_targets.ORDINARY)
