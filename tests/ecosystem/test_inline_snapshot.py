"""inline-snapshot: forked tests compare; what would have to be written is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_terminal import terminal

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


# What makes inline-snapshot think that it runs in CI, where it writes nothing by itself.
NOT_IN_CI = {"CI": "", "GITHUB_ACTIONS": "", "BUILD_ID": "", "BUILD_NUMBER": ""}
DEFAULTS = '[tool.inline-snapshot]\ndefault-flags = ["fix", "create"]\n'


def test_refuses_to_write_by_default(suite: Suite) -> None:
    """Where pyproject.toml says so, as on the command line; which is stronger."""
    suite.write(test_inline=TESTS)
    suite.environment |= NOT_IN_CI
    (suite.path / "pyproject.toml").write_text(DEFAULTS)
    run = suite.forked("-p", "inline_snapshot")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert f"default flags create,fix ({suite.path / 'pyproject.toml'}) would write nothing" in run.out
    for options in (["--inline-snapshot=short-report"], ["-n1", "-p", "xdist"]):
        plain, forked = (run("-p", "inline_snapshot", *options) for run in (suite.plain, suite.forked))
        assert plain.outcomes() == forked.outcomes(), forked.out
        assert "would write nothing" not in forked.out
    assert suite.run("-p", "forkiso", "-p", "inline_snapshot").reports


def test_refuses_to_write_by_a_variable(suite: Suite) -> None:
    """In the environment; in CI inline-snapshot does nothing by default."""
    suite.write(test_inline=TESTS)
    suite.environment |= {**NOT_IN_CI, "INLINE_SNAPSHOT_DEFAULT_FLAGS": "update"}
    run = suite.forked("-p", "inline_snapshot")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "default flags update (INLINE_SNAPSHOT_DEFAULT_FLAGS) would write nothing" in run.out
    del suite.environment["INLINE_SNAPSHOT_DEFAULT_FLAGS"]
    (suite.path / "pyproject.toml").write_text(DEFAULTS)
    suite.environment["CI"] = "1"
    assert suite.forked("-p", "inline_snapshot").outcomes() == {"test_right": "passed", "test_wrong": "failed"}


def test_what_it_does_at_a_terminal(suite: Suite) -> None:
    """Its own default there is to create and to ask: nothing of that happens, and it is said where a test uses it."""
    suite.environment |= NOT_IN_CI
    suite.write(test_inline=TESTS, test_other="def test_it(): pass")
    said = "inline-snapshot writes nothing: what it finds does not leave the processes of forked tests"
    for file, is_said in (("test_inline.py", True), ("test_other.py", False)):
        with terminal(suite, "-p", "forkiso", "--forked", "-p", "inline_snapshot", file) as user:
            run = user.finish()
            assert (said in " ".join(user.text.split())) == is_said, user.text
            assert run.reports
