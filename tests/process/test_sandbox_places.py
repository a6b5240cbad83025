"""What a sandboxed child sees of the file system and of its surroundings, by children that try to go beyond it."""

from __future__ import annotations

import errno
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sandbox_runs import IDENTITIES, IS_ROOT, do, make_template, require_landlock, require_namespaces, require_read_only

import forkcore
from forkcore import Sandbox, SandboxUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts and Landlock are Linux's")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder outside of ``/tmp`` where everybody may write, with a file in it."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o777)
    (folder / "old").write_text("as it was")
    (folder / "old").chmod(0o666)
    (folder / "inner").mkdir()
    (folder / "inner").chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def check_read_only(with_namespaces: forkcore.Template, sandbox: Sandbox, place: Path, error: str) -> None:
    """Try each way to change what is there."""
    for deed, *arguments in (
        ("write", str(place / "new"), 1),
        ("write", str(place / "old"), 1),
        ("change", str(place / "old"), "truncate"),
        ("change", str(place / "old"), "remove"),
        ("change", str(place / "inner"), "rmdir"),
        ("change", str(place / "newer"), "mkdir"),
    ):
        outcome = do(with_namespaces, sandbox, deed, *arguments)
        assert outcome.errno == error, (deed, arguments, outcome)
    assert do(with_namespaces, sandbox, "read", str(place / "old")).result == "as it was"
    assert do(with_namespaces, sandbox, "open_device").result == 1
    assert (place / "old").read_text() == "as it was"
    assert sorted(path.name for path in place.iterdir()) == ["inner", "old"]


def test_read_only_by_mounts(with_namespaces: forkcore.Template, place: Path) -> None:
    """Nothing can be changed, but reading, devices and shared memory work."""
    sandbox = Sandbox(read_only=True)
    check_read_only(with_namespaces, sandbox, place, "EROFS")
    memory = do(with_namespaces, sandbox, "shared_memory")
    assert (memory.result, memory.means) == (4, {"read_only": "mounts"})
    assert not Path("/dev/shm/forkcore-test").exists()  # noqa: S108 - it was another one
    assert do(with_namespaces, sandbox, "write", "/tmp/forkcore-test", 1).errno == "EROFS"  # noqa: S108 - not written


def test_read_only_by_landlock(without_namespaces: forkcore.Template, place: Path) -> None:
    """The same without namespaces."""
    require_landlock(3)
    sandbox = Sandbox(read_only=True)
    check_read_only(without_namespaces, sandbox, place, "EACCES")
    assert do(without_namespaces, sandbox, "facts").means == {"read_only": "Landlock"}
    assert do(without_namespaces, sandbox, "facts").result["no_new_privs"] == "1"


@pytest.mark.parametrize("identity", IDENTITIES)
def test_read_only_without_either_is_refused(identity: str, place: Path) -> None:
    """Nothing runs; the error says what is missing and what to do."""
    with make_template(identity, "landlock", "namespaces") as template:
        with pytest.raises(
            SandboxUnavailable, match=r"read_only needs namespaces.*nor is there Landlock.*Remedy: run as root"
        ) as caught:
            do(template, Sandbox(read_only=True), "write", str(place / "new"), 1)
        assert not (place / "new").exists()
        assert len(caught.value.missing) == 1
        went_on = do(template, Sandbox(read_only=True, missing="ignore"), "write", str(place / "new"), 1)
    assert went_on.result == 1
    assert went_on.missing == caught.value.missing


@pytest.mark.parametrize("identity", IDENTITIES)
def test_mounts_are_forbidden_in_a_namespace(identity: str, place: Path) -> None:
    """Landlock stands in for what it can; the rest is refused."""
    require_namespaces(identity)
    require_landlock(3)
    with make_template(identity, "mounts") as template:
        check_read_only(template, Sandbox(read_only=True), place, "EACCES")
        with pytest.raises(SandboxUnavailable, match=r"^hide needs changes of mounts, .*Linux 5.12"):
            do(template, Sandbox(hide=[place], read_only=True), "facts")


@pytest.mark.parametrize("denied", [(), ("namespaces",)], ids=["mounts", "landlock"])
@pytest.mark.parametrize("identity", IDENTITIES)
def test_writable_places(identity: str, denied: tuple[str, ...], place: Path) -> None:
    """A directory and a file stay as they are; what is beside them does not."""
    if denied:
        require_landlock(3)
    else:
        require_namespaces(identity)
    sandbox = Sandbox(read_only=True, writable=[place / "inner", place / "old"])
    with make_template(identity, *denied) as template:
        assert do(template, sandbox, "write", str(place / "inner" / "new"), 3).result == 3
        assert do(template, sandbox, "write", str(place / "old"), 2).result == 2
        assert do(template, sandbox, "write", str(place / "new"), 1).errno in ("EROFS", "EACCES")
        (place / "inner" / "below").mkdir(mode=0o777)
        (place / "inner" / "below").chmod(0o777)
        moved = do(template, sandbox, "move", str(place / "inner" / "new"), str(place / "inner" / "below" / "new"))
        assert moved.error is None
    assert (place / "inner" / "below" / "new").stat().st_size == 3
    assert (place / "old").stat().st_size == 2


def test_the_working_directory_can_be_a_writable_place(with_namespaces: forkcore.Template, place: Path) -> None:
    """By a relative path too, which leads below what is mounted there, otherwise."""
    sandbox = Sandbox(read_only=True, writable=[place], cwd=place)
    assert do(with_namespaces, sandbox, "write", "new", 5).result == 5
    assert (place / "new").stat().st_size == 5


def test_a_writable_place_must_be_there(with_namespaces: forkcore.Template, place: Path) -> None:
    """An error that names it; the function is not called."""
    with pytest.raises(forkcore.RemoteError, match=r"FileNotFoundError.*absent"):
        do(with_namespaces, Sandbox(read_only=True, writable=[place / "absent"]), "facts")


def test_private_tmp(with_namespaces: forkcore.Template) -> None:
    """A new and empty one, limited in size, in which nothing of what is there is to be seen."""
    with tempfile.NamedTemporaryFile(dir="/tmp") as outside:
        Path(outside.name).chmod(0o644)
        sandbox = Sandbox(private_tmp="1M", read_only=True)
        assert do(with_namespaces, sandbox, "read", outside.name).errno == "ENOENT"
        assert do(with_namespaces, sandbox, "write", "/tmp/forkcore-new", 1 << 19).result == 1 << 19  # noqa: S108 - private
        full = do(with_namespaces, sandbox, "write", "/tmp/forkcore-new", 3 << 20)  # noqa: S108 - private
        assert full.errno == "ENOSPC"
        assert do(with_namespaces, None, "read", outside.name).result == ""
    assert not Path("/tmp/forkcore-new").exists()  # noqa: S108 - it must not be there


def test_a_private_tmp_is_where_temporary_files_go(with_namespaces: forkcore.Template) -> None:
    """Whatever TMPDIR says outside, and wherever the template has found that they go."""
    with_namespaces.eval("sandbox_targets.remember_tmp('/var/tmp')")
    sandbox = Sandbox(private_tmp=True, env={"TMPDIR": "/var/tmp"})  # noqa: S108 - is to be overruled
    found = do(with_namespaces, sandbox, "facts").result
    assert found["env"]["TMPDIR"] == found["tmp"] == "/tmp"  # noqa: S108 - as above


def test_what_the_program_is_made_of_stays_in_a_private_tmp() -> None:
    """A working directory there, and a writable place in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        (Path(folder) / "out").mkdir()
        (Path(folder) / "in").write_text("here")
        with forkcore.new(cwd=folder).eval("import sandbox_targets") as template:
            sandbox = Sandbox(private_tmp=True, read_only=True, writable=[f"{folder}/out"])
            assert do(template, sandbox, "read", "in").result == "here"
            assert do(template, sandbox, "write", "in", 1).errno == "EROFS"
            assert do(template, sandbox, "write", "out/file", 1).result == 1
        assert (Path(folder) / "out" / "file").exists()


def test_a_working_directory_that_is_asked_for_stays_visible(with_namespaces: forkcore.Template) -> None:
    """In a private ``/tmp``, without being named twice."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        sandbox = Sandbox(private_tmp=True, cwd=folder)
        assert do(with_namespaces, sandbox, "facts").result["cwd"] == folder
        assert do(with_namespaces, sandbox, "write", "file", 1).result == 1
        assert (Path(folder) / "file").exists()


@pytest.mark.skipif(not IS_ROOT, reason="the folder must be another user's")
def test_a_writable_place_out_of_reach(place: Path) -> None:
    """Is an error of its own, and no sign that mounts are forbidden."""
    require_read_only("ordinary")
    (place / "inner").chmod(0o700)
    with (
        make_template("ordinary") as template,
        pytest.raises(forkcore.RemoteError, match=r"PermissionError.*inner/deep"),
    ):
        do(template, Sandbox(read_only=True, writable=[place / "inner" / "deep"]), "facts")


def test_hidden_places(with_namespaces: forkcore.Template, place: Path) -> None:
    """A directory is empty, a file too; what is not there is no error, and others see all."""
    (place / "inner" / "secret").write_text("hidden")
    sandbox = Sandbox(hide=[place / "inner", place / "old", place / "absent"])
    assert do(with_namespaces, sandbox, "names", str(place / "inner")).result == []
    assert do(with_namespaces, sandbox, "read", str(place / "inner" / "secret")).errno == "ENOENT"
    assert do(with_namespaces, sandbox, "write", str(place / "inner" / "new"), 1).errno == "EROFS"
    assert do(with_namespaces, sandbox, "read", str(place / "old")).result == ""
    assert do(with_namespaces, sandbox, "write", str(place / "new"), 1).result == 1
    assert do(with_namespaces, None, "read", str(place / "inner" / "secret")).errno is None


def test_the_working_directory_cannot_be_hidden(with_namespaces: forkcore.Template, place: Path) -> None:
    """An error says so."""
    require_namespaces("ordinary")
    with make_template("ordinary") as other:
        other.eval(f"import os; os.chdir({str(place / 'inner')!r})")
        with pytest.raises(forkcore.RemoteError, match=f"Errno {errno.EBUSY}.*hide= covers the working directory"):
            do(other, Sandbox(hide=[place]), "facts")


@pytest.mark.parametrize("name", ["private_tmp", "hide"])
def test_places_that_need_mounts(without_namespaces: forkcore.Template, name: str, place: Path) -> None:
    """Without namespaces they are refused, or named where the child goes on."""
    values: dict[str, object] = {"private_tmp": True, "hide": [place]}
    with pytest.raises(SandboxUnavailable, match=rf"^{name} needs namespaces"):
        do(without_namespaces, Sandbox(**{name: values[name]}), "facts")  # type: ignore[arg-type]
    went_on = do(without_namespaces, Sandbox(**{name: values[name], "missing": "ignore"}), "read", str(place / "old"))  # type: ignore[arg-type]
    assert went_on.result == "as it was"
    assert went_on.missing[0].startswith(f"{name} needs namespaces")


def test_surroundings(with_namespaces: forkcore.Template, place: Path) -> None:
    """Working directory, environment, umask, home."""
    sandbox = Sandbox(cwd=place, env={"A": "1"}, umask=0o077, home=place / "inner")
    found = do(with_namespaces, sandbox, "facts").result
    assert found["cwd"] == str(place)
    assert found["env"] == {"A": "1", "HOME": str(place / "inner")}
    assert found["umask"] == 0o077


def test_a_clean_environment(with_namespaces: forkcore.Template) -> None:
    """What programs need is kept, all else is gone."""
    with with_namespaces.fork(env={"PATH": "/bin", "LC_TIME": "C", "SECRET": "x", "HOME": "/h"}) as other:
        found = do(other, Sandbox(env="clean"), "facts").result
    assert found["env"] == {"PATH": "/bin", "LC_TIME": "C", "HOME": "/h"}


def test_nothing_reaches_the_template(with_namespaces: forkcore.Template, place: Path) -> None:
    """Its next child is bound by nothing."""
    before = do(with_namespaces, None, "facts").result
    everything = Sandbox(
        memory="64M", cpu=5, open_files=50, read_only=True, private_tmp=True, network=False, cwd="/", env="clean"
    )
    assert do(with_namespaces, everything, "facts").error is None
    assert do(with_namespaces, None, "facts").result == before
    assert do(with_namespaces, None, "write", str(place / "new"), 1).result == 1


@pytest.mark.skipif(not IS_ROOT, reason="is for root")
def test_a_mount_made_inside_is_not_seen_outside(place: Path) -> None:
    """Root in a mount namespace of its own may mount; nobody else sees it."""
    with make_template("root") as template:
        template.eval("sandbox_targets.share_mounts()")
        before = do(template, None, "count_mounts").result
        assert do(template, Sandbox(private_tmp=True), "mount_something", str(place / "inner")).error is None
        assert do(template, None, "count_mounts").result == before
    assert not (place / "inner").is_mount()
