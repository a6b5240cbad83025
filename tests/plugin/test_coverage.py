"""pytest-cov and coverage.py measure forked tests without any setting."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

MODULE = """
def first():
    return 1

def second():
    return 2

def third():
    return 3
"""

TESTS = """
import os
import pytest
import measured
def test_first(): assert measured.first() == 1
def test_second(): assert measured.second() == 1
"""


@pytest.fixture(autouse=True)
def _own_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a measurement of our own tests out of these runs."""
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)
    monkeypatch.delenv("COVERAGE_FILE", raising=False)


def executed(suite: Suite, plugin: str, *arguments: str) -> list[int]:
    """Measure, and give the lines of the module that were executed."""
    options = ["--forked"] if plugin == "forkiso" else []
    run = suite.run("-p", plugin, "-p", "pytest_cov", *options, *arguments, "--cov=measured", "--cov-report=json")
    assert run.outcomes() == {"test_first": "passed", "test_second": "failed"}, run.out
    data = json.loads((suite.path / "coverage.json").read_text())
    assert not [path.name for path in suite.path.glob(".coverage.*")]
    lines: list[int] = data["files"]["measured.py"]["executed_lines"]
    return lines


def test_lines_are_those_of_plain_pytest(suite: Suite) -> None:
    """What only children execute is measured; what nobody does is not."""
    pytest.importorskip("pytest_cov")
    suite.write(measured=MODULE, test_measured=TESTS)
    plain = executed(suite, "no:forkiso")
    assert executed(suite, "forkiso") == plain
    assert {2, 5} <= set(plain)
    assert 8 not in plain


@pytest.mark.parametrize("source", ["exec", "early", "bare"])
def test_lines_from_each_source(suite: Suite, source: str) -> None:
    """They are the same where pytest-xdist is loaded, whose hooks pytest-cov has as well, and distributes nothing."""
    pytest.importorskip("pytest_cov")
    suite.write(measured=MODULE, test_measured=TESTS)
    plain = executed(suite, "no:forkiso")
    assert executed(suite, "forkiso", "-p", "xdist", "--fork-template", source) == plain


def test_a_run_under_coverage(suite: Suite) -> None:
    """`coverage run -m pytest` and `coverage combine` find it as well."""
    pytest.importorskip("coverage")
    suite.write(measured=MODULE, test_measured=TESTS)
    suite.pytester.makefile(".ini", coverage="[run]\nparallel = true\nsource = .")
    python = ["-m", "coverage"]
    arguments = ["run", "--rcfile=coverage.ini", "-m", "pytest", "-p", "forkiso", "--forked"]
    for command in (arguments, ["combine", "--rcfile=coverage.ini"], ["json", "-o", "out.json"]):
        suite.python(*python, *command)
    data = json.loads((suite.path / "out.json").read_text())
    assert {2, 5} <= set(data["files"]["measured.py"]["executed_lines"])


def test_shared_fixtures_are_measured(suite: Suite) -> None:
    """Their set-up, and their teardown in a template that no test comes after."""
    pytest.importorskip("pytest_cov")
    suite.write(
        measured=MODULE,
        test_measured="""
        import pytest
        import measured
        @pytest.fixture(scope="session")
        def wide():
            yield measured.second()
            measured.third()
        def test_first(wide): assert measured.first() == 1
        def test_second(wide): assert wide == 1
        """,
    )
    options = ["-p", "pytest_cov", "--cov=measured", "--cov-report=json"]
    run = suite.forked("--fork-share=session", *options)
    assert run.outcomes() == {"test_first": "passed", "test_second": "failed"}, run.out
    data = json.loads((suite.path / "coverage.json").read_text())
    assert data["files"]["measured.py"]["missing_lines"] == []
    assert not [path.name for path in suite.path.glob(".coverage.*")]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_file_out_of_reach(suite: Suite) -> None:
    """A test that has become another user, who cannot write the data, is warned of; the run goes on."""
    pytest.importorskip("pytest_cov")
    suite.path.chmod(0o700)
    suite.write(
        test_it="""
        import os
        def test_it(): os.setgroups([]); os.setgid(65534); os.setuid(65534)
        def test_after(): assert os.getuid() == 0
        """
    )
    run = suite.forked("-p", "pytest_cov", "--cov=test_it")
    assert run.outcomes() == {"test_it": "passed", "test_after": "passed"}, run.out
    warned = [row for row in run.of_kind("warning") if "coverage.py cannot save what the test has executed" in str(row)]
    assert len(warned) == 1, run.out
