"""pytest-benchmark: what a child has measured is compared, shown and saved by pytest's own process."""

from __future__ import annotations

import pstats
import types
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_benchmark.session import BenchmarkSession
    from pytest_benchmark.stats import Metadata

KEY = "pytest-benchmark"


class Neighbour:
    """Takes measurements from children to pytest's own process."""

    @pytest.hookimpl
    def pytest_forkiso_child_gathered(self, item: pytest.Item) -> tuple[str, Any] | None:
        """Give the measurements of this process; before its test there were none."""
        found = [_pack(benchmark) for benchmark in _session(item.config).benchmarks]
        return (KEY, found) if found else None

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, item: pytest.Item, key: str, data: Any) -> None:
        """Add the measurements to those of the run."""
        if key == KEY:
            _session(item.config).benchmarks += [_unpack(item, benchmark) for benchmark in data]


def _session(config: pytest.Config) -> BenchmarkSession:
    session: BenchmarkSession = config._benchmarksession  # type: ignore[attr-defined]
    return session


def _pack(benchmark: Metadata) -> dict[str, Any]:
    from pytest_benchmark.utils import funcname

    options = {name: funcname(value) if callable(value) else value for name, value in benchmark.options.items()}
    profile = benchmark.cprofile_stats
    return {
        "group": benchmark.group,
        "extra_info": benchmark.extra_info,
        "has_error": benchmark.has_error,
        "iterations": benchmark.iterations,
        "options": options,
        "data": benchmark.stats.data,
        "cprofile": None if profile is None else profile.stats,
    }


def _unpack(item: pytest.Item, data: dict[str, Any]) -> Metadata:
    from pytest_benchmark.stats import Metadata

    callspec = getattr(item, "callspec", None)
    fixture = types.SimpleNamespace(
        name=item.name,
        fullname=item.nodeid,
        group=data["group"],
        param=callspec.id if callspec is not None else None,
        params=callspec.params if callspec is not None else None,
        extra_info=data["extra_info"],
        has_error=data["has_error"],
        cprofile_stats=None if data["cprofile"] is None else _profile(data["cprofile"]),
    )
    benchmark: Metadata = Metadata(fixture, iterations=data["iterations"], options=data["options"])
    benchmark.stats.data = data["data"]
    return benchmark


def _profile(stats: dict[Any, Any]) -> pstats.Stats:
    """Make what `pstats` reads of anything that has these two names."""
    return pstats.Stats(types.SimpleNamespace(stats=stats, create_stats=lambda: None))  # type: ignore[arg-type]
