"""Hooks that this plugin calls, for conftest files and other plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso._record import ChildFigures

if TYPE_CHECKING:
    import forkcore

__all__ = [
    "ChildFigures",
    "pytest_forkiso_child_ended",
    "pytest_forkiso_child_gathered",
    "pytest_forkiso_child_started",
    "pytest_forkiso_gathered",
    "pytest_forkiso_template_ready",
    "pytest_forkiso_test_crashed",
]


@pytest.hookspec
def pytest_forkiso_template_ready(config: pytest.Config) -> None:
    """Called in the template when it is prepared, before its first fork.

    What is imported or computed here is shared by all children, copy on write. Do not start threads, and do not open
    connections: a fork does not survive the former and would share the latter. An exception ends the run; in
    the template of a test file, as there are with a bare one, it has each test load that file by itself.

    Args:
        config: The template's copy of the configuration.
    """


@pytest.hookspec
def pytest_forkiso_child_started(item: pytest.Item) -> None:
    """Called in each child before its test is set up: reseed random numbers, reconnect, and the like.

    An exception is reported as an internal error of the run.

    Args:
        item: The test that this child is going to run.
    """


@pytest.hookspec
def pytest_forkiso_child_gathered(item: pytest.Item) -> tuple[str, Any] | None:
    """Called in each child when its test is over: what does a plugin have there that it needs in pytest's own process?

    Not called where the test has crashed. An exception is reported as an internal error of the run.

    Args:
        item: The test that this child has run.

    Returns:
        A name that no other plugin uses, and data of plain types: what else it contains crosses as a report's values
        do. None where there is nothing.
    """


@pytest.hookspec
def pytest_forkiso_gathered(item: pytest.Item, key: str, data: Any) -> None:
    """Called in pytest's own process, in order of collection, with what `pytest_forkiso_child_gathered` has returned.

    Args:
        item: The test.
        key: The name that was returned; implementations look whether it is theirs.
        data: The data that was returned.
    """


@pytest.hookspec
def pytest_forkiso_test_crashed(item: pytest.Item, report: pytest.TestReport) -> None:
    """Called in pytest's own process when a test's process has ended without its last word, or at its deadline.

    The report of that has been given to ``pytest_runtest_logreport``; if it is not of the teardown, none of a teardown
    will come. Not called where the test is tried again.

    Args:
        item: The test.
        report: Of the phase in which its process has ended.
    """


@pytest.hookspec
def pytest_forkiso_child_ended(
    config: pytest.Config, nodeid: str, status: forkcore.ExitStatus, figures: ChildFigures
) -> None:
    """Called in pytest's own process when a child has ended and was reaped.

    Args:
        config: Of the session.
        nodeid: Of the test that the child ran.
        status: Exit code or signal, CPU time and peak memory of the child; not known where its template is gone.
        figures: When it began and ended, beside which others, and how; see `ChildFigures`.
    """
