"""Plugins that run a test again: each attempt has a child of its own, and a crash is tried again like a failure."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_forkiso._neighbours import flaky

if TYPE_CHECKING:
    import pytest


class RunAgain(BaseException):
    """Ends a test's process when a plugin begins the test a second time: a fresh child takes over.

    No Exception: a plugin that handles those must not take it for a failure of the test.
    """


class Attempt(NamedTuple):
    """What is known of earlier attempts at a test, which were made in other children.

    Attributes:
        number: How many there were.
        memory: What the plugin has to know of them; plain data.
    """

    number: int = 0
    memory: Any = None

    def next(self, memory: Any = None) -> Attempt:
        """Give what the attempt after this one has to know."""
        return Attempt(self.number + 1, memory)


FIRST = Attempt()


def are_known(config: pytest.Config) -> bool:
    """Tell whether a plugin is there whose attempts can go on in another child; others have one child for all."""
    return _rerunfailures(config) is not None or flaky.is_active(config)


def tell(item: pytest.Item, attempt: Attempt) -> None:
    """In a child: let the plugin know how often this test was tried before."""
    config = item.config
    if _rerunfailures(config) is not None:
        config.failures_db = _Attempts(config.failures_db, attempt.number)  # type: ignore[attr-defined]
    if attempt.memory is not None:
        flaky.remember(item, attempt.memory)


def memory(item: pytest.Item) -> Any:
    """In a child that ends since the test begins again: give what the next one has to know."""
    return flaky.memory(item) if flaky.is_active(item.config) and _reruns_count(item) is None else None


def after_crash(item: pytest.Item, attempt: Attempt) -> Attempt | None:
    """Tell whether a test that has just crashed is to be tried again; waits for the delay that was asked for.

    Args:
        item: The test.
        attempt: The one that crashed.

    Returns:
        What the next attempt has to know; None for no further one.
    """
    count = _reruns_count(item)
    if count is not None:
        return attempt.next() if _reruns_failed(item, count, attempt.number) else None
    if flaky.is_active(item.config):
        known = flaky.after_crash(item, attempt.memory)
        return None if known is None else attempt.next(known)
    return None


def reports_attempts(item: pytest.Item) -> bool:
    """Tell whether an attempt that is not the last one is reported: flaky says nothing of it before its summary."""
    return _reruns_count(item) is not None


# ------------------------------------------------------------------------------------------------ pytest-rerunfailures


class _Attempts:
    """Stands before the plugin's record of failures, which does not cross a fork: it knows of earlier attempts."""

    def __init__(self, record: Any, attempts: int) -> None:
        self._record = record
        self._attempts = attempts

    def get_test_failures(self, _nodeid: str) -> int:
        return self._attempts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)


def _rerunfailures(config: pytest.Config) -> Any | None:
    module = sys.modules.get("pytest_rerunfailures")
    return module if module is not None and config.pluginmanager.is_registered(module) else None


def _reruns_count(item: pytest.Item) -> int | None:
    plugin = _rerunfailures(item.config)
    return None if plugin is None else plugin.get_reruns_count(item)


def _reruns_failed(item: pytest.Item, count: int, attempts: int) -> bool:
    plugin: Any = _rerunfailures(item.config)
    if attempts >= count or _chooses_by_exception(item) or not plugin.get_reruns_condition(item):
        return False
    delay = plugin.get_reruns_delay(item)
    if delay:
        factor = getattr(plugin, "get_reruns_delay_backoff_factor", None)
        time.sleep(delay * (factor(item) if factor is not None else 1.0) ** attempts)
    return True


def _chooses_by_exception(item: pytest.Item) -> bool:
    """Tell whether only some exceptions are tried again: a crash has none to compare."""
    marker = item.get_closest_marker("flaky")
    for name in ("only_rerun", "rerun_except"):
        if (marker is not None and name in marker.kwargs) or getattr(item.config.option, name, None):
            return True
    return False
