"""flaky: each attempt in a fresh child, and the plugin's report of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("flaky")

TESTS = """
import os
import pathlib
import pytest
from flaky import flaky

tries = 0

def note(name):
    global tries
    tries += 1
    assert tries == 1, "state of the attempt before"
    with open(name, "a") as file:
        file.write(f"{os.getpid()}\\n")
    return pathlib.Path(name).read_text().count("\\n")

@flaky(max_runs=3)
def test_second_time(): assert note("second") == 2

@pytest.mark.flaky(max_runs=2)
def test_never(): note("never"); assert False

@flaky(max_runs=3, min_passes=2)
def test_twice(): note("twice")

@flaky
class TestClass:
    def test_method(self): assert note("method") == 2

@flaky
def test_crashes_once():
    if note("crashes") == 1: os.abort()

@flaky(max_runs=3)
def test_crashes_always(): note("always"); os._exit(0)

@flaky(rerun_filter=lambda error, *_: not issubclass(error[0], OSError))
def test_chosen(): note("chosen"); raise OSError

def test_plain(): note("plain"); assert False
"""
WANTED = {
    "test_second_time": "passed",
    "test_never": "failed",
    "test_twice": "passed",
    "TestClass::test_method": "passed",
    "test_crashes_once": "passed",
    "test_crashes_always": "failed",
    "test_chosen": "failed",
    "test_plain": "failed",
}
ATTEMPTS = {"second": 2, "never": 2, "twice": 2, "method": 2, "crashes": 2, "always": 3, "chosen": 1, "plain": 1}


def test_attempts(suite: Suite) -> None:
    """As many as were asked for, each in a process of its own; a crash is one of them."""
    suite.write(test_again=TESTS)
    run = suite.forked("-p", "flaky")
    assert run.outcomes() == WANTED, run.out
    for name, count in ATTEMPTS.items():
        pids = (suite.path / name).read_text().split()
        assert len(pids) == len(set(pids)) == count, name


def test_its_report(suite: Suite) -> None:
    """What it says at the end of attempts that were not the last, crashes included."""
    suite.write(test_again=TESTS)
    run = suite.forked("-p", "flaky")
    report = run.out.partition("===Flaky Test Report===")[2].partition("===End Flaky")[0]
    said = re.findall(r"^(test_\w+) (failed|passed|crashed)", report, re.MULTILINE)
    assert said == [
        ("test_second_time", "failed"),
        ("test_second_time", "passed"),
        *[("test_never", "failed")] * 2,
        *[("test_twice", "passed")] * 2,
        ("test_method", "failed"),
        ("test_method", "passed"),
        ("test_crashes_once", "crashed"),
        ("test_crashes_once", "passed"),
        *[("test_crashes_always", "crashed")] * 2,
        ("test_chosen", "failed"),
    ]


def test_all_tests(suite: Suite) -> None:
    """--force-flaky, with and without jobs."""
    suite.write(test_again="import os\ndef test_a(): os._exit(0)\ndef test_b(): assert 0\ndef test_c(): pass")
    for options in ([], ["--fork-jobs=2"]):
        run = suite.forked("-p", "flaky", "--force-flaky", "--max-runs=3", *options)
        assert run.outcomes() == {"test_a": "failed", "test_b": "failed", "test_c": "passed"}
        assert "forkiso: 7 children forked, 3 crashes" in run.out


def test_passes_before_a_crash_count(suite: Suite) -> None:
    """A test that has to pass twice may crash in between."""
    suite.write(
        test_twice="""
        import os, pathlib
        from flaky import flaky
        @flaky(max_runs=3, min_passes=2)
        def test_a():
            tries = pathlib.Path("tries")
            count = len(tries.read_text()) if tries.exists() else 0
            tries.write_text("x" * (count + 1))
            if count == 1: os.abort()
        """
    )
    run = suite.forked("-p", "flaky")
    assert run.outcomes() == {"test_a": "passed"}, run.out
    assert (suite.path / "tries").read_text() == "xxx"
