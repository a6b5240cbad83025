"""Plugins that are fixtures and little else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

MOCK = """
import os
def test_passes(mocker):
    cwd = mocker.patch("os.getcwd", return_value="there")
    assert os.getcwd() == "there"
    cwd.assert_called_once()
def test_is_undone(): assert os.getcwd() != "there"
def test_fails(mocker):
    cwd = mocker.patch("os.getcwd")
    os.getcwd(1)
    cwd.assert_called_once_with(2)
def test_spies(mocker):
    spy = mocker.spy(os.path, "join")
    os.path.join("a", "b")
    spy.assert_called_once_with("a", "b")
"""
CHECK = """
from pytest_check import check
def test_several():
    with check: assert 1 == 2
    with check: assert 1 == 3
def test_one(check): check.equal(1, 2)
def test_none(check): check.equal(1, 1)
"""
MEMRAY = """
import pytest
@pytest.mark.limit_memory("10 MB")
def test_too_much(): bytearray(30 << 20)
@pytest.mark.limit_memory("50 MB")
def test_enough(): bytearray(30 << 20)
@pytest.mark.limit_leaks("1 MB")
def test_leaks_nothing(): pass
"""


@pytest.mark.parametrize(
    ("module", "plugin", "tests"),
    [("pytest_mock", "pytest_mock", MOCK), ("pytest_check", "check", CHECK)],
    ids=["mock", "check"],
)
def test_as_without_forks(suite: Suite, module: str, plugin: str, tests: str) -> None:
    """The same reports, and the same words at the terminal."""
    pytest.importorskip(module)
    suite.write(test_fixture=tests)
    assert_same(suite.plain("-p", plugin), suite.forked("-p", plugin))


def test_memray(suite: Suite) -> None:
    """pytest-memray: limits hold, and the report at the end has each test."""
    pytest.importorskip("pytest_memray")
    suite.write(test_memory=MEMRAY)
    plain, forked = (run("-p", "memray", "--memray") for run in (suite.plain, suite.forked))
    assert (
        forked.outcomes()
        == plain.outcomes()
        == {
            "test_too_much": "failed",
            "test_enough": "passed",
            "test_leaks_nothing": "passed",
        }
    )
    assert "limited to 10.0MiB but allocated 30.0MiB" in forked.failure("test_too_much").everything
    assert "MEMRAY REPORT" in forked.out
    assert forked.out.count("Allocation results for") == plain.out.count("Allocation results for") == 3
