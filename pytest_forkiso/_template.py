"""The template: forked from pytest itself, prepared, and asked for children."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import forkcore
import pytest

from pytest_forkiso import _hazards
from pytest_forkiso._inchild import InChild
from pytest_forkiso._run import ForkedRun
from pytest_forkiso._slots import PhaseBoard, Slot
from pytest_forkiso._stream import flush_streams

if TYPE_CHECKING:
    from pytest_forkiso._config import Settings

AHEAD = 1
"""Children that stand ready while the others run."""


class ChildSource:
    """Owns the template, its idle children and the output files of all of them."""

    def __init__(self, session: pytest.Session, settings: Settings) -> None:
        """Fork the template from this process, and prepare it.

        Raises:
            pytest.UsageError: A module could not be preloaded, or this process cannot be forked.
        """
        # Each child that is about to end still holds its files: twice as many as run at a time, and those ahead.
        self.slots = [Slot(number) for number in range(2 * settings.jobs + AHEAD + 1)]
        self._free = list(reversed(self.slots))
        self._idle: list[forkcore.Child] = []
        self._board = PhaseBoard(len(self.slots))
        in_child = InChild(session, self.slots, settings.output_limit, self._board)
        flush_streams()
        try:
            self.template = forkcore.fork_here(
                namespace={"prepare": in_child.prepare, "run": in_child.run}, allow_hazards=_hazards.harmless_threads()
            )
        except forkcore.ForkHazard as error:
            self._close_slots()
            raise pytest.UsageError(f"pytest cannot be forked: {error}") from error
        try:
            self._prepare(settings)
        except BaseException:
            self.close()
            raise

    def _prepare(self, settings: Settings) -> None:
        try:
            if settings.preload:
                self.template.preload(*settings.preload).ready()
        except forkcore.RemoteError as error:
            names = ", ".join(settings.preload)
            raise pytest.UsageError(f"--fork-preload {names} failed in the template:\n{_remote_text(error)}") from error
        self.template.eval("prepare()").ready()

    def has_free_slot(self) -> bool:
        """Tell whether another test can be started."""
        return bool(self._free)

    def take(self) -> ForkedRun:
        """Give a child that waits for its test, and its files; there must be a free slot."""
        if not self._idle:
            self.fork_ahead(1)
        slot = self._free.pop()
        slot.clear()
        return ForkedRun(self._idle.pop(0), slot, self._board)

    def fork_ahead(self, count: int) -> None:
        """Have at least so many children ready; does not wait for them."""
        while len(self._idle) < count:
            self._idle.append(self.template.fork().run(":run", die_with_parent=True, reseed=False))

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
        self._close_slots()

    def _close_slots(self) -> None:
        for slot in self.slots:
            slot.close()
        self._board.close()


def _remote_text(error: forkcore.RemoteError) -> str:
    return error.remote_traceback or str(error)


def can_fork() -> bool:
    """Tell whether this platform has what a template needs."""
    return sys.platform != "win32" and hasattr(__import__("os"), "fork")
