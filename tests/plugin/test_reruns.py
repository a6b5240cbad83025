"""pytest-rerunfailures tries forked tests again, each time in a fresh child."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Run, Suite

TESTS = """
import os
import pathlib
import pytest

tries = 0

def note(name):
    with open(name, "a") as file:
        file.write(f"{os.getpid()}\\n")
    return pathlib.Path(name).read_text().count("\\n")

def test_second_time():
    global tries
    tries += 1
    assert tries == 1, "state of the attempt before"
    assert note("second") == 2

def test_crashes_once():
    if note("crashes") == 1:
        os.abort()

def test_never():
    note("never")
    assert False

def test_at_once():
    note("once")

@pytest.mark.xfail
def test_expected():
    note("expected")
    os.abort()
"""


@pytest.fixture
def run(suite: Suite) -> Run:
    """Run the tests with two reruns."""
    pytest.importorskip("pytest_rerunfailures")
    suite.write(test_again=TESTS)
    return suite.forked("-p", "pytest_rerunfailures", "-p", "no:randomly", "--reruns=2")


def test_outcomes(run: Run) -> None:
    """A failure and a crash are tried again alike; what passes, and what is expected to fail, is not."""
    assert run.outcomes() == {
        "test_second_time": "rerun+passed",
        "test_crashes_once": "rerun+passed",
        "test_never": "rerun+rerun+failed",
        "test_at_once": "passed",
        "test_expected": "xfailed",
    }, run.out
    assert "4 rerun" in run.out
    assert run.code == 1


def test_each_attempt_has_a_process_of_its_own(run: Run, suite: Suite) -> None:
    """As many process ids as attempts."""
    pids = (suite.path / "never").read_text().split()
    assert len(pids) == 3
    assert len(set(pids)) == 3
    assert len((suite.path / "once").read_text().split()) == 1


def test_marker(suite: Suite) -> None:
    """The plugin's own marker asks for reruns of one test."""
    pytest.importorskip("pytest_rerunfailures")
    suite.write(
        test_marked="""
        import os, pytest
        @pytest.mark.flaky(reruns=1)
        def test_flaky(): os._exit(0)
        def test_other(): os._exit(0)
        """
    )
    outcomes = suite.forked("-p", "pytest_rerunfailures").outcomes()
    assert outcomes == {"test_flaky": "rerun+failed", "test_other": "failed"}


def test_shared_fixtures(suite: Suite) -> None:
    """What a shared fixture shows when it ends is reported, though the plugin knows nothing of that template."""
    pytest.importorskip("pytest_rerunfailures")
    suite.write(
        test_shared="""
        import pytest
        @pytest.fixture(scope="session")
        def shared():
            yield
            print("the end")
        def test_one(shared): pass
        def test_two(shared): assert note()
        def note():
            with open("tries", "a") as file: file.write("x")
            return len(open("tries").read()) == 2
        """
    )
    run = suite.forked("-p", "pytest_rerunfailures", "--reruns=1", "--fork-share=session")
    assert run.outcomes() == {"test_one": "passed", "test_two": "rerun+passed"}
    shown = [report.when for report in run.reports if "the end" in report.everything]
    assert shown == ["teardown"]
