"""The loop that runs forked tests among the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import forkcore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_forkiso._scheduler import Scheduler
    from pytest_forkiso._session import ForkedSession


class OwnLoop:
    """Runs all tests: those that are not forked in this process, as pytest does."""

    def __init__(self, forked: ForkedSession) -> None:
        self._forked = forked

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run them."""
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return None  # pytest's own loop has the words for it
        source = self._forked.make_source(session)
        with source.forking() as fork:
            template = None if fork is None else forkcore.fork_here(**fork)
        source.open(template)
        with self._forked.scheduler(session, source) as scheduler:
            stretches = list(_stretches(self._forked, session.items))
            for number, (is_forked, items) in enumerate(stretches):
                # Stretches of the two kinds take turns.
                later = stretches[number + 2 : number + 3]
                following = later[0][1][0] if later else None
                if not is_forked:
                    self._run_here(session, items, scheduler)
                elif self._forked.settings.overlaps:
                    scheduler.run_beside(items, following)
                else:
                    scheduler.run(items, following)
            scheduler.run(())
        return True

    def _run_here(self, session: pytest.Session, items: list[pytest.Item], scheduler: Scheduler) -> None:
        for item in items:
            if self._forked.settings.overlaps:
                scheduler.run_beside()
            # Fixtures stay set up over the forked tests in between: those do not see them.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=self._next_here(session, item))
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)

    def _next_here(self, session: pytest.Session, item: pytest.Item) -> pytest.Item | None:
        if self._followers is None:
            here = [each for each in session.items if not self._forked.is_forked(each)]
            self._followers = {id(each): after for each, after in zip(here, [*here[1:], None], strict=True)}
        return self._followers[id(item)]

    _followers: dict[int, pytest.Item | None] | None = None


def _stretches(forked: ForkedSession, items: list[pytest.Item]) -> Iterator[tuple[bool, list[pytest.Item]]]:
    """Split the tests, in their order, into stretches of forked ones and of others."""
    stretch: list[pytest.Item] = []
    for item in items:
        if stretch and forked.is_forked(stretch[0]) != forked.is_forked(item):
            yield forked.is_forked(stretch[0]), stretch
            stretch = []
        stretch.append(item)
    if stretch:
        yield forked.is_forked(stretch[0]), stretch
