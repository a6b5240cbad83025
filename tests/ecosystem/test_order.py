"""Plugins that choose tests or their order: forked tests come in the same one, with the same random numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

TESTS = """
import random
import pytest
def test_a(): print(random.random()); assert 0
@pytest.mark.order(1)
def test_b(): print(random.random()); assert 0
@pytest.mark.parametrize("number", range(4))
def test_c(number): print(random.random()); assert 0
class TestClass:
    def test_d(self): print(random.random()); assert 0
    @pytest.mark.order("first")
    def test_e(self): pass
"""
SEED = "import random\ndef pytest_runtest_setup(): random.seed(5)"
INI = "[pytest]\nmarkers = order"


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("pytest_randomly", ["-p", "randomly", "-p", "no:cacheprovider", "--randomly-seed=7"]),
        ("random_order", ["-p", "random_order", "--random-order", "--random-order-seed=5"]),
        ("pytest_order", ["-p", "pytest_order"]),
        ("pytest_split", ["-p", "pytest-split", "--splits=2", "--group=1"]),
        ("pytest_repeat", ["-p", "repeat", "--count=2"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_same_order(suite: Suite, module: str, options: list[str]) -> None:
    """And the same output; pytest-randomly seeds for each test, for the others our conftest does."""
    pytest.importorskip(module)
    suite.pytester.makeini(INI)
    suite.write(test_sequence=TESTS)
    if module != "pytest_randomly":
        suite.write(conftest=SEED)
    plain, forked = suite.plain(*options), suite.forked(*options)
    assert_same(plain, forked)
    started = [row["nodeid"] for row in forked.of_kind("start")]
    collected = suite.plain("--collect-only", "-q").out.splitlines()
    assert started != [line for line in collected if "::" in line]


def test_durations_for_a_split(suite: Suite) -> None:
    """What pytest-split stores of forked tests is what it needs to split them."""
    pytest.importorskip("pytest_split")
    suite.pytester.makeini(INI)
    suite.write(
        test_sequence="import time\ndef test_slow(): time.sleep(0.5)\n" + "def test_b(): pass\ndef test_c(): pass"
    )
    assert suite.forked("-p", "pytest-split", "--store-durations").code == 0
    run = suite.forked("-p", "pytest-split", "--splits=2", "--group=1", "--splitting-algorithm=least_duration")
    assert list(run.outcomes()) == ["test_slow"]
