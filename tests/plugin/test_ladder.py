"""Children that show no life after their fork: they are ended, and their tests come from another source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

# A fork handler that waits for a lock which another thread held, as it could be in a library: in children of the
# template, in the template itself, or in both.
HANDLER = """
    import os, sys, threading
    lock = threading.Lock()
    lock.acquire()
    own = os.getpid()
    is_collecting = False
    def wait_for_the_lock():
        if is_collecting or (os.getppid() == own) == {in_template}:
            lock.acquire()
    def pytest_configure(config):
        global is_collecting
        is_collecting = hasattr(config, "workerinput")
        if not (is_collecting and {spares_exec}):
            os.register_at_fork(after_in_child=wait_for_the_lock)
"""
TESTS = """
    import os
    def test_1(): assert os.getppid() != os.getpgrp()
    def test_2(): pass
    def test_3(): assert 0
"""


def handler(*, in_template: bool = False, spares_exec: bool = False) -> str:
    """Give a conftest file."""
    return HANDLER.format(in_template=in_template, spares_exec=spares_exec)


@pytest.mark.parametrize(("spares_exec", "source"), [(True, "exec"), (False, "bare")])
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_the_run_goes_on(suite: Suite, spares_exec: bool, source: str, jobs: str) -> None:  # noqa: FBT001 - a parameter
    """The test is run once more from the next source that bears it, and all others as well; the end says so."""
    suite.write(conftest=handler(spares_exec=spares_exec), test_it=TESTS)
    run = suite.forked("-o", "fork_alive_timeout=3", "--fork-jobs", jobs)
    assert run.outcomes() == {"test_1": "passed", "test_2": "passed", "test_3": "failed"}, run.out
    assert f"forkiso: from test_it.py::test_1 on, the template is '{source}'. " in run.out
    assert "Timeout: the test's process was not alive 3 s after its fork" in run.out
    assert "in wait_for_the_lock" in run.out


def test_the_template_shows_no_life(suite: Suite) -> None:
    """The next source is taken before the first test."""
    suite.write(conftest=handler(in_template=True, spares_exec=True), test_it=TESTS)
    run = suite.forked("-o", "fork_alive_timeout=3")
    assert run.outcomes() == {"test_1": "passed", "test_2": "passed", "test_3": "failed"}, run.out


# What is put at the end of the conftest file, and so of its pytest_configure.
UNFIT = {
    "it has a thread": """
        if is_collecting:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    """,
    "it finds other tests": """
    def pytest_ignore_collect(collection_path, config):
        return True if is_collecting and collection_path.name == "test_other.py" else None
    """,
}


@pytest.mark.parametrize("reason", UNFIT)
def test_a_template_that_is_unfit_is_passed_over(suite: Suite, reason: str) -> None:
    """One that collects by itself is no help where it cannot be forked either, or has other tests."""
    suite.write(conftest=handler(spares_exec=True) + UNFIT[reason], test_it=TESTS, test_other="def test_4(): pass")
    run = suite.forked("-o", "fork_alive_timeout=3")
    assert run.outcomes() == {"test_1": "passed", "test_2": "passed", "test_3": "failed", "test_4": "passed"}, run.out
    assert "forkiso: from test_it.py::test_1 on, the template is 'bare'. " in run.out


def test_fixtures_are_shared(suite: Suite) -> None:
    """Neither a snapshot nor a child that hangs at its fork holds the run up; the template is kept."""
    fixture = """
    import pytest
    @pytest.fixture(scope="session")
    def fixture(): pass
    """
    suite.write(conftest=handler(spares_exec=True) + fixture, test_it="def test_it(fixture): pass")
    run = suite.forked("-o", "fork_alive_timeout=3", "--fork-share=session")
    report = run.report("test_it", "setup")
    assert report.outcome == "failed"
    assert "Timeout: the test's process was not alive 3 s after its fork" in report.text
    assert "in wait_for_the_lock" in report.text
    assert "its process was not alive 3 s after its fork" in run.out
    assert "the template is" not in run.out


def test_the_user_wants_no_other_source(suite: Suite) -> None:
    """Then the test has failed, and its report shows where the process hung."""
    suite.write(conftest=handler(), test_it="def test_it(): pass")
    run = suite.forked("-o", "fork_alive_timeout=2", "--fork-template=fork")
    report = run.report("test_it", "setup")
    assert "Timeout: the test's process was not alive 2 s after its fork" in report.text
    assert "in wait_for_the_lock" in report.text


def test_the_user_wants_no_other_template(suite: Suite) -> None:
    """A template that shows no life ends the run."""
    suite.write(conftest=handler(in_template=True), test_it="def test_it(): pass")
    run = suite.forked("-o", "fork_alive_timeout=2", "--fork-template=fork")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "a fork of pytest was not alive after 2 s: a lock was held; try --fork-template=bare" in run.out


def test_a_test_that_takes_long_is_alive(suite: Suite) -> None:
    """The limit is for its beginning alone."""
    suite.write(test_it="import time\ndef test_it(): time.sleep(1.5)")
    assert suite.forked("-o", "fork_alive_timeout=1").code == 0
