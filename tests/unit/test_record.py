"""What is known of tests is put together right, in whatever order it comes."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

import forkcore
from pytest_forkiso._record import ChildFigures, Phase, Records, describe, pack_figures
from pytest_forkiso._usage import measure, parse_private

from report_data import START, make_figures

SETUP = Phase("setup", START + 1.1, START + 1.2, "")
CALL = Phase("call", START + 1.2, START + 1.5, "passed")
TEARDOWN = Phase("teardown", START + 1.5, START + 1.6, "")


def test_a_test_of_its_own_process() -> None:
    """Steps follow each other without a gap; times count from the start of the run."""
    records = Records()
    for phase in (SETUP, CALL, TEARDOWN):
        records.add_phase("t", None, phase)
    records.add_figures("t", None, make_figures())
    (test,) = records.tests
    told = describe(test, START)
    steps = {"fork": [1, 1.1], "setup": [1.1, 1.2], "call": [1.2, 1.5], "teardown": [1.5, 1.6], "end": [1.6, 2]}
    assert told["steps"] == {name: pytest.approx(span) for name, span in steps.items()}
    assert (told["outcome"], told["end"], told["pid"], told["exit_code"]) == ("passed", "exit", 1000, 0)
    assert told["message"] is None


@pytest.mark.parametrize("order", list(itertools.permutations(["first", "second", "figures 0", "figures 1"])), ids=str)
def test_attempts_in_any_order(order: list[str]) -> None:
    """Reports of the first attempt come before those of the second; figures may come at any time."""
    failed = dataclasses.replace(CALL, category="rerun", message="once")
    reports = iter([[SETUP, failed], [SETUP, CALL]])
    records = Records()
    for what in order:
        if what.startswith("figures"):
            attempt = int(what[-1])
            records.add_figures("t", "gw0", make_figures(attempt=attempt, pid=100 + attempt))
        else:
            for phase in next(reports):
                records.add_phase("t", "gw0", phase)
    found = [(test.attempt, test.outcome(), (test.figures or {})["pid"]) for test in records.tests]
    assert found == [(0, "rerun", 100), (1, "passed", 101)]


def test_the_same_test_in_two_workers() -> None:
    """They are two tests, as with --dist=each."""
    records = Records()
    for worker in ("gw0", "gw1"):
        records.add_phase("t", worker, SETUP)
        records.add_phase("t", worker, CALL)
    assert [(test.worker, test.attempt, test.outcome()) for test in records.tests] == [
        ("gw0", 0, "passed"),
        ("gw1", 0, "passed"),
    ]


@pytest.mark.parametrize(
    ("categories", "outcome"),
    [
        (["", "passed", ""], "passed"),
        (["", "passed", "error"], "error"),
        (["error"], "error"),
        (["", "failed", "error"], "error"),
        (["skipped"], "skipped"),
        (["", "rerun", ""], "rerun"),
        (["", "odd", ""], "odd"),
        (["", "", ""], "unknown"),
    ],
)
def test_the_gravest_outcome_counts(categories: list[str], outcome: str) -> None:
    """A test that passed and could not be torn down has an error."""
    records = Records()
    for phase, category in zip((SETUP, CALL, TEARDOWN), categories, strict=False):
        records.add_phase("t", None, dataclasses.replace(phase, category=category))
    assert records.tests[0].outcome() == outcome


def test_a_test_that_never_reported() -> None:
    """The run was interrupted: what is known is when, and how it ended."""
    records = Records()
    records.add_figures("t", None, make_figures(end="interrupted", signal=9, exit_code=None))
    told = describe(records.tests[0], START)
    assert told["outcome"] == "interrupted"
    assert told["steps"] == {"fork": [1, 2], "end": [2, 2]}


def test_a_test_of_pytest_s_own_process() -> None:
    """It has phases, and no process."""
    records = Records()
    records.add_phase("t", None, SETUP)
    told = describe(records.tests[0], START)
    assert list(told["steps"]) == ["setup"]
    assert told["pid"] is told["end"] is told["job"] is told["private_bytes"] is None
    assert told["leftovers"] == 0


def test_packing() -> None:
    """Figures and exit status in one."""
    figures = ChildFigures(0, 2, 33, 1.0, 2.0, "crash", 1, None, None)
    usage = forkcore.ResourceUsage(user_time=0.5, system_time=0.25, max_rss_bytes=4096)
    packed = pack_figures(figures, forkcore.ExitStatus(None, 11, usage))
    assert packed["signal"] == 11
    assert packed["exit_code"] is None
    assert (packed["cpu_user"], packed["cpu_system"], packed["peak_bytes"]) == (0.5, 0.25, 4096)
    assert pack_figures(figures, forkcore.ExitStatus(None))["peak_bytes"] is None


def test_private_memory_of_this_process() -> None:
    """New memory, written to, shows in what is measured."""
    before, faults = measure()
    held = bytearray(b"x" * (32 << 20))
    after, more_faults = measure()
    assert more_faults > faults
    if before is not None:
        assert after is not None
        assert len(held) * 0.9 < after - before < len(held) * 1.5


def test_private_memory_as_the_kernel_tells_it() -> None:
    """In kB; None where the line is not there."""
    assert parse_private(b"Rss:  100 kB\nPrivate_Clean:  3 kB\nPrivate_Dirty:   12 kB\nSwap: 0 kB\n") == 12 * 1024
    assert parse_private(b"Rss: 100 kB\n") is None


@pytest.mark.parametrize(
    ("phases", "outcomes"),
    [
        ([("call", "rerun"), ("call", "failed")], ["rerun", "failed"]),  # crashes, where setups are not reported
        ([("setup", "error"), ("setup", ""), ("call", "passed")], ["error", "passed"]),
        ([("setup", ""), ("call", "passed"), ("teardown", ""), ("teardown", "error")], ["error"]),
        ([("setup", ""), ("call", "rerun"), ("teardown", ""), ("setup", ""), ("call", "passed")], ["rerun", "passed"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", ["figures", "phases"])
def test_what_begins_another_attempt(phases: list[tuple[str, str]], outcomes: list[str], first: str) -> None:
    """Phases come in order within one; figures never begin one too many."""
    records = Records()
    figures = [make_figures(attempt=number) for number in range(len(outcomes))]
    for one in figures if first == "figures" else []:
        records.add_figures("t", None, one)
    for when, category in phases:
        records.add_phase("t", None, Phase(when, START, START + 1, category))
    for one in figures:
        records.add_figures("t", None, one)
    assert [test.outcome() for test in records.tests] == outcomes
    assert all(test.figures for test in records.tests)
