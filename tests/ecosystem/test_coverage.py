"""pytest-cov and coverage.py: forked tests are measured as others are, without a setting."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("pytest_cov")

MODULE = """
def branches(number):
    if number > 1:
        number += 1
    for _ in range(number):
        pass
    return number

def crashes():
    value = 1
    import os
    os.abort()

def never():
    return 1

def only_in_a_fixture():
    return 2
"""
TESTS = """
import pytest
import measured

@pytest.fixture(scope="module")
def fixture():
    yield measured.only_in_a_fixture()

@pytest.mark.parametrize("number", [0, 2])
def test_branches(number): assert measured.branches(number) == number or number

def test_fixture(fixture): assert fixture == 2
def test_fails(): assert measured.branches(1) == 5
"""


@pytest.fixture(autouse=True)
def _own_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a measurement of our own tests out of these runs."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE", "COVERAGE_CORE"):
        monkeypatch.delenv(name, raising=False)


def measure(suite: Suite, plugin: str, *options: str) -> dict[str, Any]:
    """Run, and give what was measured of the module."""
    forking = ["--forked"] if plugin == "forkiso" else []
    cov = ["-p", "pytest_cov", "--cov=measured", "--cov-report=json"]
    run = suite.run("-p", plugin, *forking, *cov, *options)
    path = suite.path / "coverage.json"
    assert path.exists(), run.out
    data = json.loads(path.read_text())
    path.unlink()
    assert not [left.name for left in suite.path.glob(".coverage.*")]
    assert "CoverageWarning" not in run.out, run.out
    measured: dict[str, Any] = data["files"]["measured.py"]
    return {key: value for key, value in measured.items() if "lines" in key or "branches" in key or key == "contexts"}


SYSMON = pytest.param(
    "sysmon", marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
)


@pytest.mark.parametrize("core", ["ctrace", "pytrace", SYSMON])
@pytest.mark.parametrize("options", [[], ["--cov-branch"], ["--cov-branch", "--cov-context=test"]], ids=" ".join)
def test_same_lines_and_branches(suite: Suite, core: str, options: list[str]) -> None:
    """With each core of coverage.py; which test executed what is known as well."""
    if core == "sysmon" and "--cov-branch" in options and sys.version_info < (3, 14):
        pytest.skip("this core measures branches from Python 3.14 on")
    suite.environment["COVERAGE_CORE"] = core
    suite.write(measured=MODULE, test_measured=TESTS)
    plain = measure(suite, "no:forkiso", *options)
    assert measure(suite, "forkiso", *options) == plain
    assert {3, 17} <= set(plain["executed_lines"])
    assert {9, 14} <= set(plain["missing_lines"])


@pytest.mark.parametrize(
    "options",
    [["-p", "xdist", "-n2"], ["-p", "xdist", "-n2", "--fork-jobs=2"], ["--fork-jobs=2"], ["--fork-template=bare"]],
    ids=" ".join,
)
def test_beside_others(suite: Suite, options: list[str]) -> None:
    """Workers of pytest-xdist, several jobs, and templates that have collected nothing."""
    if "xdist" in options:
        pytest.importorskip("xdist")
    suite.write(measured=MODULE, test_measured=TESTS)
    plain = measure(suite, "no:forkiso", "--cov-branch")
    assert measure(suite, "forkiso", "--cov-branch", *options) == plain


def test_after_a_crash(suite: Suite) -> None:
    """What a test that crashes had executed is lost with it; what others executed is not."""
    suite.write(
        measured=MODULE,
        test_measured=TESTS + "\ndef test_crashes(): measured.branches(2); measured.crashes()\n",
    )
    lines = measure(suite, "forkiso")["executed_lines"]
    assert {3, 17} <= set(lines)
    assert 9 not in lines
