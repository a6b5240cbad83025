"""Children that wait for their tests, and the files that they write to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_forkiso._run import ForkedRun
from pytest_forkiso._slots import SlotTable
from pytest_forkiso._source import Request
from pytest_forkiso._sources import make_source

if TYPE_CHECKING:
    import pytest

    import forkcore
    from pytest_forkiso._config import Settings
    from pytest_forkiso._source import Choice
    from pytest_forkiso._source_exec import Collecting

AHEAD = 1
"""Children that stand ready while the others run."""


class ChildSource:
    """Owns the template, its idle children and the output files of all of them.

    Attributes:
        source: The template, and what its children run.
    """

    def __init__(
        self, session: pytest.Session, settings: Settings, choice: Choice, forks: int, collecting: Collecting | None
    ) -> None:
        """Make the template, and prepare it.

        Args:
            session: After collection.
            settings: Of the run.
            choice: Where the template comes from.
            forks: How many tests are forked, as far as that is known.
            collecting: See `pytest_forkiso._source.Request`.

        Raises:
            pytest.UsageError: A module could not be preloaded, or this process cannot be forked.
            pytest.Session.Interrupted: The template has collected other tests; that is reported.
        """
        # Each child that is about to end still holds its files: twice as many as run at a time, and those ahead.
        self._table = SlotTable.create(2 * settings.jobs + AHEAD + 1)
        self._free = list(reversed(self._table.slots))
        self._idle: list[forkcore.Child] = []
        try:
            self.source = make_source(choice, Request(session, settings, self._table, forks, collecting))
        except BaseException:
            self._table.close()
            raise

    @property
    def template(self) -> forkcore.Template:
        """The template that children are forked from."""
        return self.source.template

    def has_free_slot(self) -> bool:
        """Tell whether another test can be started."""
        return bool(self._free)

    def take(self) -> ForkedRun:
        """Give a child that waits for its test, and its files; there must be a free slot."""
        if not self._idle:
            self.fork_ahead(1)
        slot = self._free.pop()
        slot.clear()
        return ForkedRun(self._idle.pop(0), slot, self._table)

    def fork_ahead(self, count: int) -> None:
        """Have at least so many children ready; does not wait for them."""
        while len(self._idle) < count:
            self._idle.append(self.template.fork().run(self.source.target, die_with_parent=True, reseed=False))

    def give_back(self, run: ForkedRun) -> None:
        """Take the files of a child that has ended."""
        run.close()
        self._free.append(run.slot)

    def idle_pids(self) -> set[int]:
        """Give the process ids of the idle children; waits until they are forked."""
        return {child.pid for child in self._idle}

    def close(self) -> None:
        """End the idle children and the template."""
        for child in self._idle:
            child.channel.close()
            child.detach()
        self._idle.clear()
        self.template.close()
        self._table.close()
