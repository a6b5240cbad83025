"""A test that takes too long is ended, however it hangs, and its report says where."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

CLONE = {"x86_64": 56, "aarch64": 220} if sys.platform == "linux" else {}
"""Number of the system call clone(2), by machine."""


def test_hangs(suite: Suite) -> None:
    """Each kind of hang costs its own test; tracebacks of all threads where Python can write them."""
    suite.write(
        test_hangs="""
        import ctypes, os, signal, subprocess, threading
        import pytest
        pytestmark = pytest.mark.forked(timeout=0.3)

        def wait_for_ever(): threading.Event().wait()
        def test_python():
            print("before")
            threading.Thread(target=wait_for_ever, name="other", daemon=True).start()
            wait_for_ever()
        def test_loop():
            while True: pass
        def test_c_code(): ctypes.CDLL(None).pause()
        def test_c_code_with_gil(): ctypes.PyDLL(None).pause()
        def test_blocks_signals():
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); wait_for_ever()
        def test_ignores_sigterm(): signal.signal(signal.SIGTERM, signal.SIG_IGN); wait_for_ever()
        def test_stopped(): os.kill(os.getpid(), signal.SIGSTOP)
        def test_swallows_everything():
            while True:
                try: wait_for_ever()
                except BaseException: pass
        @pytest.fixture
        def hangs_in_setup(): wait_for_ever()
        def test_setup(hangs_in_setup): pass
        @pytest.fixture
        def hangs_in_teardown():
            yield
            wait_for_ever()
        def test_teardown(hangs_in_teardown): pass
        def test_grandchild_holds_output(): subprocess.run(["sleep", "1000"])
        def test_after(): pass
        """
    )
    run = suite.forked()
    assert run.code == 1
    outcomes = run.outcomes()
    assert outcomes.pop("test_after") == "passed"
    for name in outcomes:
        report = run.failure(name)
        assert "Timeout" in str(report.message), name
        assert "0.3 s" in str(report.message)
    traced = [
        "test_python",
        "test_loop",
        "test_ignores_sigterm",
        "test_swallows_everything",
        "test_setup",
        "test_teardown",
    ]
    for name in traced:
        assert "most recent call first" in run.failure(name).text, name
    assert "wait_for_ever" in run.failure("test_python").text
    assert run.failure("test_python").text.count("hread 0x") == 2
    assert run.failure("test_python").section("Captured stdout call") == "before\n"
    assert run.phases("test_setup") == ["setup failed"]
    assert run.phases("test_teardown") == ["setup passed", "call passed", "teardown failed"]
    assert f"{len(outcomes)} timeouts" in run.out


def test_where_the_deadline_comes_from(suite: Suite) -> None:
    """The closest marker, then the option, then the ini file; None in a marker is for ever."""
    suite.write(
        test_deadlines="""
        import threading
        import pytest
        @pytest.mark.forked(timeout=0.25)
        class TestMarked:
            def test_class(self): threading.Event().wait()
            @pytest.mark.forked(timeout=0.5)
            def test_closest(self): threading.Event().wait()
            @pytest.mark.forked(timeout=None)
            def test_none(self): threading.Event().wait(1)
        @pytest.mark.forked
        def test_option(): threading.Event().wait()
        """
    )
    run = suite.forked("--fork-timeout=0.125", "-o", "fork_timeout=0.0625")
    for name, seconds in (
        ("TestMarked::test_class", "0.25"),
        ("TestMarked::test_closest", "0.5"),
        ("test_option", "0.125"),
    ):
        assert f"{seconds} s" in str(run.failure(name).message)
    assert run.outcomes()["TestMarked::test_none"] == "passed"
    run = suite.forked("-o", "fork_timeout=0.0625", "-k", "test_option")
    assert "0.0625 s" in str(run.failure("test_option").message)


@pytest.mark.parametrize("seconds", ["1000", "1e8", "1e300"])
def test_a_deadline_that_is_kept_changes_nothing(suite: Suite, seconds: str) -> None:
    """With time to spare, more than the system can wait at once, reports are those of plain pytest."""
    suite.write(test_quick="def test_a(): print('a')\ndef test_b(): assert 0")
    assert_same(suite.plain(), suite.forked(f"--fork-timeout={seconds}"))


def test_expected_timeout(suite: Suite) -> None:
    """Xfail holds for a timeout."""
    suite.write(
        test_expected="""
        import threading
        import pytest
        @pytest.mark.xfail(reason="slow")
        def test_a(): threading.Event().wait()
        """
    )
    assert suite.forked("--fork-timeout=0.2").outcomes() == {"test_a": "xfailed"}


def test_the_tree_is_ended(suite: Suite) -> None:
    """All that a test started is ended with it, in sessions of their own too, and named."""
    suite.write(
        test_tree="""
        import os, subprocess, threading
        import pytest
        @pytest.mark.forked(timeout=1)
        def test_a():
            subprocess.Popen(["sleep", "1111"])
            subprocess.Popen(["sleep", "2222"], start_new_session=True)
            subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 3333 & sleep 4444"], start_new_session=True)
            threading.Event().wait()
        def test_after(): pass
        """
    )
    run = suite.forked()
    assert run.outcomes() == {"test_a": "failed", "test_after": "passed"}
    assert "2222" in run.failure("test_a").section("Leftover processes (teardown)")
    assert not suite.processes()


def test_a_process_that_does_not_answer(suite: Suite) -> None:
    """The report says why there is no traceback; where py-spy is installed, it has one."""
    suite.write(
        test_silent="""
        import ctypes, signal, time
        def test_blocks():
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            while True: time.sleep(0.01)
        def test_handles():
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                try: signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError): pass
            while True: time.sleep(0.01)
        def test_after(): pass
        """
    )
    run = suite.forked("--fork-timeout=1")
    assert run.outcomes() == {"test_blocks": "failed", "test_handles": "failed", "test_after": "passed"}
    assert "No traceback: the process blocks signals." in run.failure("test_blocks").text
    assert "in place of the signal's handler" in run.failure("test_handles").text
    if Path(sys.executable).with_name("py-spy").exists() and os.geteuid() == 0:
        assert "test_blocks (test_silent.py:" in run.failure("test_blocks").text


@pytest.mark.skipif(platform.machine() not in CLONE, reason="the number of the system call is not known here")
def test_a_process_that_waits_in_the_system(suite: Suite) -> None:
    """A call that cannot be interrupted is ended nevertheless, and the report says that it was one."""
    suite.write(
        test_silent=f"""
        import ctypes, signal, time
        CLONE_VFORK = 0x4000  # the caller waits until its child executes a program
        def test_waits():
            ctypes.CDLL(None).syscall({CLONE[platform.machine()]}, CLONE_VFORK | signal.SIGCHLD, 0, 0, 0, 0)
            while True: time.sleep(0.01)
        def test_after(): pass
        """
    )
    run = suite.forked("--fork-timeout=1")
    assert run.outcomes() == {"test_waits": "failed", "test_after": "passed"}
    assert "No traceback: the process hangs in the system, in a call that cannot be interrupted." in (
        run.failure("test_waits").text
    )
