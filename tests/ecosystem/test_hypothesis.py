"""hypothesis: the database of examples, statistics and health checks are right for forked tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same, steady_records

if TYPE_CHECKING:
    from inner import Run, Suite

pytest.importorskip("hypothesis")

TESTS = """
from hypothesis import assume, event, given, note, settings, strategies as st

def record(number):
    with open("examples", "a") as file: file.write(f"{number}\\n")

@given(st.integers())
def test_passes(number): event("even" if number % 2 == 0 else "odd")

@given(st.integers())
@settings(max_examples=200)
def test_fails(number):
    record(number)
    note("a note")
    assert number < 1000

@given(st.lists(st.integers()))
def test_errors(numbers):
    if len(numbers) > 2: raise ValueError

@given(st.integers())
def test_filters_too_much(number): assume(number % 100_000 == 77_777)
"""
UNSEEDED = ("-p", "hypothesispytest")  # a seed switches the database off
PLUGIN = (*UNSEEDED, "--hypothesis-seed=3")


def clear(suite: Suite) -> None:
    """Forget all examples."""
    for path in sorted((suite.path / ".hypothesis").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def statistics(run: Run) -> list[str]:
    """Give what was counted, without times and the number of steps to the smallest example."""
    text = run.out.partition("Hypothesis Statistics")[2].partition("short test summary")[0]
    lines = re.sub(r"\d.*", "", text).splitlines()
    return [line for line in lines if not re.search("shrink|runtimes|=====|^forkiso:", line)]


def test_failures_and_health_checks(suite: Suite) -> None:
    """The smallest example, notes, and the health check that fails, as without forks."""
    suite.write(test_properties=TESTS)
    plain = suite.plain(*PLUGIN, "-p", "no:cacheprovider")
    clear(suite)
    forked = suite.forked(*PLUGIN, "-p", "no:cacheprovider")
    assert_same(plain, forked)
    assert "test_fails(" in forked.failure("test_fails").text
    assert "number=1000" in forked.failure("test_fails").text
    assert "filter" in forked.failure("test_filters_too_much").text


def test_the_database(suite: Suite) -> None:
    """What failed in one run is tried first in the next, with and without forks, whichever wrote it."""
    suite.write(test_properties=TESTS)
    for first, second in [(suite.forked, suite.forked), (suite.plain, suite.forked), (suite.forked, suite.plain)]:
        first(*UNSEEDED)
        (suite.path / "examples").unlink()
        second(*UNSEEDED)
        assert (suite.path / "examples").read_text().splitlines()[0] == "1000"
        clear(suite)


def test_statistics(suite: Suite) -> None:
    """--hypothesis-show-statistics has those of each test."""
    suite.write(test_properties=TESTS)
    plain = suite.plain(*PLUGIN, "--hypothesis-show-statistics")
    clear(suite)
    forked = suite.forked(*PLUGIN, "--hypothesis-show-statistics")
    assert statistics(forked) == statistics(plain)
    assert len(statistics(forked)) > 20
    assert [row["kind"] for row in steady_records(forked)] == [row["kind"] for row in steady_records(plain)]
