"""Plugins that add to a list, a table or a text of theirs while tests run, and read it when all have ended."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_forkiso import _growth

if TYPE_CHECKING:
    from collections.abc import Callable


class Place(NamedTuple):
    """Where a plugin keeps what it gathers.

    Attributes:
        find: Gives it, for a test; None where there is none.
        pack: Makes plain data of what has come.
        unpack: Makes it again.
    """

    find: Callable[[pytest.Item], Any]
    pack: Callable[[Any], Any] = lambda grown: grown
    unpack: Callable[[Any], Any] = lambda grown: grown


class Neighbour:
    """Brings what has come in a test's process to the same place in pytest's own."""

    def __init__(self, module: str) -> None:
        """Make the plugin.

        Args:
            module: The other plugin's, one of `PLACES`.
        """
        self._key = f"forkiso/{module}"
        self._place = PLACES[module]
        self._before: Any = None

    @pytest.hookimpl
    def pytest_forkiso_child_started(self, item: pytest.Item) -> None:
        """Note what there was before this test."""
        self._before = _growth.measure(self._place.find(item))

    @pytest.hookimpl
    def pytest_forkiso_child_gathered(self, item: pytest.Item) -> tuple[str, Any] | None:
        """Give what has come."""
        kept = self._place.find(item)
        grown = None if kept is None else _growth.since(kept, self._before)
        return (self._key, self._place.pack(grown)) if grown else None

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, item: pytest.Item, key: str, data: Any) -> None:
        """Add it here."""
        if key == self._key:
            _growth.grow(self._place.find(item), self._place.unpack(data))


def _registered(item: pytest.Item, module: str, name: str) -> Any:
    """Give the object of a class that a plugin has registered without a name; None where it has none."""
    kind = getattr(sys.modules.get(module), name, None)
    found = (each for each in item.config.pluginmanager.get_plugins() if kind is not None and isinstance(each, kind))
    return next(found, None)


# ------------------------------------------------------------------------------------------------------- pytest-accept


def _accepted(item: pytest.Item) -> Any:
    return item.session.stash.setdefault(sys.modules["pytest_accept"].file_changes_key, {})


def _pack_accepted(grown: Any) -> Any:
    return {str(path): [change.to_dict() for change in changes] for path, changes in grown.items()}


def _unpack_accepted(data: Any) -> Any:
    kind = sys.modules["pytest_accept"].Change
    return {Path(path): [kind.from_dict(change) for change in changes] for path, changes in data.items()}


# ----------------------------------------------------------------------------------------------------- pytest-codspeed


def _measured(item: pytest.Item) -> Any:
    plugin: Any = item.config.pluginmanager.get_plugin("codspeed_plugin")
    return getattr(getattr(plugin, "instrument", None), "benchmarks", None)


def _pack_measured(grown: Any) -> Any:
    return [dataclasses.asdict(benchmark) for benchmark in grown]


def _unpack_measured(data: Any) -> Any:
    module = sys.modules["pytest_codspeed.instruments.walltime"]
    return [
        module.Benchmark(
            name=each["name"],
            uri=each["uri"],
            config=module.BenchmarkConfig(**each["config"]),
            stats=module.BenchmarkStats(**each["stats"]),
        )
        for each in data
    ]


# ------------------------------------------------------------------------------------------------------ all the others


def _changed_docs(_item: pytest.Item) -> Any:
    return sys.modules["pytest_doctestplus.plugin"].DebugRunnerPlus._changesets


def _durations(item: pytest.Item) -> Any:
    return getattr(_registered(item, "pytest_durations.plugin", "PytestDurationPlugin"), "measurements", None)


def _images(item: pytest.Item) -> Any:
    plugin = _registered(item, "pytest_mpl.plugin", "ImageComparison")
    return None if plugin is None else {"hashes": plugin._generated_hash_library, "results": plugin._test_results}


def _profiles(item: pytest.Item) -> Any:
    return getattr(_registered(item, "pytest_profiling", "Profiling"), "profs", None)


def _outputs(item: pytest.Item) -> Any:
    plugin = _registered(item, "pytest_regtest.pytest_regtest", "PytestRegtestCommonHooks")
    return None if plugin is None else {name: kept for name, kept in vars(plugin).items() if isinstance(kept, list)}


def _retries(_item: pytest.Item) -> Any:
    reporter = sys.modules["pytest_retry.retry_plugin"].retry_manager.reporter
    return None if hasattr(reporter, "sock") else reporter.stream  # or it sends all to pytest's own process by itself


PLACES = {
    "pytest_accept": Place(_accepted, _pack_accepted, _unpack_accepted),
    "pytest_codspeed.plugin": Place(_measured, _pack_measured, _unpack_measured),
    "pytest_doctestplus.plugin": Place(_changed_docs),
    "pytest_durations": Place(_durations),
    "pytest_mpl.plugin": Place(_images),
    "pytest_profiling": Place(_profiles),
    "pytest_regtest": Place(_outputs),
    "pytest_retry.retry_plugin": Place(_retries),
}
"""By the module of the plugin."""
