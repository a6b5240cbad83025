"""pytest-timeout: pytest's own process keeps its deadlines too, in case the test's process cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_forkiso._stream import ReportStream

GRACE = 1.0
"""Seconds that the method "signal" has to fail the test by itself, which gives the better traceback."""


class Neighbour:
    """Tells pytest's own process what timers the plugin sets and cancels in this one."""

    def __init__(self, stream: ReportStream) -> None:
        self._stream = stream

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, settings: Any) -> bool | None:
        """Set the deadline; in place of the method "thread", which ends a process without a report."""
        is_thread = settings.method == "thread"
        seconds = settings.timeout + (0.0 if is_thread else GRACE)
        # As the plugin words it.
        words = f"Failed: Timeout (>{settings.timeout}s) from pytest-timeout."
        self._stream.channel.send(("deadline", seconds, words))
        return True if is_thread else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_cancel_timer(self) -> None:
        """Take the deadline back."""
        self._stream.channel.send(("deadline", None, ""))
