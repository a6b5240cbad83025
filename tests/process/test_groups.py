"""Control groups: what processes hold together, and that nothing of a group is left.

They need a group of cgroup v2 with the controller 'memory' that pytest may divide: ``systemd-run --user --scope -p
Delegate=yes pytest ...``, or a machine whose kernel was started with ``cgroup_no_v1=all``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_runs import IDENTITIES, delegated_group, do, make_template

import forkcore
from forkcore import Sandbox
from forkcore.groups import ControlGroups

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


@pytest.fixture
def delegated(_no_leaks: None) -> Iterator[str]:
    """Give the folder of a group that may be divided."""
    with delegated_group() as path:
        yield path


@pytest.fixture(params=IDENTITIES)
def identity(request: pytest.FixtureRequest) -> str:
    """Give each kind of user."""
    return str(request.param)


def attempt(path: str, identity: str, deed: str, *arguments: Any) -> Any:
    """Do something in a child that is alone in its group."""
    with forkcore.new(cwd="/").preload("sandbox_targets", "group_targets") as template:
        template.eval("import sandbox_targets, group_targets; sandbox_targets.in_group = group_targets.in_group")
        outcome = do(template, None, "in_group", path, identity, deed, *arguments)
    assert outcome.error is None, outcome
    return outcome.result


def test_memory_of_all_processes_together(delegated: str, identity: str) -> None:
    """None of them is beyond its own limit, and all together are beyond that of the group; it says so, and is gone."""
    found = attempt(delegated, identity, "limit_together", {"memory": "64M"}, 4, 50)
    assert 1 <= found["ended"] <= 4
    assert found["said"].startswith(f"sandbox limit memory={64 << 20}: all its processes together held ")
    assert found["said"].endswith(f"and the kernel has ended {found['ended']} of them")
    assert (found["removed"], found["moved"], found["below"]) == (True, True, [])


def test_memory_within(delegated: str, identity: str) -> None:
    """What is within is had, and nothing is said."""
    found = attempt(delegated, identity, "limit_together", {"memory": "64M"}, 4, 20)
    assert found == {"ended": 0, "said": None, "removed": True, "moved": True, "below": []}


def test_a_child_of_a_template_in_a_group(delegated: str) -> None:
    """By the sandbox of its group; its own end is explained as well."""
    assert delegated
    with ControlGroups() as groups, make_template(IDENTITIES[0]) as template:
        with groups.make(Sandbox(memory="8M")) as group:
            within = do(template, group.sandbox, "facts")
            assert within.means["memory"] == "address space and group"
        with groups.make(Sandbox(memory="8M")) as group:
            free = Sandbox(group=group.path)  # no limit of address space, and so no MemoryError before
            with (
                template.fork()
                .send_arg('["allocate_whole", [209715200]]')
                .run("sandbox_targets:attempt", sandbox=free) as child
            ):
                assert child.wait(60).signal == 9
            assert str(group.explain()).endswith("and the kernel has ended 1 of them")


def test_processes_whoever_runs_them(delegated: str, identity: str) -> None:
    """Root's as well, which the kernel does not count otherwise."""
    assert attempt(delegated, identity, "bomb", {"processes": 5}, 5).startswith("5 {")
    said = attempt(delegated, identity, "bomb", {"processes": 5}, 6)
    assert said == "sandbox limit processes=5: 5 processes and threads beside the first are there now"


def test_what_is_left_in_a_group_ends_with_it(delegated: str, identity: str) -> None:
    """By SIGKILL."""
    assert attempt(delegated, identity, "leave_running") == {"signal": 9, "there": False}


def test_groups_of_an_owner_that_was_killed(delegated: str, identity: str) -> None:
    """The next one removes them, and ends what is in them."""
    assert attempt(delegated, identity, "die_as_owner") == {"was_there": True, "removed": True, "ended": True}


def test_a_group_with_others_in_it(delegated: str, identity: str) -> None:
    """Is not divided: they would have to be moved. This process is back where it was."""
    said = attempt(delegated, identity, "divide_beside_another")
    assert "memory of all processes needs a control group of its own (cgroup v2), which cannot be had here" in said
    assert "systemd-run --user --scope -p Delegate=yes" in said
    assert said.endswith(" True")
    assert attempt(delegated, identity, "divide") == "made"


def test_groups_of_others_keep_their_limits(delegated: str, identity: str) -> None:
    """The controllers stay on for them."""
    assert attempt(delegated, identity, "close_beside_others") == "104857600"


def test_a_group_that_is_not_delegated(delegated: str, identity: str) -> None:
    """Belongs to somebody else, even where this process may write there."""
    os.removexattr(delegated, "user.delegate")
    assert "is not delegated to the processes in it" in attempt(delegated, identity, "divide")


def test_a_sandbox_without_limits_needs_no_group(delegated: str) -> None:
    """An error says so."""
    assert Path(delegated).is_dir()
    with ControlGroups() as groups, pytest.raises(ValueError, match="has neither"):
        groups.make(Sandbox(cpu=1))


def test_a_group_that_is_not_there() -> None:
    """Is an error of the child, before its function is called."""
    with make_template(IDENTITIES[0]) as template, pytest.raises(forkcore.RemoteError, match="FileNotFoundError"):
        do(template, Sandbox(memory="8M", group="/nowhere"), "facts")
