"""A test whose process ends in the middle: one failed report of the phase that it was in, with all that is known."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from inner import Suite

FATAL = ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"]  # those that faulthandler knows
OTHERS = ["SIGKILL", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGALRM", "SIGQUIT", "SIGTRAP", "SIGXCPU", "SIGSYS"]


def test_signals(suite: Suite) -> None:
    """Any signal: named, with the phase, the output so far, and a traceback where Python gets to write one."""
    suite.write(
        test_signals=f"""
        import os, signal, sys
        import pytest
        @pytest.mark.parametrize("name", {FATAL + OTHERS})
        def test_dies(name):
            print("out so far"); print("err so far", file=sys.stderr)
            sys.stdout.write("unfinished"); sys.stdout.flush()
            os.kill(os.getpid(), getattr(signal, name))
            signal.pause()
        def test_real_time(): os.kill(os.getpid(), signal.SIGRTMIN + 5); signal.pause()
        def test_after(): pass
        """
    )
    run = suite.forked()
    assert run.code == 1
    for name in FATAL + OTHERS:
        test = f"test_dies[{name}]"
        report = run.failure(test)
        assert report.message is not None
        assert name in report.message
        assert f"signal {getattr(signal, name).value}" in report.message
        assert run.phases(test) == ["setup passed", "call failed"]
        assert report.section("Captured stdout call") == "out so far\nunfinished"
        assert report.section("Captured stderr call") == "err so far\n"
        assert ("in test_dies" in report.text) == (name in FATAL)
    assert f"SIGRTMIN+5 (signal {signal.SIGRTMIN + 5}" in str(run.failure("test_real_time").message)
    assert run.outcomes()["test_after"] == "passed"
    assert f"forkiso: {len(FATAL + OTHERS) + 2} children forked, {len(FATAL + OTHERS) + 1} crashes" in run.out
    assert f"FAILED test_signals.py::test_dies[SIGSEGV] - Crash in call: {'the test'}" in run.out


def test_exits(suite: Suite) -> None:
    """Whatever the exit code, 0 as well: without a last word nothing has passed."""
    suite.write(
        test_exits="""
        import os, sys, threading
        import pytest
        @pytest.mark.parametrize("code", [0, 1, 2, 77, 255])
        def test_exit(code): os._exit(code)
        def test_abort(): os.abort()
        def test_sys_exit(): sys.exit(0)
        def test_exec(): os.execv("/bin/true", ["true"])
        def test_exit_in_thread():
            thread = threading.Thread(target=lambda: os._exit(5)); thread.start(); thread.join()
        @pytest.fixture
        def dies_in_setup(): os._exit(3)
        def test_setup(dies_in_setup): pass
        @pytest.fixture
        def dies_in_teardown():
            yield
            print("tearing down"); os._exit(4)
        def test_teardown(dies_in_teardown): print("in the call")
        def test_fails_then_dies(dies_in_teardown): assert 0
        """
    )
    run = suite.forked()
    for code in (0, 1, 2, 77, 255):
        assert f"exited with status {code}" in str(run.failure(f"test_exit[{code}]").message)
    assert "SIGABRT" in str(run.failure("test_abort").message)
    assert "SystemExit: 0" in str(run.failure("test_sys_exit").message)
    assert "status 0" in str(run.failure("test_exec").message)
    assert "status 5" in str(run.failure("test_exit_in_thread").message)
    assert run.phases("test_setup") == ["setup failed"]
    assert run.phases("test_teardown") == ["setup passed", "call passed", "teardown failed"]
    assert run.outcomes()["test_teardown"] == "passed+error"
    report = run.report("test_teardown", "teardown")
    assert report.section("Captured stdout call") == "in the call\n"
    assert report.section("Captured stdout teardown") == "tearing down\n"
    assert run.outcomes()["test_fails_then_dies"] == "failed+error"
    assert "passed" not in {run.outcomes()[f"test_exit[{code}]"] for code in (0, 1, 2, 77, 255)}


def test_expected_crashes(suite: Suite) -> None:
    """Xfail marks hold for a crash as for any failure, unless they name exceptions."""
    suite.write(
        test_expected="""
        import os, unittest
        import pytest
        def crash(): os._exit(9)
        class TestOfUnittest(unittest.TestCase):
            @unittest.expectedFailure
            def test_method(self): crash()
            @unittest.expectedFailure
            def test_cleanup(self): self.addCleanup(crash); self.fail()
            def test_other(self): crash()
        @unittest.expectedFailure
        class TestAll(unittest.TestCase):
            def test_class(self): crash()
        @pytest.mark.xfail(reason="known to crash")
        def test_xfail(): crash()
        @pytest.mark.xfail(strict=True)
        def test_strict(): crash()
        @pytest.mark.xfail(raises=ValueError)
        def test_raises(): crash()
        @pytest.mark.xfail(False, reason="not here")
        def test_condition(): crash()
        @pytest.mark.xfail(run=False)
        def test_not_run(): crash()
        @pytest.fixture
        def crashes(): crash()
        @pytest.mark.xfail
        def test_setup(crashes): pass
        """
    )
    wanted = {
        "test_xfail": "xfailed",
        "test_strict": "xfailed",
        "test_raises": "failed",
        "test_condition": "failed",
        "test_not_run": "xfailed",
        "test_setup": "xfailed",
        "TestOfUnittest::test_method": "xfailed",
        "TestOfUnittest::test_cleanup": "xfailed",
        "TestOfUnittest::test_other": "failed",
        "TestAll::test_class": "xfailed",
    }
    run = suite.forked("-rx")
    assert run.outcomes() == wanted
    assert "known to crash" in run.out
    assert set(suite.forked("--runxfail").outcomes().values()) == {"failed", "error"}


def test_memory_and_stack(suite: Suite) -> None:
    """A stack that overflows in C and memory that runs out cost the one test."""
    suite.write(
        test_exhaust="""
        import faulthandler, resource
        def test_stack():
            faulthandler._stack_overflow()  # in C, where no recursion limit helps
        def test_memory_error():
            resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
            bytearray(8 << 30)
        def test_memory_used_up():
            resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
            kept = []
            while True: kept.append([0] * 1000)
        def test_after(): pass
        """
    )
    run = suite.forked()
    outcomes = run.outcomes()
    assert {name: "failed" in what or "error" in what for name, what in outcomes.items()} == {
        "test_stack": True,
        "test_memory_error": True,
        "test_memory_used_up": True,
        "test_after": False,
    }, run.out
    assert "MemoryError" in str(run.failure("test_memory_error").message)
    assert "SIGSEGV" in str(run.failure("test_stack").message)
    assert run.code == 1


def test_closed_descriptors(suite: Suite) -> None:
    """A test that closes descriptors that are not its own is still reported: passed, or failed, never lost."""
    suite.write(
        test_closes="""
        import os
        def test_standard_streams(): [os.close(fd) for fd in range(3)]
        def test_all(): os.closerange(0, 1000)
        def test_all_but_standard_streams(): os.closerange(3, 1000)
        def test_all_then_fails():
            os.closerange(3, 1000)
            assert 0
        def test_reused():
            os.closerange(3, 1000)
            for _ in range(30): os.open("/dev/null", os.O_RDWR)
        def test_garbage():
            for fd in range(3, 100):
                try: os.write(fd, b"garbage " * 100)
                except OSError: pass
        def test_after(): pass
        """
    )
    run = suite.forked()
    assert run.code == 1
    outcomes = run.outcomes()
    assert outcomes.pop("test_after") == "passed"
    assert outcomes["test_all_then_fails"].startswith("failed")
    assert all(outcomes.values()), outcomes
    for name in ("test_all", "test_reused", "test_garbage"):
        assert "failed" in outcomes[name] or "error" in outcomes[name] or outcomes[name] == "passed"
    assert "INTERNALERROR" not in run.out


def test_a_copy_that_runs_on(suite: Suite) -> None:
    """A test that forks, and whose copy runs on into pytest: one report, of the test's own process, and one summary."""
    suite.write(
        test_copies="""
        import os
        def test_both_return(): os.fork()
        def test_copy_fails(): assert os.fork()
        def test_copy_exits():
            if os.fork() == 0: raise SystemExit(0)
        def test_copy_waits():
            if os.fork() == 0:
                import time
                while True: time.sleep(1000)
        def test_owner_dies():
            if os.fork(): os._exit(6)
        """
    )
    run = suite.forked()
    outcomes = run.outcomes()
    assert "failed" in outcomes.pop("test_owner_dies")
    assert set(outcomes.values()) == {"passed"}, run.out
    assert run.out.count("short test summary") == 1
    assert len(run.of_kind("finish")) == 5


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_a_crash_counts_for_early_ends(suite: Suite, option: str) -> None:
    """A crash is a failure for -x."""
    suite.write(test_stop="import os\ndef test_a(): os._exit(0)\ndef test_b(): pass")
    run = suite.forked(option)
    assert list(run.outcomes()) == ["test_a"]
    assert "stopping after 1 failures" in run.out


def test_a_process_group_of_its_own(suite: Suite) -> None:
    """A test that ends its process group ends itself, and neither pytest nor another test."""
    suite.write(
        test_group="""
        import os, signal
        import pytest
        @pytest.mark.parametrize("number", range(3))
        def test_a(number):
            if number == 1: os.killpg(os.getpgrp(), signal.SIGKILL)
        """
    )
    run = suite.forked()
    assert run.outcomes() == {"test_a[0]": "passed", "test_a[1]": "failed", "test_a[2]": "passed"}, run.out
    assert "SIGKILL" in run.failure("test_a[1]").text


@pytest.mark.parametrize("options", [[], ["--fork-jobs=2"]], ids=" ".join)
def test_a_crash_of_the_last_test(suite: Suite, options: list[str]) -> None:
    """There is no test after it whose start or end would tell of its end."""
    suite.write(test_last="import os\ndef test_a(): pass\ndef test_b(): os._exit(0)")
    for _ in range(5):
        assert suite.forked(*options).outcomes() == {"test_a": "passed", "test_b": "failed"}


def test_crash_at_exit(suite: Suite) -> None:
    """It is an error of the teardown. Destructors of the interpreter do not run in a child; no thread is waited for."""
    suite.write(
        test_exit="""
        import atexit, os, threading
        def test_code(): atexit.register(os._exit, 0)
        def test_signal(): atexit.register(os.abort)
        def test_hang(): atexit.register(threading.Event().wait)
        def test_exception(): atexit.register(lambda: 1 / 0)
        def test_thread(): threading.Thread(target=threading.Event().wait).start()
        class Kept:
            def __del__(self): os._exit(4)
        def test_destructor(): global kept; kept = Kept()
        """
    )
    run = suite.forked("--fork-timeout=2", "-rE")
    assert run.outcomes() == {
        **{f"test_{name}": "passed+error" for name in ("code", "signal", "hang")},
        **{f"test_{name}": "passed" for name in ("exception", "thread", "destructor")},
    }, run.out
    for text in ("teardown of test_code", "exited with status 0", "SIGABRT", "teardown of test_hang"):
        assert text in run.out


@pytest.mark.parametrize("source", ["fork", "exec", "bare"])
@pytest.mark.parametrize("ending", ["pass", "pytest.fail()", "pytest.exit()", "raise KeyboardInterrupt"])
def test_exit_handlers_of_a_test(suite: Suite, source: str, ending: str) -> None:
    """Its own run, last in, first out, however it ends; those of pytest's own process run there, once."""
    suite.write(
        conftest="import atexit, os\natexit.register(lambda: open('pytest.log', 'a').write(f'{os.getpid()} '))",
        test_exit=f"""
        import atexit, os, pytest, tempfile
        def note(text): open("test.log", "a").write(text)
        def test_it():
            atexit.register(note, "first ")
            atexit.register(note, f"second {{os.getpid()}} ")
            global kept
            kept = tempfile.TemporaryDirectory(dir=".", prefix="kept-")
            {ending}
        """,
    )
    run = suite.forked(f"--fork-template={source}")
    assert "1 child forked" in run.out
    second, pid, first = (suite.path / "test.log").read_text().split()
    assert (second, first) == ("second", "first")
    assert not [*suite.path.glob("kept-*")]
    pids = (suite.path / "pytest.log").read_text().split() if (suite.path / "pytest.log").exists() else []
    assert len(pids) == len(set(pids)), run.out
    assert (pid in pids) == (source == "bare")


def test_a_crash_in_junit(suite: Suite) -> None:
    """The XML counts a crash as a failure, with its message."""
    suite.write(test_crash="import os\ndef test_a(): os.abort()")
    suite.forked("--junit-xml=result.xml")
    text = (suite.path / "result.xml").read_text()
    assert 'failures="1"' in text
    assert "SIGABRT" in text


def junit_counts(suite: Suite) -> list[str | None]:
    """Give how many tests, errors and failures the XML counts."""
    (result,) = ET.parse(suite.path / "result.xml").getroot()  # noqa: S314 - we have written it
    return [result.get(name) for name in ("tests", "errors", "failures")]


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_output_before_a_crash_in_junit(suite: Suite, phase: str) -> None:
    """The XML has what the test had written, in one test case, and counts as for one that fails there."""
    code = """
        import os
        import pytest
        def maybe(phase):
            print(phase, "was written")
            if phase == "{phase}": {end}
        @pytest.fixture
        def fixture(): maybe("setup"); yield; maybe("teardown")
        def test_a(fixture): maybe("call")
        def test_b(): print("nothing"); assert 0
        """
    options = ("--junit-xml=result.xml", "-o", "junit_logging=all")
    suite.write(test_crash=code.format(phase=phase, end="assert 0"))
    suite.plain(*options)
    counts = junit_counts(suite)
    suite.write(test_crash=code.format(phase=phase, end="os.abort()"))
    run = suite.forked(*options)
    assert junit_counts(suite) == counts
    (result,) = ET.parse(suite.path / "result.xml").getroot()  # noqa: S314 - we have written it
    first, second = result
    output = first.findtext("system-out") or ""
    assert [name for name in ("setup", "call", "teardown") if f"{name} was written" in output][-1] == phase
    assert "nothing" in str(second.findtext("system-out"))
    assert not [line for line in run.phases("test_a") if line == "teardown passed"]


def test_without_faulthandler(suite: Suite) -> None:
    """With pytest's faulthandler plugin switched off there is no traceback, and all else as ever."""
    suite.write(test_crash="import os\ndef test_a(): os.abort()")
    report = suite.forked("-p", "no:faulthandler").failure("test_a")
    assert "SIGABRT" in report.text
    assert "most recent call first" not in report.text
