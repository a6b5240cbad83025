"""The time that a child has, and who decides on it."""

from __future__ import annotations

import pytest

from pytest_forkiso._deadline import Deadline


def left(deadline: Deadline) -> float:
    """Give the seconds that are left; there must be a limit."""
    seconds = deadline.seconds_left()
    assert seconds is not None
    return seconds


def begun(timeout: float | None) -> Deadline:
    """Give the deadline of a test that has begun."""
    deadline = Deadline()
    deadline.begin(timeout, alive_timeout=10_000)
    deadline.note_life()
    return deadline


def test_without_a_limit() -> None:
    """There is none before the test begins, and none without a timeout."""
    assert Deadline().seconds_left() is None
    assert begun(None).seconds_left() is None
    assert 0 < left(begun(100)) <= 100


def test_the_first_sign_of_life() -> None:
    """It is waited for beside the test's own limit, until it has come."""
    deadline = Deadline()
    deadline.begin(1000, alive_timeout=10)
    assert 0 < left(deadline) <= 10
    assert not deadline.lacks_life()
    deadline.note_life()
    assert 10 < left(deadline) <= 1000
    late = Deadline()
    late.begin(None, alive_timeout=0)
    assert late.lacks_life()
    assert late.seconds_left() == 0.0
    late.note_life()
    assert not late.lacks_life()


def test_a_limit_of_another_plugin() -> None:
    """The earlier one holds, and its words; taken back, ours holds again."""
    deadline = begun(100)
    deadline.share(10, "theirs")
    assert (deadline.words, left(deadline) <= 10) == ("theirs", True)
    deadline.share(1000, "theirs")
    assert (deadline.words, 10 < left(deadline) <= 100) == ("", True)
    deadline.share(None, "")
    assert (deadline.words, 10 < left(deadline) <= 100) == ("", True)
    unlimited = begun(None)
    unlimited.share(1000, "theirs")
    assert (unlimited.words, 0 < left(unlimited) <= 1000) == ("theirs", True)
    unlimited.share(None, "")
    assert unlimited.seconds_left() is None


@pytest.mark.parametrize("timeout", [100, None])
def test_it_stands_still(timeout: float | None) -> None:
    """While a debugger runs there is no limit; then what was left is left."""
    deadline = begun(timeout)
    before = deadline.seconds_left()
    deadline.pause()
    assert deadline.seconds_left() is None
    deadline.resume()
    assert deadline.seconds_left() is None if before is None else 0 < left(deadline) <= before
    deadline.resume()  # once more changes nothing
    assert (deadline.seconds_left() is None) == (timeout is None)


def test_steps_set_it_anew() -> None:
    """Each step against a child gives it some time; a killed one has no more limit."""
    deadline = begun(100)
    deadline.set(0)
    assert deadline.seconds_left() == 0.0
    deadline.set(5)
    assert 0 < left(deadline) <= 5
    deadline.clear()
    assert deadline.seconds_left() is None
