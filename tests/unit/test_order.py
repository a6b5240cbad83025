"""The order in which tests start, with several jobs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hypothesis import given
from hypothesis import strategies as st

from pytest_forkiso._order import StartOrder
from pytest_forkiso._reruns import Attempt

if TYPE_CHECKING:
    import pytest

    from pytest_forkiso._run import ForkedRun


def items(count: int) -> list[pytest.Item]:
    """Make tests that have a node id, their number."""
    return [cast("pytest.Item", SimpleNamespace(nodeid=str(number))) for number in range(count)]


def starts(order: StartOrder) -> tuple[list[int], list[int]]:
    """Start all tests at once; give the order in which they start, and in which they have their turns."""
    started: list[int] = []
    turns: list[int] = []
    numbers: dict[int, int] = {}
    while True:
        turns += [numbers[id(run)] for run in order.started()]
        if not len(order):
            return started, turns
        turn, is_next = order.choose()
        number = int(turn.item.nodeid)
        started.append(number)
        if is_next:
            turns.append(number)
        else:
            turn.run = cast("ForkedRun", SimpleNamespace())
            numbers[id(turn.run)] = number


def make(jobs: int, seconds: list[float], short: float = 0.01) -> StartOrder:
    """Make the order of tests that take so long; those of no length are short."""
    order = StartOrder(jobs, {str(number): length for number, length in enumerate(seconds) if length}, short)
    order.extend(items(len(seconds)))
    return order


def test_order_of_collection() -> None:
    """Where nothing is known, and where nothing is so long that it matters."""
    assert starts(make(2, [0.0] * 5))[0] == [0, 1, 2, 3, 4]
    assert starts(make(2, [0.1] * 5))[0][:3] == [0, 1, 2]
    assert starts(make(1, [0.0, 0.0, 9.0]))[0] == [0, 1, 2]


def test_a_long_test_at_the_end_starts_in_time() -> None:
    """When all that is left takes as long with the other jobs, and not before."""
    order, _ = starts(make(2, [0.0] * 100 + [60.0], short=1.0))
    assert order.index(100) == 40
    assert [each for each in order if each != 100] == list(range(100))


def test_more_long_tests_than_jobs() -> None:
    """Three of 30 seconds take two rounds of two jobs, as long as the thirty of a second beside the second round."""
    assert starts(make(2, [0.0] * 30 + [30.0] * 3, short=1.0))[0][:2] == [32, 0]


def test_one_job_keeps_the_order() -> None:
    """No job would wait."""
    assert starts(make(1, [0.0, 5.0, 1.0, 9.0]))[0] == [0, 1, 2, 3]


@given(st.integers(1, 4), st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.0, 7.5]), max_size=30))
def test_each_starts_once_and_turns_are_in_order(jobs: int, seconds: list[float]) -> None:
    """Whatever is long."""
    started, turns = starts(make(jobs, seconds))
    assert sorted(started) == turns == list(range(len(seconds)))


def test_again_comes_next() -> None:
    """A rerun does not wait for others."""
    order = make(2, [0.0, 0.0])
    first, _ = order.choose()
    order.again(first.item, Attempt(1))
    turn: Any = order.choose()[0]
    assert (turn.item, turn.attempt) == (first.item, Attempt(1))
    order.clear()
    assert not len(order)
    assert order.started() == []
