"""Tests that are bound: what their reports say, what they find, and what becomes of them where that cannot be had."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING

import pytest
import sandbox_runs
import sandbox_targets

import helpers

if TYPE_CHECKING:
    from inner import Suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="most bounds are Linux's")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="is for root")


def become(identity: str) -> None:
    """In the process of pytest, before it begins: be root, where the tests are run by root, or an ordinary user."""
    if identity == "ordinary" and os.getuid() == 0:
        sandbox_targets.become_ordinary_in_name()


@pytest.fixture(params=sandbox_runs.IDENTITIES)
def identity(request: pytest.FixtureRequest) -> str:
    """Give each kind of user."""
    if request.param == "ordinary" and os.getuid() == 0:
        sandbox_runs.require_user_namespaces()
    return str(request.param)


def test_limits_are_named_in_the_report(suite: Suite, identity: str) -> None:
    """For each kind of user: which one, how much was used, and in which phase; a crash as well as an exception."""
    suite.write(
        exhaust="""
        def exhaust(held):
            while True:
                held.append(open("/dev/null"))
        """,
        test_limits="""
        import exhaust
        import pytest

        @pytest.mark.forked(memory="48M")
        def test_memory(): bytearray(60 << 20)
        @pytest.mark.forked(cpu=1)
        def test_cpu():
            while True: pass
        @pytest.mark.forked(open_files=4)
        def test_files(): exhaust.exhaust([])
        @pytest.mark.forked(file_size="64K")
        def test_size(tmp_path): (tmp_path / "file").write_bytes(bytes(70000))
        @pytest.fixture
        def greedy():
            yield bytearray(40 << 20)
            bytearray(60 << 20)
        @pytest.mark.forked(memory="48M")
        def test_teardown(greedy): pass
        @pytest.mark.forked(memory="48M")
        def test_within(): bytearray(40 << 20)
        """,
    )
    run = suite.start("-p", "forkiso", preexec_fn=functools.partial(become, identity)).finish()
    assert run.outcomes() == {
        "test_memory": "failed",
        "test_cpu": "failed",
        "test_files": "failed",
        "test_size": "failed",
        "test_teardown": "passed+error",
        "test_within": "passed",
    }
    assert f"sandbox limit memory={48 << 20}: " in run.report("test_memory", "call").text
    assert f"sandbox limit memory={48 << 20}: " in run.report("test_teardown", "teardown").text
    assert "sandbox limit open_files=4: " in run.report("test_files", "call").text
    assert "held.append(open" in run.report("test_files", "call").text  # for which another file is opened
    assert "sandbox limit file_size=65536: a file reached it" in run.report("test_size", "call").text
    crash = run.report("test_cpu", "call")
    assert "Crash in call: the test's process was ended by SIGXCPU" in str(crash.message)
    assert "; sandbox limit cpu=1: " in str(crash.message)
    assert "in test_cpu" in crash.text  # the traceback


@needs_root
def test_a_fork_bomb_of_another_user(suite: Suite) -> None:
    """Root's processes are not counted; those of the user that a test becomes are."""
    suite.write(
        test_bomb="""
        import os, signal, time
        import pytest
        pytestmark = pytest.mark.forked(processes=4, user="nobody")

        def test_bomb():
            for _ in range(10):
                if os.fork() == 0:
                    time.sleep(100)
        def test_after():
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        """
    )
    run = suite.run("-p", "forkiso")
    assert run.outcomes() == {"test_bomb": "failed", "test_after": "passed"}
    text = run.report("test_bomb", "call").text
    assert "BlockingIOError" in text
    assert "sandbox limit processes=4: 4 processes and threads beside the first are there now" in text
    assert run.report("test_bomb", "teardown").section("Leftover processes (teardown)").count("ended process") == 4


PLACES = """
import os, socket
import pytest
from pathlib import Path

everything = dict(
    read_only=True, private_tmp="8M", network=False, cwd="tmp", home="tmp", env="clean", umask=0o027,
    memory="256M", cpu=20, open_files=60, file_size="4M", core_dumps=False, nice=1, hostname="box", signal_others=False,
    no_new_privs=True, hide=["secrets"],
)

@pytest.mark.forked(**everything)
def test_bound(tmp_path, capfd):
    print("captured")
    assert capfd.readouterr().out == "captured\\n"
    print("shown")
    assert Path.cwd().parent == tmp_path.parent
    assert os.environ["HOME"].startswith(str(tmp_path.parent / "home"))
    assert "OUTER" not in os.environ
    assert os.umask(0) == 0o027
    Path("here").write_text("x")
    (tmp_path / "there").write_text("x")
    Path("/tmp/private").write_text("x")
    for path in (__file__, Path(__file__).parent / "new", "/etc/new"):
        with pytest.raises(OSError):
            open(path, "a")
    assert os.listdir(Path(__file__).parent / "secrets") == []
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    assert socket.gethostname() == "box"
    with pytest.raises(PermissionError):
        os.kill(os.getppid(), 0)

@pytest.mark.forked(**everything)
def test_bound_and_failing():
    print("shown")
    Path("remains").write_text("x")
    raise ValueError("seen")

def test_free():
    assert os.environ["OUTER"] == "1"
    assert os.listdir(Path(__file__).parent / "secrets") == ["key"]
    (Path(__file__).parent / "new").write_text("x")
    os.kill(os.getppid(), 0)
"""


def check_places(suite: Suite, *arguments: str, world: str | None = None) -> None:
    """Run tests in a profile of everything, and look at their reports."""
    sandbox_runs.require_namespaces(sandbox_runs.IDENTITIES[0])
    sandbox_runs.require_landlock(6)
    suite.write(test_places=PLACES)
    suite.environment["OUTER"] = "1"
    (suite.path / "secrets").mkdir()
    (suite.path / "secrets" / "key").touch()
    enter = None if world is None else getattr(sandbox_targets, world)
    policy = ("-o", "tmp_path_retention_policy=failed")
    run = suite.start("-p", "forkiso", "--forked", *policy, *arguments, preexec_fn=enter).finish()
    assert run.outcomes() == {"test_bound": "passed", "test_bound_and_failing": "failed", "test_free": "passed"}, (
        run.out
    )
    failing = run.report("test_bound_and_failing", "call")
    assert "ValueError: seen" in failing.text
    assert failing.section("Captured stdout call") == "shown\n"
    assert not list(suite.path.rglob("here"))
    assert len(list(suite.path.rglob("remains"))) == 1
    assert "0 leftover processes" in run.out


def test_a_test_that_is_bound_to_everything(suite: Suite) -> None:
    """Every bound holds, and captured output, reports and temporary folders are as ever."""
    check_places(suite)


@needs_root
def test_bound_to_everything_as_an_ordinary_user(suite: Suite) -> None:
    """The same without root's rights."""
    sandbox_runs.require_user_namespaces()
    check_places(suite, world="become_ordinary_in_name")


@pytest.mark.parametrize("kind", ["exec", "bare", "early"])
def test_bound_to_everything_from_another_template(suite: Suite, kind: str) -> None:
    """The same where the template, or each child, collects by itself."""
    check_places(suite, f"--fork-template={kind}")


def test_bound_to_everything_with_several_jobs(suite: Suite) -> None:
    """The same at a time."""
    check_places(suite, "--fork-jobs=3")


@pytest.mark.parametrize("policy", ["all", "failed", "none"])
def test_retention_of_folders(suite: Suite, policy: str) -> None:
    """As pytest's policy has it for its own temporary folders."""
    suite.write(
        test_folders="""
        import pytest
        from pathlib import Path
        pytestmark = pytest.mark.forked(cwd="tmp")
        def test_passes(): Path("passed").touch()
        def test_fails(): Path("failed").touch(); assert 0
        """
    )
    run = suite.run("-p", "forkiso", "-o", f"tmp_path_retention_policy={policy}")
    assert run.outcomes() == {"test_passes": "passed", "test_fails": "failed"}
    kept = {path.name for name in ("passed", "failed") for path in suite.path.rglob(name)}
    assert kept == {"all": {"passed", "failed"}, "failed": {"failed"}, "none": set()}[policy]


def test_a_facility_is_there(suite: Suite, identity: str) -> None:
    """Or the test below would show nothing."""
    sandbox_runs.require_namespaces(identity)
    suite.write(test_missing=MISSING)
    run = suite.start("-p", "forkiso", preexec_fn=functools.partial(become, identity)).finish()
    assert set(run.outcomes().values()) == {"passed"}, run.out
    assert not run.of_kind("warning")


MISSING = """
import pytest
@pytest.mark.forked(hostname="box")
def test_default(): print("ran")
@pytest.mark.forked(hostname="box", sandbox_missing="fail")
def test_fail(): print("ran")
@pytest.mark.forked(hostname="box", sandbox_missing="skip")
def test_skip(): print("ran")
@pytest.mark.forked(hostname="box", sandbox_missing="ignore")
def test_ignore(): print("ran")
@pytest.mark.forked(memory="1G")
def test_another(): pass
"""


@pytest.mark.parametrize("policy", ["fail", "skip", "ignore"])
def test_a_facility_is_missing(suite: Suite, policy: str, identity: str) -> None:
    """The test does not run, unless that is to be ignored; and then there is a warning."""

    def enter() -> None:
        become(identity)
        sandbox_targets.deny_namespaces()

    suite.write(test_missing=MISSING)
    run = suite.start("-p", "forkiso", "-o", f"fork_sandbox_missing={policy}", preexec_fn=enter).finish()
    default = {"fail": "error", "skip": "skipped", "ignore": "passed"}
    assert run.outcomes() == {
        "test_default": default[policy],
        "test_fail": "error",
        "test_skip": "skipped",
        "test_ignore": "passed",
        "test_another": "passed",
    }, run.out
    text = "hostname needs namespaces, which cannot be had here"
    failed = run.report("test_fail", "setup")
    assert failed.text.startswith(f"the test's sandbox cannot be had: {text}")
    assert "Remedy: run as root" in failed.text
    assert text in run.report("test_skip", "setup").text
    assert "test_missing.py" in run.report("test_skip", "setup").text
    warned = [row for row in run.of_kind("warning") if text in str(row)]
    assert len(warned) == (2 if policy == "ignore" else 1)
    assert run.phases("test_fail") == ["setup failed", "teardown passed"]


def test_read_only_has_a_substitute(suite: Suite) -> None:
    """Without namespaces, Landlock does it."""
    sandbox_runs.require_landlock(3)
    suite.write(
        test_it="""
        import pytest
        @pytest.mark.forked(read_only=True, network="none")
        def test_it(tmp_path):
            import socket
            (tmp_path / "file").touch()
            with pytest.raises(PermissionError): open(__file__, "a")
            with pytest.raises(PermissionError): socket.socket()
        """
    )
    run = suite.start("-p", "forkiso", preexec_fn=sandbox_targets.deny_namespaces).finish()
    assert run.outcomes() == {"test_it": "passed"}, run.out


@needs_root
def test_another_user(suite: Suite) -> None:
    """With a folder of its own in a private one; elsewhere pytest's folders are another user's."""
    sandbox_runs.require_namespaces("root")
    suite.write(
        test_user="""
        import os
        from pathlib import Path
        import pytest
        @pytest.mark.forked(user="nobody", private_tmp=True, cwd="tmp", home="tmp")
        def test_it(tmp_path):
            assert os.getuid() == 65534
            (tmp_path / "file").touch()
            Path("file").touch()
            assert Path.home() != Path.cwd()
            with pytest.raises(PermissionError): Path("/etc/x").touch()
        """
    )
    run = suite.run("-p", "forkiso")
    assert run.outcomes() == {"test_it": "passed"}, run.out


def test_a_place_that_is_not_there(suite: Suite) -> None:
    """The test fails before its setup, whatever is to happen where a facility is missing."""
    suite.write(
        test_it="""
        import pytest
        @pytest.mark.forked(read_only=True, writable=["absent"], sandbox_missing="skip")
        def test_it(): pass
        """
    )
    run = suite.run("-p", "forkiso")
    assert run.outcomes() == {"test_it": "error"}
    text = run.report("test_it", "setup").text
    assert text.startswith("the test's sandbox cannot be applied: ")
    assert str(suite.path / "absent") in text


def test_paths_are_relative_to_the_root_directory(suite: Suite) -> None:
    """Wherever pytest was started."""
    project = suite.pytester.mkdir("project")
    (project / "data").mkdir()
    (project / "test_it.py").write_text(
        "import os\nimport pytest\n@pytest.mark.forked(cwd='data')\n"
        f"def test_it(): assert os.getcwd() == {str(project / 'data')!r}\n"
    )
    run = suite.run("-p", "forkiso", "--rootdir=project", "project")
    assert run.outcomes() == {"test_it": "passed"}, run.out


def test_a_crash_in_a_sandbox(suite: Suite) -> None:
    """Its output and its traceback are there, and a leftover is ended."""
    sandbox_runs.require_namespaces(sandbox_runs.IDENTITIES[0])
    sandbox_runs.require_landlock(6)
    suite.write(
        test_crash="""
        import os, subprocess
        import pytest
        @pytest.mark.forked(read_only=True, private_tmp=True, network=False, signal_others=False, memory="512M")
        def test_crash():
            subprocess.Popen(["sleep", "1000"])
            print("before", flush=True)
            os.abort()
        """
    )
    run = suite.run("-p", "forkiso")
    report = run.failure("test_crash")
    assert "SIGABRT" in str(report.message)
    assert "in test_crash" in report.text
    assert report.section("Captured stdout call") == "before\n"
    assert "sleep 1000" in report.section("Leftover processes (teardown)")


def test_leftovers_of_a_test_that_sees_no_processes(suite: Suite) -> None:
    """They are ended after it, by pytest's own process; an audit of what can still be seen goes on."""
    sandbox_runs.require_namespaces(sandbox_runs.IDENTITIES[0])
    suite.write(
        test_blind="""
        import os, subprocess
        from pathlib import Path
        import pytest
        @pytest.mark.forked(hide=["/proc"])
        def test_it():
            assert os.listdir("/proc") == []
            Path("pid").write_text(str(subprocess.Popen(["sleep", "1000"]).pid))
            os.environ["LEFT"] = "1"
        """
    )
    run = suite.run("-p", "forkiso", "--fork-audit")
    assert run.outcomes() == {"test_it": "passed"}, run.out
    assert "1 leftover process" in run.out
    assert "environment: variable LEFT was added" in run.out
    assert helpers.is_gone(int((suite.path / "pid").read_text()))


def test_coverage_of_a_read_only_test(suite: Suite) -> None:
    """What it executes is measured, though it may write nowhere."""
    sandbox_runs.require_namespaces(sandbox_runs.IDENTITIES[0])
    pytest.importorskip("pytest_cov")
    suite.write(
        measured="def first():\n    return 1\n\n\ndef second():\n    return 2\n",
        test_measured="""
        import measured, pytest
        @pytest.mark.forked(read_only=True, private_tmp=True)
        def test_it():
            assert measured.first() == 1
        """,
    )
    run = suite.run("-p", "forkiso", "-p", "pytest_cov", "--cov=measured", "--cov-report=term-missing")
    assert run.outcomes() == {"test_it": "passed"}, run.out
    assert "measured.py       4      1    75%   6" in run.out


@needs_root
def test_coverage_that_cannot_be_saved(suite: Suite) -> None:
    """Where another user cannot reach the file, that is a warning, and no end of the run."""
    pytest.importorskip("pytest_cov")
    suite.path.chmod(0o700)
    suite.write(
        test_it="""
        import pytest
        @pytest.mark.forked(user="nobody")
        def test_it(): pass
        def test_after(): pass
        """
    )
    run = suite.run("-p", "forkiso", "--forked", "-p", "pytest_cov", "--cov=test_it")
    assert run.outcomes() == {"test_it": "passed", "test_after": "passed"}, run.out
    warned = [row for row in run.of_kind("warning") if "coverage.py cannot save what the test has executed" in str(row)]
    assert len(warned) == 1, run.out


def test_in_a_worker_of_xdist(suite: Suite) -> None:
    """A bound holds there as well."""
    pytest.importorskip("xdist")
    suite.write(
        test_it="""
        import pytest
        @pytest.mark.forked(memory="48M", cwd="tmp")
        def test_it(): bytearray(150 << 20)  # more than malloc has reserved for the worker's own threads
        """
    )
    run = suite.run("-p", "xdist", "-p", "forkiso", "-n", "1")
    assert "sandbox limit memory=" in run.report("test_it", "call").text
