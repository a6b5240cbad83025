"""Keeps the chain of snapshots as the tests need it: one is made or ended at a time, while tests run."""

from __future__ import annotations

import functools
import itertools
import selectors
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import forkcore
from pytest_forkiso import _private
from pytest_forkiso._chain import Chain
from pytest_forkiso._config import is_forked, item_timeout
from pytest_forkiso._endings import Endings
from pytest_forkiso._memory import WORTH_IT
from pytest_forkiso._plan import Planner
from pytest_forkiso._snapshot import CLOSING_TIME, Snapshot, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from pytest_forkiso._chain import Missing
    from pytest_forkiso._child_source import ChildSource
    from pytest_forkiso._config import Settings
    from pytest_forkiso._events import Event
    from pytest_forkiso._file_templates import FileTemplates
    from pytest_forkiso._plan import Fixture
    from pytest_forkiso._replay import Replay
    from pytest_forkiso._summary import Statistics


class Sharing:
    """Owns the snapshots.

    Attributes:
        endings: What came of teardowns, for the test that is reported next.
    """

    def __init__(
        self,
        session: pytest.Session,
        settings: Settings,
        source: ChildSource,
        selector: selectors.BaseSelector,
        *,
        files: FileTemplates,
        replay: Replay,
        statistics: Statistics,
    ) -> None:
        self._session = session
        self._settings = settings
        self._source = source
        self._selector = selector
        self._files = files
        self._replay = replay
        self._statistics = statistics
        self._position = {id(item): index for index, item in enumerate(session.items)} if source.shares else {}
        self._planner = Planner(settings)
        self._chain = Chain(self._planner)
        self._is_worker = hasattr(session.config, "workerinput")
        self._retired: list[Snapshot] = []  # of no use for later tests; the outermost first
        self._crashed: dict[int, str] = {}  # by the identity of the definition, and what is to be said of it
        self._work: Work | None = None
        self._closing_deadline: float | None = None  # for all that is torn down when the run is over
        self._closing: deque[tuple[Snapshot, pytest.Item]] = deque()
        self.endings = Endings(replay)

    @property
    def is_on(self) -> bool:
        """This run shares fixtures."""
        return self._source.shares

    # ---------------------------------------------------------------------------------------------------- before a test

    @property
    def is_busy(self) -> bool:
        """A snapshot is being made or ended."""
        return self._work is not None or bool(self._closing)

    def is_ready(self, upcoming: Callable[[], Iterator[pytest.Item]]) -> bool:
        """Tell whether the next test can be started; if not, something is under way that brings it nearer.

        Args:
            upcoming: Gives the tests that are not started, in their order; there is one at least.
        """
        if not self.is_on:
            return True
        if not self.is_busy:
            item = next(upcoming())
            self._retire(self._outdated(item), item)
            self._extend(item, upcoming)
        return not self.is_busy

    def has_all(self, item: pytest.Item) -> bool:
        """Tell whether the chain is as a test needs it."""
        if self.is_busy or self._outdated(item):
            return False
        return self._files.holder(item) is None or not self._chain.lacks(item)

    def base(self, item: pytest.Item) -> Snapshot | None:
        """Give the snapshot that a test starts from; None for the template above them all."""
        return self._chain.base(item) if self.is_on and not self._is_foreign(item) else None

    def shares(self, item: pytest.Item) -> bool:
        """Tell whether a test may find fixtures that are set up."""
        return self.is_on and self._planner.limit(item) > 0 and self._files.holder(item) is not None

    def _is_foreign(self, item: pytest.Item) -> bool:
        """Tell whether the chain begins at a template that has not collected this test."""
        return bool(self._chain.links) and self._chain.links[0].root is not self._files.holder(item)

    def _outdated(self, item: pytest.Item | None) -> list[Snapshot]:
        return self._chain.outdated(None if item is not None and self._is_foreign(item) else item)

    def roots(self) -> list[forkcore.Template]:
        """Give the templates below all snapshots that are there."""
        return [link.root for link in self._all()]

    def started(self, base: Snapshot | None) -> None:
        """Note that a test was started from a snapshot."""
        if base is not None:
            base.children += 1
            for link in base.path:
                link.users += 1

    # ------------------------------------------------------------------------------------------------------- making one

    def _extend(self, item: pytest.Item, upcoming: Callable[[], Iterator[pytest.Item]]) -> None:
        root = self._files.holder(item)
        if self.is_busy or root is None:
            return
        # A worker of pytest-xdist hears of its tests one by one.
        later = upcoming() if self._is_worker else self._from(item)
        following = itertools.takewhile(lambda each: self._files.share(item, each), later)
        missing = self._chain.missing(item, following, is_all=not self._is_worker)
        if missing is None:
            return
        node = missing.fixtures[0].node
        users = itertools.takewhile(lambda each: node in each.listchain(), upcoming())
        self._make(missing, root, sum(1 for _ in itertools.islice(users, WORTH_IT)) if missing.is_all else 0)

    def _from(self, item: pytest.Item) -> Iterator[pytest.Item]:
        """Give a test and all that follow it, those as well that the scheduler does not know of yet."""
        items = itertools.islice(self._session.items, self._position[id(item)], None)
        return (each for each in items if is_forked(each, self._settings))

    def _make(self, missing: Missing, root: forkcore.Template, forks: int) -> None:
        above = self._chain.links[-1].template if self._chain.links else root
        allowed = self._settings.share.allowed
        template = above.fork(allow_hazards=bool(allowed))
        snapshot = Snapshot(template, above, self._chain.links, missing.item, missing.fixtures)
        snapshot.watch(self._selector)
        self._chain.links.append(snapshot)
        self._statistics.snapshots += 1
        wanted = tuple(
            (each.name, each.depth, each.name in allowed, self._crashed.get(id(each.definition)))
            for each in missing.fixtures
        )
        self._begin("set_up", snapshot, missing.item, wanted, forks)

    def _begin(self, kind: str, snapshot: Snapshot, item: pytest.Item, *values: object) -> None:
        work = Work(snapshot, item, kind, self._source.extra_slot, item_timeout(item, self._settings))
        self._work = work
        self._selector.register(work.channel, selectors.EVENT_READ, functools.partial(self._hear, work))
        try:
            work.begin(self._position[id(item)], self._settings.alive_timeout, *values)
            if self._closing_deadline is not None:
                work.end_by(self._closing_deadline, CLOSING_TIME)
        except forkcore.TemplateDied:
            self._finish(work)  # as if it had died of the work

    def _hear(self, work: Work) -> None:
        for event in work.hear():
            path = _private.base_temp(self._session.config) if event[0] == "base_temp" else None
            work.answer((event[0], path))
        if work.is_over:
            self._finish(work)

    def _finish(self, work: Work) -> None:
        self._selector.unregister(work.channel)
        try:
            self._conclude(work, work.last_word)
        finally:
            work.close()
            self._work = None
            self._close_next()

    def _conclude(self, work: Work, word: Event | None) -> None:
        if word is None:
            self._note_death(work)
        elif word[0] == "made":
            self._note_made(work, *word[1:])
        elif word[0] == "ended":
            self._note_ended(work, word[1])
        elif self._closing_deadline is None:
            self._replay.last_word(word)  # raises what the fixture has raised: it ends the run

    def _note_made(self, work: Work, begun: int, failed: list[int], problem: list[str] | None) -> None:
        snapshot = work.snapshot
        if problem is None:
            snapshot.failed = {id(snapshot.fixtures[index].definition) for index in failed}
            snapshot.fixtures = snapshot.fixtures[:begun]
            for event in work.events:
                self._replay.outside(work.item, event)
            return
        self._exclude(snapshot.fixtures[begun - 1], f"its set-up leaves {', '.join(problem)}")
        self._drop(snapshot)

    def _exclude(self, fixture: Fixture, reason: str) -> None:
        self._planner.exclude(fixture.definition, reason)
        self._statistics.unshared[fixture.name] = reason

    def _note_death(self, work: Work) -> None:
        if work.kind == "set_up" and not work.snapshot.origin.is_usable:
            self._drop(work.snapshot)  # it is made once more, from another template
            return
        text = work.describe_death(self._settings.output_limit)
        sections = work.output(self._settings.output_limit)
        self._statistics.crashes += self._closing_deadline is None
        if work.kind == "tear_down":
            self.endings.add_death(text, sections)
            self._end(work.snapshot)
            return
        if work.current is None:
            # It is none's fault, so that another attempt would end in the same way: tests go without a snapshot.
            for fixture in work.snapshot.fixtures:
                self._exclude(fixture, f"there is no snapshot: {text.splitlines()[0]}")
        else:
            shown = "".join(f"\n--- {title} ---\n{output.rstrip()}" for title, output in sections)
            self._crashed[id(work.current.definition)] = text + shown
        self._drop(work.snapshot)

    def _drop(self, snapshot: Snapshot) -> None:
        """Take a link off the chain, or off those to be torn down: what it should have held is not there."""
        if snapshot in self._chain.links:
            self._chain.links.remove(snapshot)
        self._closing = deque(pair for pair in self._closing if pair[0] is not snapshot)
        self._end(snapshot)

    # ----------------------------------------------------------------------------------------------------- after a test

    def is_through(self, item: pytest.Item, base: Snapshot | None, following: pytest.Item | None) -> bool:
        """Tell whether all has been torn down that ends with a test.

        Args:
            item: That is over, and all before it are reported.
            base: That it was started from; None where this was told before.
            following: The test that is next; None where there is none.
        """
        if base is not None:
            for link in base.path:
                link.users -= 1
        if not self.is_busy:
            self._retire(self._outdated(following), item)
        return not self.is_busy

    def reaped(self, base: Snapshot | None) -> None:
        """Note that the process of a test is gone."""
        if base is not None:
            base.children -= 1
            self._close_next()  # not before: a teardown that crashes would take exit statuses with it

    def _retire(self, links: list[Snapshot], item: pytest.Item) -> None:
        """Have links torn down, as soon as no test needs them; the last one first."""
        self._retired += links
        del self._chain.links[len(self._chain.links) - len(links) :]
        unused = [link for link in self._retired if link.users == 0]
        self._retired = [link for link in self._retired if link.users]
        self._closing.extend((link, item) for link in reversed(unused))
        self._close_next()

    def _close_next(self) -> None:
        if self._work is None and self._closing and not self._closing[0][0].children:
            snapshot, item = self._closing.popleft()
            self._begin("tear_down", snapshot, item)

    def _note_ended(self, work: Work, report: dict[str, Any] | None) -> None:
        for event in work.events:
            self._replay.outside(work.item, event)
        if report is not None:
            self.endings.add_report(report)
        self._end(work.snapshot)

    def _end(self, snapshot: Snapshot) -> None:
        """Close the template of a snapshot that is torn down."""
        self._source.forget(snapshot.template)
        snapshot.close()

    # ------------------------------------------------------------------------------------------------------ its losses

    @property
    def template(self) -> forkcore.Template:
        """The template that the one is forked from in which something is done; or that of them all."""
        return self._source.template if self._work is None else self._work.snapshot.origin

    def lost(self) -> list[Snapshot]:
        """Give the snapshots whose template is gone, but for one that has died of its work."""
        at_work = None if self._work is None else self._work.snapshot
        return [link for link in self._all() if link is not at_work and not link.template.is_usable]

    def _all(self) -> list[Snapshot]:
        at_work = [] if self._work is None else [self._work.snapshot]
        known = [*self._chain.links, *self._retired, *(snapshot for snapshot, _ in self._closing), *at_work]
        return list(dict.fromkeys(known))

    def drop_lost(self, snapshot: Snapshot) -> None:
        """Take a snapshot away that is gone, with those above it: they are set up once more where they are needed."""
        if snapshot in self._chain.links:
            above = self._chain.links[self._chain.links.index(snapshot) + 1 :]
            self._retire(above, snapshot.item)
        self._retired = [link for link in self._retired if link is not snapshot]
        self._drop(snapshot)

    def is_dismantled(self, item: pytest.Item) -> bool:
        """Tell whether nothing is set up; where something is, see to its end.

        Args:
            item: The next test.
        """
        if not self.is_busy:
            self._retire(list(self._chain.links), item)
        return not (self.is_busy or self._retired or self._chain.links)

    # ---------------------------------------------------------------------------------------------------------- the end

    def seconds_left(self) -> float | None:
        """Give the seconds until `overdue` has to be called; None for never."""
        return None if self._work is None else self._work.seconds_left()

    def grant(self) -> None:
        """Give work the time to begin once more: it was a template that was not there."""
        if self._work is not None:
            self._work.grant()

    def overdue(self) -> None:
        """Act on work that takes too long."""
        if self._work is not None and self._work.seconds_left() == 0.0:
            self._work.overdue()

    def pids(self) -> set[int]:
        """Give the process ids of the templates."""
        return {link.template.pid for link in [*self._chain.links, *self._retired] if link.template.is_usable}

    def interrupt(self, grace: float) -> None:
        """Break off a set-up or teardown, as Ctrl-C does.

        Args:
            grace: Seconds until it is ended.
        """
        if self._work is not None:
            self._work.interrupt(grace)

    def close(self) -> None:
        """Tear down what is still set up, and wait for that; no test runs any more."""
        self._closing_deadline = time.monotonic() + CLOSING_TIME
        links = [*self._retired, *self._chain.links]
        for link in links:
            link.users = 0
        if self._work is not None:
            self._work.end_by(self._closing_deadline, CLOSING_TIME)
        if links:
            self._retire(list(self._chain.links), links[-1].item)
        try:
            while self.is_busy:
                for key, _ in self._selector.select(self.seconds_left()):
                    key.data()
                self.overdue()
        finally:
            if self._work is not None:  # another Ctrl-C
                self._work.signal(signal.SIGKILL)
