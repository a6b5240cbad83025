"""Options, ini values and marker arguments."""

from __future__ import annotations

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_forkiso._config import Settings, check_timeout, read_settings


def settings(pytester: pytest.Pytester, *arguments: str) -> Settings:
    """Read the settings of a run with these arguments."""
    plugin = [] if pytester.plugins else ["-p", "forkiso"]
    return read_settings(pytester.parseconfig(*plugin, "-p", "no:cacheprovider", *arguments))


def test_defaults(pytester: pytest.Pytester) -> None:
    """Nothing is forked that is not marked; one at a time; for ever."""
    found = settings(pytester)
    assert not found.forks_all
    assert found.preload == ()
    assert found.timeout is None
    assert found.jobs == 1
    assert found.output_limit == 16 << 20


def test_command_line(pytester: pytest.Pytester) -> None:
    """Options may be repeated, and have commas; names that occur twice count once."""
    found = settings(
        pytester, "--forked", "--fork-preload=a,b", "--fork-preload= c ,a,", "--fork-timeout=1.5", "--fork-jobs=3"
    )
    assert found.forks_all
    assert found.preload == ("a", "b", "c")
    assert found.timeout == 1.5
    assert found.jobs == 3


def test_ini_file(pytester: pytest.Pytester) -> None:
    """The same from a file; the command line is stronger, but adds to the modules."""
    pytester.makeini("[pytest]\nfork_preload = a b\nfork_timeout = 9\nfork_jobs = 2\nfork_output_limit = 77")
    found = settings(pytester, "--fork-preload=c")
    assert (found.preload, found.timeout, found.jobs, found.output_limit) == (("a", "b", "c"), 9.0, 2, 77)
    found = settings(pytester, "--fork-timeout=5", "--fork-jobs=1")
    assert (found.timeout, found.jobs) == (5.0, 1)


def test_auto_jobs(pytester: pytest.Pytester) -> None:
    """As many as this process may use."""
    assert settings(pytester, "--fork-jobs=auto").jobs == len(os.sched_getaffinity(0))


@given(st.integers(1, 10**6) | st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_good_timeouts(value: float) -> None:
    """Numbers above 0, as numbers or as text."""
    assert check_timeout(value, "here") == float(value)
    assert check_timeout(repr(value), "here") == float(value)


@given(st.integers(max_value=0) | st.floats(max_value=0) | st.just(math.inf) | st.just(math.nan) | st.lists(st.none()))
def test_bad_timeouts(value: object) -> None:
    """Everything else is an error that names the place and the value."""
    with pytest.raises(pytest.UsageError) as caught:
        check_timeout(value, "the place")
    assert str(caught.value).startswith("the place must be")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [None, True, False, "", "1s", b"x", object(), 1j])
def test_values_that_are_no_timeout(value: object) -> None:
    """Other types, and text that is no number."""
    with pytest.raises(pytest.UsageError):
        check_timeout(value, "here")
