"""pytest-bdd: scenarios run in forked tests, and its reporters have their steps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("pytest_bdd")

FEATURE = """
@fruit
Feature: Eating
    Scenario Outline: Some
        Given there are <start> apples
        When one is eaten
        Then <left> are left
        Examples:
        | start | left |
        | 3     | 2    |
        | 3     | 1    |
    @crash
    Scenario: None
        Given there are 0 apples
        When one is eaten
        Then 0 are left
"""
STEPS = """
from pytest_bdd import given, parsers, scenarios, then, when
scenarios("eating.feature")
@given(parsers.parse("there are {count:d} apples"), target_fixture="apples")
def apples(count): return [None] * count
@when("one is eaten")
def eat(apples): apples.pop()
@then(parsers.parse("{count:d} are left"))
def left(apples, count): assert len(apples) == count
def test_beside(): pass
"""


def steady(value: Any) -> Any:
    """Leave out how long steps took, and tracebacks."""
    if isinstance(value, dict):
        return {key: steady(each) for key, each in value.items() if key not in {"duration", "error_message"}}
    return [steady(each) for each in value] if isinstance(value, list) else value


@pytest.fixture
def written(suite: Suite) -> Suite:
    """Give a suite with a feature of three scenarios, two of which fail."""
    (suite.path / "eating.feature").write_text(FEATURE)
    suite.write(test_eating=STEPS)
    return suite


@pytest.mark.parametrize(
    "ways", [[], ["--fork-template=exec"], ["--fork-template=bare"], ["--fork-jobs=2"]], ids=" ".join
)
def test_cucumber(written: Suite, ways: list[str]) -> None:
    """--cucumberjson has the same features, scenarios, steps and results."""
    options = ("-p", "pytest-bdd", "--cucumberjson=out.json")
    assert_same(written.plain(*options), written.forked(*options, *ways, "--cucumberjson=out.json"))
    plain = written.plain("-p", "pytest-bdd", "--cucumberjson=plain.json")
    assert plain.code == 1
    results = [json.loads((written.path / f"{name}.json").read_text()) for name in ("plain", "out")]
    assert steady(results[1]) == steady(results[0])
    assert len(results[1][0]["elements"]) == 3


@pytest.mark.parametrize("verbose", ["-v", "-vv"])
def test_gherkin(written: Suite, verbose: str) -> None:
    """--gherkin-terminal-reporter shows the same."""
    options = ("-p", "pytest-bdd", "--gherkin-terminal-reporter", verbose)
    plain, forked = written.plain(*options), written.forked(*options)
    assert_same(plain, forked)
    assert "Scenario: None" in forked.out
