"""pytest-timeout: its limits hold for forked tests, also where it could not keep them itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("pytest_timeout")

TESTS = """
import signal, threading, time
import pytest

def wait_for_ever():
    while True: time.sleep(0.01)

def test_before(): pass

@pytest.mark.timeout(0.3)
def test_signal(): print("so far"); wait_for_ever()

@pytest.mark.timeout(0.3, method="thread")
def test_thread(): print("so far"); wait_for_ever()

@pytest.mark.timeout(0.3)
def test_blocked():
    print("so far")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    wait_for_ever()

@pytest.fixture
def endless(): wait_for_ever()

@pytest.mark.timeout(0.3, method="thread")
def test_setup(endless): pass

@pytest.fixture
def slow():
    time.sleep(0.6)
    yield
    time.sleep(0.6)

@pytest.mark.timeout(0.3, func_only=True, method="thread")
def test_only_the_call_counts(slow): pass

@pytest.mark.timeout(0.3, func_only=True, method="thread")
def test_only_the_call_is_too_slow(slow): wait_for_ever()

@pytest.mark.xfail
@pytest.mark.timeout(0.3, method="thread")
def test_expected(): wait_for_ever()

def test_after(): pass
"""
WANTED = {
    "test_before": "passed",
    "test_signal": "failed",
    "test_thread": "failed",
    "test_blocked": "failed",
    "test_setup": "error",
    "test_only_the_call_counts": "passed",
    "test_only_the_call_is_too_slow": "failed",
    "test_expected": "xfailed",
    "test_after": "passed",
}


def test_markers(suite: Suite) -> None:
    """Each costs one test, whatever the method, and is reported with its output in the plugin's words."""
    suite.write(test_slow=TESTS)
    run = suite.forked("-p", "timeout", "--fork-timeout=50")
    assert run.outcomes() == WANTED, run.out
    for name in ("test_signal", "test_thread", "test_blocked"):
        report = run.failure(name)
        assert str(report.message).endswith("Failed: Timeout (>0.3s) from pytest-timeout."), report.message
        assert report.section("Captured stdout call") == "so far\n"
        assert "wait_for_ever" in report.text
    assert "in endless" in run.failure("test_setup").text
    assert "5 timeouts" in run.out  # what the plugin has ended itself is a failure like others
    assert run.code == 1


@pytest.mark.parametrize("options", [["--timeout=0.3"], ["-o", "timeout=0.3"]], ids=" ".join)
@pytest.mark.parametrize("method", ["signal", "thread"])
def test_options(suite: Suite, options: list[str], method: str) -> None:
    """For all tests, from the command line and the ini file."""
    suite.write(test_slow="import time\ndef test_a():\n    while True: time.sleep(0.01)\ndef test_b(): pass")
    run = suite.forked("-p", "timeout", f"--timeout-method={method}", *options)
    assert run.outcomes() == {"test_a": "failed", "test_b": "passed"}
    assert "Timeout (>0.3s) from pytest-timeout" in run.failure("test_a").text


def test_the_earlier_deadline_counts(suite: Suite) -> None:
    """Of ours and the plugin's, in either order, each in its own words."""
    suite.write(
        test_slow="""
        import time
        import pytest
        @pytest.mark.forked(timeout=0.3)
        @pytest.mark.timeout(30, method="thread")
        def test_ours():
            while True: time.sleep(0.01)
        @pytest.mark.forked(timeout=30)
        @pytest.mark.timeout(0.3, method="thread")
        def test_theirs():
            while True: time.sleep(0.01)
        """
    )
    run = suite.run("-p", "forkiso", "-p", "timeout")
    assert "took longer than 0.3 s" in str(run.failure("test_ours").message)
    assert "Timeout (>0.3s) from pytest-timeout" in str(run.failure("test_theirs").message)
    assert "2 timeouts" in run.out


def test_teardown_after_a_timeout(suite: Suite) -> None:
    """A test that the plugin has failed is torn down without a limit, as ever."""
    suite.write(
        test_slow="""
        import time
        import pytest
        @pytest.fixture
        def slow(): yield; time.sleep(1.5)
        @pytest.mark.timeout(0.2)
        def test_a(slow):
            while True: time.sleep(0.01)
        """
    )
    run = suite.forked("-p", "timeout")
    assert run.phases("test_a") == ["setup passed", "call failed", "teardown passed"]
