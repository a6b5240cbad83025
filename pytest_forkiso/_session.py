"""One pytest session: which tests are forked, and the loop that runs them among the others."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from pytest_forkiso import _baseline, _neighbours, _xdist
from pytest_forkiso._child_source import ChildSource
from pytest_forkiso._config import Settings, check_marker, is_forked, item_share
from pytest_forkiso._exec import CollectedList
from pytest_forkiso._inner import is_inner
from pytest_forkiso._learning import Learning
from pytest_forkiso._scheduler import Scheduler
from pytest_forkiso._share_config import SCOPES
from pytest_forkiso._source import Choice
from pytest_forkiso._sources import begin_collecting, can_fork, can_share, choose_source
from pytest_forkiso._summary import Statistics, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_forkiso._source_exec import Collecting


_COLLECT_THEMSELVES = ("exec", "early")
_LOOP = "forkiso-loop"


class ForkedSession:
    """Chooses the tests that are forked, and registers the plugin that runs them.

    Attributes:
        statistics: Of the children so far.
        choice: Where the template comes from, and why; None where no test is forked.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.statistics = Statistics()
        self.choice: Choice | None = None
        self._forked: set[int] = set()
        self._shares = False
        self._known = CollectedList()
        self._learning = Learning()
        self._collecting: Collecting | None = None

    def begin(self, session: pytest.Session) -> None:
        """Let a template begin to collect by itself, where it is known already that one will be needed.

        Raises:
            pytest.UsageError: It cannot be started.
        """
        config = session.config
        if _xdist.is_controller(config):
            config.pluginmanager.register(_xdist.Controller(), "forkiso-controller")
        if not _runs_tests(config):
            return
        config.pluginmanager.register(self._known, "forkiso-known")
        watch = _baseline.of(config).watch
        watch.resume()
        kind = self.settings.template
        collects_itself = kind in _COLLECT_THEMSELVES or (kind == "auto" and watch.is_unsafe_from_the_start)
        if self.settings.forks_all and collects_itself:
            self._collecting = begin_collecting(config, self.settings, self._known)

    def close(self) -> None:
        """End a template that was not needed."""
        if self._collecting is not None:
            self._collecting.close()
            self._collecting = None

    def select(self, session: pytest.Session) -> None:
        """Look at what was collected.

        Raises:
            pytest.UsageError: A marker is wrong, or this platform cannot fork.
        """
        if not is_inner(session.config):
            _baseline.of(session.config).watch.finish()
        if not _runs_tests(session.config):
            return
        try:
            self._select(session)
        except pytest.UsageError as error:
            if not _xdist.is_worker(session.config):
                raise
            _xdist.refuse(session, error)

    def _select(self, session: pytest.Session) -> None:
        config = session.config
        chosen = [item for item in session.items if is_forked(item, self.settings)]
        for item in chosen:
            check_marker(item, self.settings)
        if not chosen:
            self.close()
            return
        if not can_fork():
            raise pytest.UsageError(
                "tests cannot be forked on this platform: it has no fork(); run them without --forked"
            )
        self.choice = self._choose(config)
        self._forked = {id(item) for item in chosen}
        _neighbours.register(config)
        if self.settings.learns_preload:
            config.pluginmanager.register(self._learning, "forkiso-learning")
        self._shares = any(item_share(item, self.settings) != SCOPES[0] for item in chosen)
        manager = config.pluginmanager
        if manager.hasplugin(_LOOP):
            manager.unregister(name=_LOOP)  # pytest-xdist says with --looponfail once more what pytest has said
        loop = _xdist.WorkerLoop(self) if _xdist.is_worker(config) else _OwnLoop(self)
        manager.register(loop, _LOOP)

    def _choose(self, config: pytest.Config) -> Choice:
        choice = choose_source(config, self.settings)
        if choice.kind not in _COLLECT_THEMSELVES:
            self.close()
            return choice
        if self._collecting is None:
            self._collecting = begin_collecting(config, self.settings, self._known)
        hazards = ", ".join(self._collecting.wait().hazards)
        if not hazards:
            return choice
        self.close()
        if self.settings.template == "auto":
            return Choice("bare", f"a fork would not have these threads: {hazards}")
        raise pytest.UsageError(
            f"the template cannot be forked: no child would have these threads: {hazards}; try --fork-template=bare"
        )

    def is_forked(self, item: pytest.Item) -> bool:
        """Tell whether this test runs in a child."""
        return id(item) in self._forked

    def make_source(self, session: pytest.Session) -> ChildSource:
        """Make the template; see `ChildSource`."""
        assert self.choice is not None  # noqa: S101 - only loops that `select` has registered ask
        collecting, self._collecting = self._collecting, None
        count = len(self._forked)
        return ChildSource(
            session, self.settings, self.choice, count, collecting, known=self._known, shares=self._shares
        )

    def why_unshared(self) -> str:
        """Say why fixtures are not shared although they should be; empty where there is nothing to say."""
        if not self._shares or self.choice is None or can_share(self.choice):
            return ""
        kind, reason = self.choice
        return (
            f"forkiso: template from '{kind}', because {reason}; it has not collected the tests, and shares no fixtures"
        )

    @contextlib.contextmanager
    def scheduler(self, session: pytest.Session, source: ChildSource) -> Iterator[Scheduler]:
        """End the template and everything below it at the end.

        Args:
            session: After collection.
            source: Made by the caller: what is on the stack when the template is forked is on that of each test,
                and leaves it less room for recursion than it has in pytest's own process. Consumed.
        """
        try:
            scheduler = Scheduler(session, self.settings, source, self.statistics)
            try:
                yield scheduler
                scheduler.finish()
                if self.settings.learns_preload:
                    self._learning.conclude(session.config, source.template)
                self.statistics.template_bytes = resident_bytes(source.template.pid)
            finally:
                scheduler.close()
        finally:
            source.close()


def _runs_tests(config: pytest.Config) -> bool:
    """Tell whether this session runs tests, and on its own account."""
    if is_inner(config) or config.option.collectonly:
        return False
    # pytest-xdist's controller runs no tests; its workers do, and have a session like this one.
    return not _xdist.is_controller(config)


class _OwnLoop:
    """Runs all tests: those that are not forked in this process, as pytest does."""

    def __init__(self, forked: ForkedSession) -> None:
        self._forked = forked

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return None  # pytest's own loop has the words for it
        source = self._forked.make_source(session)
        with self._forked.scheduler(session, source) as scheduler:
            stretches = list(_stretches(self._forked, session.items))
            for index, (is_forked, items) in enumerate(stretches):
                following = next((others[0] for is_one, others in stretches[index + 1 : index + 3] if is_one), None)
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
