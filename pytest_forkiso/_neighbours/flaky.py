"""flaky: each attempt runs in a child of its own, a crash is tried again, and its report is whole."""

from __future__ import annotations

import sys
from typing import Any

import pytest

KEY = "flaky"
_CURRENT_RUNS, _CURRENT_PASSES = "_flaky_current_runs", "_flaky_current_passes"
_MAX_RUNS, _MIN_PASSES = "_flaky_max_runs", "_flaky_min_passes"


class Neighbour:
    """Takes flaky's report from children to pytest's own process."""

    def __init__(self) -> None:
        self._before = 0

    @pytest.hookimpl
    def pytest_forkiso_child_started(self) -> None:
        """Note what the report had before this test."""
        self._before = len(_plugin().stream.getvalue())

    @pytest.hookimpl
    def pytest_forkiso_child_gathered(self) -> tuple[str, Any] | None:
        """Give what the report has of this test."""
        text = _plugin().stream.getvalue()[self._before :]
        return (KEY, text) if text else None

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, key: str, data: Any) -> None:
        """Add it to the report of the run."""
        if key == KEY:
            _plugin().stream.write(data)


def is_active(config: pytest.Config) -> bool:
    """Tell whether the plugin is at work."""
    module = sys.modules.get("flaky.flaky_pytest_plugin")
    return module is not None and config.pluginmanager.is_registered(module)


def memory(item: pytest.Item) -> Any:
    """In a child: give what the next attempt has to know of those before."""
    return [getattr(item, _CURRENT_RUNS), getattr(item, _CURRENT_PASSES)]


def remember(item: pytest.Item, known: Any) -> None:
    """In a child: go on after the attempts that were made in others."""
    make_flaky(item)
    item.__dict__[_CURRENT_RUNS], item.__dict__[_CURRENT_PASSES] = known


def after_crash(item: pytest.Item, known: Any) -> Any | None:
    """In pytest's own process: give what the next attempt has to know; None where there is to be none."""
    make_flaky(item)
    if getattr(item, _CURRENT_RUNS, None) is None:
        return None
    runs, passes = known or (0, 0)
    runs += 1
    most = getattr(item, _MAX_RUNS)
    if getattr(item, _MIN_PASSES) - passes > most - runs:
        return None
    _plugin().stream.write(f"{item.name} crashed ({most - runs} runs remaining out of {most}).\n")
    return [runs, passes]


def make_flaky(item: pytest.Item) -> None:
    """Let a test have the plugin's attributes, as the plugin gives them: by decorator, marker or option."""
    plugin = _plugin()
    plugin._copy_flaky_attributes(item, plugin._get_test_instance(item))
    if plugin._has_flaky_attributes(item):
        return
    marker = item.get_closest_marker("flaky")
    if plugin.force_flaky:
        plugin._make_test_flaky(item, plugin.max_runs, plugin.min_passes)
    elif marker is not None:
        plugin._make_test_flaky(item, *marker.args, **marker.kwargs)


def _plugin() -> Any:
    return sys.modules["flaky.flaky_pytest_plugin"].PLUGIN
