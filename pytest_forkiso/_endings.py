"""What is to be said of the teardown of shared fixtures, and with which test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_forkiso import _failures
from pytest_forkiso._reports import join_teardowns

if TYPE_CHECKING:
    import pytest

    from pytest_forkiso._events import Event
    from pytest_forkiso._replay import Replay
    from pytest_forkiso._reports import Sections


class Endings:
    """Collects what came of teardowns, until the test that was the last to use the fixtures is reported."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._reports: list[dict[str, Any]] = []
        self._deaths: list[tuple[str, Sections]] = []

    def add_report(self, packed: dict[str, Any]) -> None:
        """Add the packed report of a teardown that has failed, or shown something."""
        self._reports.append(packed)

    def add_death(self, text: str, sections: Sections) -> None:
        """Add what became of a process that has ended in a teardown, and what it has shown."""
        self._deaths.append((text, sections))

    def report(self, item: pytest.Item, held: list[Event]) -> None:
        """Report them: as part of the test's own teardown where that can be; failures beside it otherwise.

        Args:
            item: The test.
            held: The event with the report of its own teardown, changed in place; nothing where that is out, or where
                its process has died.
        """
        reports, self._reports = self._reports, []
        deaths, self._deaths = self._deaths, []
        for packed in reports:
            is_joined = bool(held) and join_teardowns(held[0][1], packed)
            if not is_joined and packed["outcome"] != "passed":
                self._replay.packed_report(item, packed)
        for text, sections in deaths:
            self._replay.report(item, _failures.make_teardown_report(item, text, sections))
