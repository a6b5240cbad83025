"""The loop that runs forked tests among the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
        self._scheduler: Scheduler | None = None  # while another plugin's loop runs

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
            if self._let_others_run(session, scheduler):
                return True
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

    def _let_others_run(self, session: pytest.Session, scheduler: Scheduler) -> bool:
        """Call the loops of other plugins; tell whether one has run the tests, as one that returns a value has."""
        others = _loops_of_others(session.config, self)
        if others is None:
            return False
        self._scheduler = scheduler
        try:
            return others(session=session) is not None
        finally:
            self._scheduler = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a forked test in a child, where the loop of another plugin runs it."""
        if self._scheduler is None or not self._forked.is_forked(item):
            return None
        from pytest_forkiso import _private

        self._scheduler.run([item], nextitem)
        _private.tear_down_to(item.session, nextitem)
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


def _loops_of_others(config: pytest.Config, own: object) -> Any | None:
    """Give what calls the loops of other plugins, but no wrappers, which are around ours; None where there is none.

    Args:
        config: Of the session.
        own: The plugin whose loop is not to be called, beside pytest's.
    """
    manager = config.pluginmanager
    loops = {
        id(implementation.plugin)
        for implementation in manager.hook.pytest_runtestloop.get_hookimpls()
        if not (implementation.wrapper or implementation.hookwrapper)
    } - {id(own), id(manager.get_plugin("main"))}
    if not loops:
        return None
    rest = [plugin for plugin in manager.get_plugins() if id(plugin) not in loops]
    return manager.subset_hook_caller("pytest_runtestloop", rest)


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
