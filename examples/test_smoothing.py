"""A suite with a heavy import, a leak of global state and a crash; README.md says what each test does to the others."""

import ctypes

import numpy as np
import pytest
import smoothing


def test_average() -> None:
    """The plain case."""
    assert smoothing.smooth([1.0, 2.0, 3.0, 4.0]) == pytest.approx([2.0, 3.0])


def test_window_is_changed() -> None:
    """Leaks: the setting stays changed for every test that comes later in the same process."""
    smoothing.window = 1
    assert smoothing.smooth([5.0, 7.0]) == pytest.approx([5.0, 7.0])


def test_default_window() -> None:
    """Fails in the process of its predecessor, and passes in one of its own."""
    with pytest.raises(ValueError, match="fewer than the window of 3"):
        smoothing.smooth([5.0, 7.0])


def test_address() -> None:
    """A valid address works."""
    value = ctypes.c_double(2.5)
    assert smoothing.first_at(ctypes.addressof(value)) == pytest.approx(2.5)


def test_null_pointer() -> None:
    """Crashes: the one test that has to fail."""
    print("reading from address 0")  # noqa: T201 - its report shows what was printed before the crash
    smoothing.first_at(0)


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_constant_stays_constant(size: int) -> None:
    """Comes after the crash, and runs all the same."""
    assert smoothing.smooth([4.0] * size) == pytest.approx(np.full(size - 2, 4.0))
