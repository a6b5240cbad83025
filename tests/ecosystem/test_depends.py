"""pytest-depends: tests that need others run after them, or are skipped, as without forks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("pytest_depends")

TESTS = """
import os
import pytest
@pytest.mark.depends(on=["test_fails"])
def test_skipped(): pass
@pytest.mark.depends(on=["test_passes", "named"])
def test_runs(): pass
@pytest.mark.depends(name="named")
@pytest.mark.parametrize("number", [1, 2])
def test_number(number): pass
@pytest.mark.depends(on=["nothing"])
def test_unknown(): pass
@pytest.mark.depends(on=["test_dies"])
def test_after_death(): pass
def test_fails(): assert 0
def test_passes(): pass
def test_dies(): {death}
"""


@pytest.mark.parametrize(
    "ways", [[], ["--fork-template=exec"], ["--fork-template=bare"], ["--fork-jobs=3"]], ids=" ".join
)
def test_same(suite: Suite, ways: list[str]) -> None:
    """Order, outcomes and reasons."""
    suite.write(test_here=TESTS.format(death="assert 0"))
    assert_same(suite.plain("-p", "depends"), suite.forked("-p", "depends", *ways))


def test_a_crash(suite: Suite) -> None:
    """What needs a test that has crashed is skipped."""
    suite.write(test_here=TESTS.format(death="os.abort()"))
    outcomes = suite.forked("-p", "depends").outcomes()
    assert outcomes["test_dies"] == "failed"
    assert outcomes["test_after_death"] == "skipped"
    assert outcomes["test_runs"] == "passed"
