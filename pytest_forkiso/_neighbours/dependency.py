"""pytest-dependency: results of tests come together in pytest's own process, and to the tests that depend on them."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection

KEY = "pytest-dependency"
_OF_CALLS = ("module", "class")  # `depends(request, …)` is not known before, and asks in one of these as a rule


class Neighbour:
    """Takes results to pytest's own process, and from there to others."""

    @pytest.hookimpl
    def pytest_forkiso_child_gathered(self, item: pytest.Item) -> tuple[str, Any] | None:
        """Give the outcomes of the test, where the plugin has noted them."""
        status = _results(item, "session").get(_name(item))
        return None if status is None else (KEY, status.results)

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, item: pytest.Item, key: str, data: Any) -> None:
        """Note them here, as the plugin does it."""
        if key == KEY:
            for phase, outcome in data.items():
                _note(item, phase, outcome)

    @pytest.hookimpl
    def pytest_forkiso_test_crashed(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Note the crash."""
        _note(item, str(report.when), report.outcome)

    def tell(self, item: pytest.Item) -> Any:
        """In pytest's own process: give the results that a test about to start may ask for."""
        told: dict[str, dict[str, Any]] = {}
        if "request" in getattr(item, "fixturenames", ()):
            for scope in _OF_CALLS:
                told[scope] = _some(item, scope, None)
        scope, names = _needs(item)
        if names:
            told[scope] = told.get(scope, {}) | _some(item, scope, names)
        return {scope: results for scope, results in told.items() if results}

    def awaits(self, item: pytest.Item) -> bool:
        """Tell whether a result that the test asks for is not there."""
        scope, names = _needs(item)
        return bool(names) and not set(names).issubset(_results(item, scope))

    def hear(self, item: pytest.Item, told: Any) -> None:
        """In the test's process: note them."""
        from pytest_dependency import DependencyItemStatus

        for scope, given in told.items():
            results = _results(item, scope)
            for name, outcomes in given.items():
                results[name] = DependencyItemStatus()
                results[name].results.update(outcomes)


def _needs(item: pytest.Item) -> tuple[str, Collection[str]]:
    """Give the scope and the names of the tests that one depends on, by its marker."""
    marker = item.get_closest_marker("dependency")
    if marker is None:
        return "module", ()
    return marker.kwargs.get("scope", "module"), marker.kwargs.get("depends") or ()


def _results(item: pytest.Item, scope: str) -> dict[str, Any]:
    """Give the plugin's own notes, by name."""
    from pytest_dependency import DependencyManager

    manager = DependencyManager.getManager(item, scope)
    return {} if manager is None else manager.results


def _some(item: pytest.Item, scope: str, names: Collection[str] | None) -> dict[str, Any]:
    return {name: status.results for name, status in _results(item, scope).items() if names is None or name in names}


def _note(item: pytest.Item, phase: str, outcome: str | None) -> None:
    import pytest_dependency

    marker = item.get_closest_marker("dependency")
    if outcome is None or (marker is None and not pytest_dependency._automark):
        return
    for scope in pytest_dependency.DependencyManager.ScopeCls:
        manager = pytest_dependency.DependencyManager.getManager(item, scope)
        if manager is not None:
            report = types.SimpleNamespace(when=phase, outcome=outcome)
            manager.addResult(item, None if marker is None else marker.kwargs.get("name"), report)


def _name(item: pytest.Item) -> str:
    """Give what a test is called in the scope of the session."""
    marker = item.get_closest_marker("dependency")
    return str((marker is not None and marker.kwargs.get("name")) or item.nodeid)
