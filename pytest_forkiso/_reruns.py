"""pytest-rerunfailures: each attempt runs in a child of its own, and a crash is tried again like a failure."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


class RunAgain(BaseException):
    """Ends a test's process when a plugin begins the test a second time: a fresh child takes over.

    No Exception: a plugin that handles those must not take it for a failure of the test.
    """


def _plugin(config: pytest.Config) -> Any | None:
    module = sys.modules.get("pytest_rerunfailures")
    return module if module is not None and config.pluginmanager.is_registered(module) else None


class _Attempts:
    """Stands before the plugin's record of failures, which does not cross a fork: it knows of earlier attempts."""

    def __init__(self, record: Any, attempts: int) -> None:
        self._record = record
        self._attempts = attempts

    def get_test_failures(self, _nodeid: str) -> int:
        return self._attempts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)


def tell_attempts(config: pytest.Config, attempts: int) -> None:
    """In a child: let the plugin know how often this test was tried before."""
    if _plugin(config) is not None:
        config.failures_db = _Attempts(config.failures_db, attempts)  # type: ignore[attr-defined]


def wants_another(item: pytest.Item, attempts: int) -> bool:
    """Tell whether a test that has just crashed is to be tried again; waits for the delay that was asked for.

    Args:
        item: The test.
        attempts: Made before the one that crashed.
    """
    plugin = _plugin(item.config)
    if plugin is None:
        return False
    option = item.config.option
    if getattr(option, "only_rerun", None) or getattr(option, "rerun_except", None):
        return False  # these choose by exceptions, and a crash has none
    reruns = plugin.get_reruns_count(item)
    if not reruns or attempts >= reruns:
        return False
    delay = plugin.get_reruns_delay(item)
    if delay:
        factor = getattr(plugin, "get_reruns_delay_backoff_factor", None)
        time.sleep(delay * (factor(item) if factor is not None else 1.0) ** attempts)
    return True
