"""Folders of control groups: which one a process may divide, and whose groups are removed; in a tree of folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from forkcore import _group_folders as folders

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


def mount_line(point: Path, root: str = "/") -> str:
    """Give a line of mountinfo."""
    escaped = str(point).replace(" ", "\\040")
    return f"30 23 0:26 {root} {escaped} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


def test_the_root_of_what_is_seen_may_be_divided(tmp_path: Path) -> None:
    """As in a container; blanks in its path are escaped in what the kernel says."""
    point = tmp_path / "with a blank"
    mounts = f"23 1 0:21 / /proc rw - proc proc rw\n{mount_line(point)}\n"
    assert folders.locate(mounts, "4:memory:/x\n0::/\n") == str(point)
    assert folders.locate(mount_line(point, "/docker/abc"), "0::/docker/abc\n") == str(point)


def test_another_group_must_be_delegated(tmp_path: Path) -> None:
    """By the attribute that systemd sets there."""
    group = tmp_path / "user.slice" / "run-1.scope"
    group.mkdir(parents=True)
    where = (mount_line(tmp_path), "0::/user.slice/run-1.scope\n")
    with pytest.raises(OSError, match=r"the group /user\.slice/run-1\.scope is not delegated"):
        folders.locate(*where)
    try:
        os.setxattr(group, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system has no attributes")
    assert folders.locate(*where) == str(group)


@pytest.mark.parametrize(
    ("mounts", "groups"),
    [("23 1 0:21 / /proc rw - proc proc rw\n", "0::/\n"), (mount_line(Path("/c")), "4:memory:/x\n"), ("", "0::/\n")],
)
def test_without_cgroup_v2(mounts: str, groups: str) -> None:
    """An error says so; a group outside of what is mounted is none either."""
    with pytest.raises(OSError, match="cgroup v2 is not mounted"):
        folders.locate(mounts, groups)
    with pytest.raises(OSError, match="cgroup v2 is not mounted"):
        folders.locate(mount_line(Path("/c"), "/docker/abc"), "0::/docker/abcd\n")


def test_a_controller_that_is_not_there(tmp_path: Path) -> None:
    """That of memory must be; that of processes need not."""
    (tmp_path / "cgroup.controllers").write_text("cpu pids\n")
    with pytest.raises(OSError, match="does not have the controller 'memory'"):
        folders.controllers(str(tmp_path))
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    assert folders.controllers(str(tmp_path)) == ["memory"]


def test_the_own_group_of_an_owner_is_known_by_its_name(tmp_path: Path) -> None:
    """Groups are made beside it, and not in it; but in that of a child, whose limits are to hold."""
    (tmp_path / "cgroup.subtree_control").write_text("memory pids\n")
    assert folders.is_of_owner(folders.name_in(str(tmp_path)))
    assert not folders.is_of_owner(folders.name_in(str(tmp_path), 1))
    assert not folders.is_of_owner(str(tmp_path / "forkcore-x"))
    (tmp_path / "cgroup.subtree_control").write_text("pids\n")
    assert not folders.is_of_owner(folders.name_in(str(tmp_path)))


def test_groups_of_the_living_and_of_strangers_stay(tmp_path: Path) -> None:
    """Those are removed whose owner was a process that can be seen to be gone."""
    own = Path(folders.name_in(str(tmp_path)))
    namespace, pid, start = own.name.removeprefix("forkcore-").split("-")
    kept = [own.name, f"{own.name}-1", f"forkcore-7-{pid}-1-1", "forkcore-x", f"other-{namespace}-{pid}-1"]
    stale = [f"forkcore-{namespace}-{pid}-{int(start) + 1}-3", f"forkcore-{namespace}-{1 << 30}-{start}"]
    for name in kept + stale:
        (tmp_path / name).mkdir()
    folders.remove_stale(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
