"""Profiles of marker arguments, and overrides for paths, in whole runs; `unit/test_profiles.py` has the details."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

PYPROJECT = """
[tool.pytest_forkiso.profiles.strict]
umask = 63
env = "clean"
[tool.pytest_forkiso.profiles.loose]
umask = 9
[[tool.pytest_forkiso.overrides]]
path = "slow"
umask = 18
"""
INI = """
[pytest]
fork_profiles =
    strict: umask = 63, env = "clean"
    loose: umask = 9
fork_overrides =
    slow: umask = 18
"""
BY_NAME = """
import os
import pytest

def bounds():
    return os.umask(0), "OUTER" in os.environ

def test_plain(): print(bounds())
@pytest.mark.forked(profile="loose")
def test_by_name(): print(bounds())
@pytest.mark.forked(umask=1)
def test_by_argument(): print(bounds())
"""


@pytest.mark.parametrize(("name", "text"), [("pyproject.toml", PYPROJECT), ("pytest.ini", INI)])
def test_profiles_and_overrides(suite: Suite, name: str, text: str) -> None:
    """The marker is stronger than an override for a path, and that than the profile of the command line; all add up."""
    (suite.path / name).write_text(text)
    suite.environment["OUTER"] = "1"
    suite.write(test_quick=BY_NAME)
    (suite.path / "slow").mkdir()
    (suite.path / "slow" / "test_slow.py").write_text(BY_NAME)
    run = suite.run("-p", "forkiso", "--forked", "--fork-profile=strict")
    assert run.code == 0, run.out
    found = {
        (report.nodeid.replace("::", "/").split("/")[-2], report.nodeid.split("::")[-1]): report.section(
            "Captured stdout call"
        ).strip()
        for report in run.reports
        if report.when == "call"
    }
    assert found == {
        ("test_quick.py", "test_plain"): "(63, False)",
        ("test_quick.py", "test_by_name"): "(9, False)",
        ("test_quick.py", "test_by_argument"): "(1, False)",
        ("test_slow.py", "test_plain"): "(18, False)",
        ("test_slow.py", "test_by_name"): "(9, False)",
        ("test_slow.py", "test_by_argument"): "(1, False)",
    }
