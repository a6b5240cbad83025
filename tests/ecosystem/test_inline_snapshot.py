"""inline-snapshot: forked tests compare; what would have to be written is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("inline_snapshot")

TESTS = """
from inline_snapshot import snapshot
def test_right(): assert 5 == snapshot(5)
def test_wrong(): assert 6 == snapshot(7)
"""


def test_compares(suite: Suite) -> None:
    """Outcomes are those without forks."""
    suite.write(test_inline=TESTS)
    options = ("-p", "inline_snapshot", "--inline-snapshot=disable")
    plain, forked = suite.plain(*options), suite.forked(*options)
    assert plain.outcomes() == forked.outcomes() == {"test_right": "passed", "test_wrong": "failed"}


@pytest.mark.parametrize("mode", ["create", "fix", "short-report,update"])
def test_refuses_to_write(suite: Suite, mode: str) -> None:
    """Changes would be lost, and so the run does not begin; where no test is forked, they are written."""
    suite.write(test_inline=TESTS)
    run = suite.forked("-p", "inline_snapshot", f"--inline-snapshot={mode}")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert f"--inline-snapshot={mode} would write nothing" in run.out
    assert suite.run("-p", "forkiso", "-p", "inline_snapshot", f"--inline-snapshot={mode}").reports
