"""pytest-rerunfailures: delays, conditions, filters and its words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("pytest_rerunfailures")

TESTS = """
import os
import pathlib
import pytest

def note(name):
    with open(name, "a") as file: file.write("x")
    return len(pathlib.Path(name).read_text())

@pytest.mark.flaky(reruns=3, reruns_delay=0.1)
def test_third_time(): assert note("third") == 3

@pytest.mark.flaky(reruns=2, only_rerun="OSError")
def test_other_error(): note("other"); raise ValueError

@pytest.mark.flaky(reruns=2, only_rerun="OSError")
def test_right_error(): note("right"); raise OSError

@pytest.mark.flaky(reruns=2, condition=False)
def test_condition(): note("condition"); assert 0

@pytest.fixture
def shaky():
    assert note("fixture") == 2

@pytest.mark.flaky(reruns=2)
def test_in_setup(shaky): pass

@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("number", [1, 2])
def test_each(number): note(f"each{number}"); assert number == 1

def test_alone(): note("alone"); assert 0
"""
FILES = {
    "third": 3,
    "other": 1,
    "right": 3,
    "condition": 1,
    "fixture": 2,
    "each1": 1,
    "each2": 2,
    "alone": 1,
}


@pytest.mark.parametrize(
    "options", [[], ["--fork-jobs=2"], ["-p", "xdist", "-n2"], ["-p", "xdist", "-n2", "--fork-jobs=2"]], ids=" ".join
)
def test_as_without_forks(suite: Suite, options: list[str]) -> None:
    """The same attempts, outcomes and letters."""
    if "xdist" in options:
        pytest.importorskip("xdist")
    suite.write(test_again=TESTS)
    plain = suite.plain("-p", "pytest_rerunfailures", "-rR")
    for name in FILES:
        (suite.path / name).unlink()
    forked = suite.forked("-p", "pytest_rerunfailures", "-rR", *options)
    assert {name: len((suite.path / name).read_text()) for name in FILES} == FILES
    assert forked.outcomes() == plain.outcomes(), forked.out
    assert sorted(line for line in forked.out.splitlines() if line.startswith("RERUN ")) == sorted(
        line for line in plain.out.splitlines() if line.startswith("RERUN ")
    )
    assert forked.code == plain.code == 1


def test_a_crash_meets_the_condition(suite: Suite) -> None:
    """A crash is not tried again where a failure would not be."""
    suite.write(
        test_again="""
        import os
        import pytest
        @pytest.mark.flaky(reruns=2, condition=False)
        def test_never(): os.abort()
        @pytest.mark.flaky(reruns=2, only_rerun="OSError")
        def test_by_exception(): os.abort()
        @pytest.mark.flaky(reruns=1, condition="sys.platform")
        def test_once_more(): os.abort()
        """
    )
    run = suite.forked("-p", "pytest_rerunfailures")
    assert run.outcomes() == {"test_never": "failed", "test_by_exception": "failed", "test_once_more": "rerun+failed"}


def test_delays(suite: Suite) -> None:
    """They are waited for, after a failure and after a crash."""
    suite.write(test_again="import os\ndef test_fails(): assert 0\ndef test_crashes(): os.abort()")
    began = time.monotonic()
    run = suite.forked("-p", "pytest_rerunfailures", "--reruns=1", "--reruns-delay=0.5")
    assert time.monotonic() - began >= 1.0
    assert run.outcomes() == {"test_fails": "rerun+failed", "test_crashes": "rerun+failed"}
