"""One pytest session: which of its tests are forked.

Every run of pytest loads this module, where the plugin is installed; what forks tests is loaded where there are any.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from pytest_forkiso import _baseline, _neighbours, _xdist
from pytest_forkiso._choice import Choice
from pytest_forkiso._collected import NAME, CollectedList
from pytest_forkiso._config import Settings, check_marker, is_forked, item_share
from pytest_forkiso._inner import is_inner
from pytest_forkiso._share_config import SCOPES
from pytest_forkiso._summary import Statistics, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_forkiso._child_source import ChildSource
    from pytest_forkiso._learning import Learning
    from pytest_forkiso._scheduler import Scheduler
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
        self._notes: list[str] = []
        self._known = CollectedList()
        self._learning: Learning | None = None
        self._collecting: Collecting | None = None

    def begin(self, session: pytest.Session) -> None:
        """Let a template begin to collect by itself, where it is known already that one will be needed.

        Raises:
            pytest.UsageError: It cannot be started.
        """
        config = session.config
        if _xdist.is_controller(config):
            config.pluginmanager.register(_xdist.Controller(self.statistics), "forkiso-controller")
            self._learn(config)
        if not _runs_tests(config):
            return
        if _xdist.is_worker(config):
            config.pluginmanager.register(_xdist.WorkerSummary(self), "forkiso-worker-summary")
        config.pluginmanager.register(self._known, NAME)
        watch = _baseline.of(config).watch
        watch.resume()
        kind = self.settings.template
        collects_itself = kind in _COLLECT_THEMSELVES or (kind == "auto" and watch.is_unsafe_from_the_start)
        if self.settings.forks_all and collects_itself:
            self._begin_collecting(config)

    def _begin_collecting(self, config: pytest.Config) -> Collecting:
        from pytest_forkiso._sources import begin_collecting

        self._collecting = begin_collecting(config, self.settings, self._known)
        return self._collecting

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
        together = _neighbours.stay_together(chosen)
        self._notes = together.lines
        chosen = together.others
        for item in chosen:
            check_marker(item, self.settings)
        if not chosen:
            self.close()
            return
        self._notes += _neighbours.check(config, chosen)
        from pytest_forkiso._sources import can_fork

        if not can_fork():
            raise pytest.UsageError(
                "tests cannot be forked on this platform: it has no fork(); run them without --forked"
            )
        self.choice = self._choose(config)
        self._forked = {id(item) for item in chosen}
        _neighbours.register(config)
        self._learn(config)
        self._shares = any(item_share(item, self.settings) != SCOPES[0] for item in chosen)
        manager = config.pluginmanager
        if manager.hasplugin(_LOOP):
            manager.unregister(name=_LOOP)  # pytest-xdist says with --looponfail once more what pytest has said
        manager.register(self._make_loop(config), _LOOP)

    def _learn(self, config: pytest.Config) -> None:
        if self.settings.learns_preload:
            from pytest_forkiso._learning import Learning

            self._learning = Learning()
            config.pluginmanager.register(self._learning, "forkiso-learning")

    def _make_loop(self, config: pytest.Config) -> object:
        if not _xdist.is_worker(config):
            from pytest_forkiso._loop import OwnLoop

            return OwnLoop(self)
        if self.settings.jobs == 1:
            return _xdist.WorkerLoop(self)
        from pytest_forkiso._xdist_jobs import WorkerJobsLoop, find_interactor

        return WorkerJobsLoop(self, find_interactor(config))

    def _choose(self, config: pytest.Config) -> Choice:
        from pytest_forkiso._sources import choose_source

        choice = choose_source(config, self.settings)
        if choice.kind not in _COLLECT_THEMSELVES:
            self.close()
            return choice
        collecting = self._collecting or self._begin_collecting(config)
        hazards = ", ".join(collecting.wait().hazards)
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
        """Give where children come from; it is not open yet. See `ChildSource`."""
        from pytest_forkiso._child_source import ChildSource

        assert self.choice is not None  # noqa: S101 - only loops that `select` has registered ask
        collecting, self._collecting = self._collecting, None
        count = len(self._forked)
        return ChildSource(
            session, self.settings, self.choice, count, collecting, known=self._known, shares=self._shares
        )

    def lines(self, config: pytest.Config) -> list[str]:
        """Say which tests are not forked although they should be, and where the template of the others comes from."""
        line = self._template_line(config)
        return self._notes if line is None else [*self._notes, line]

    def _template_line(self, config: pytest.Config) -> str | None:
        """Say where the template comes from, and whether fixtures are not shared for that although they should be."""
        if self.choice is None:
            return None
        kind, reason = self.choice
        line = f"forkiso: template from '{kind}', because {reason}"
        if self._shares and not self.choice.collects:
            return f"{line}; fixtures are shared within one file each"
        if kind == "fork" and config.get_verbosity() < 1:
            return None  # the usual case is worth a line under -v only
        return line

    @contextlib.contextmanager
    def scheduler(self, session: pytest.Session, source: ChildSource) -> Iterator[Scheduler]:
        """End the template and everything below it at the end.

        Args:
            session: After collection.
            source: Open; consumed.
        """
        from pytest_forkiso._scheduler import Scheduler

        try:
            scheduler = Scheduler(session, self.settings, source, self.statistics)
            try:
                yield scheduler
                scheduler.finish()
                if self._learning is not None:
                    self._learning.conclude(source.template)
                if source.template.is_usable:
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
