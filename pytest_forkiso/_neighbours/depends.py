"""pytest-depends: results of tests come together in pytest's own process, and to the tests that depend on them."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "pytest-depends"


class Neighbour:
    """Takes results to pytest's own process, and from there to others."""

    @pytest.hookimpl
    def pytest_forkiso_child_gathered(self, item: pytest.Item) -> tuple[str, Any] | None:
        """Give the outcomes of the test."""
        return KEY, _manager().results[_name(item)].results

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, item: pytest.Item, key: str, data: Any) -> None:
        """Note them here."""
        if key == KEY:
            _manager().results[_name(item)].results.update(data)

    @pytest.hookimpl
    def pytest_forkiso_test_crashed(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Note the crash."""
        _manager().results[_name(item)].results[report.when] = report.outcome

    def tell(self, item: pytest.Item) -> Any:
        """In pytest's own process: give the results that a test about to start needs."""
        return {name: result.results for name, result in _needed(item)}

    def awaits(self, item: pytest.Item) -> bool:
        """Tell whether a result that the test needs is not there."""
        return any(not result.results for _, result in _needed(item))

    def hear(self, item: pytest.Item, told: Any) -> None:
        """In the test's process: note them."""
        results = {name: result.results for name, result in _needed(item)}
        for name, outcomes in told.items():
            results[name].update(outcomes)


def _manager() -> Any:
    return sys.modules["pytest_depends"].managers[-1]


def _needed(item: pytest.Item) -> Iterator[tuple[str, Any]]:
    """Give the tests that one depends on, and what is noted of them."""
    manager = _manager()
    of_test = manager.dependencies.get(_name(item), types.SimpleNamespace(dependencies=()))
    return ((name, manager.results[name]) for name in of_test.dependencies)


def _name(item: pytest.Item) -> str:
    """Give what the plugin calls a test."""
    name: str = sys.modules["pytest_depends"].clean_nodeid(item.nodeid)
    return name
