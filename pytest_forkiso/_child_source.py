"""Children that wait for their tests, and the files that they write to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import forkcore
from pytest_forkiso._file_template import TARGET as FILE_TARGET
from pytest_forkiso._groups import open_groups
from pytest_forkiso._ladder import make_living_source, next_source, source_again
from pytest_forkiso._memory import WORTH_IT
from pytest_forkiso._run import ForkedRun
from pytest_forkiso._slots import SlotTable
from pytest_forkiso._source import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_forkiso._choice import Choice
    from pytest_forkiso._collected import CollectedList
    from pytest_forkiso._config import Settings
    from pytest_forkiso._snapshot import Snapshot
    from pytest_forkiso._source_exec import Collecting

AHEAD = 1
"""Children that stand ready while the others run."""


class ChildSource:
    """Owns the template, its idle children and the output files of all of them.

    Attributes:
        source: The template, and what its children run.
        extra_slot: Files for what is done in a template.
        shares: Fixtures may be set up in templates.
        groups: Control groups of tests; None where there are none.
    """

    def __init__(
        self,
        session: pytest.Session,
        settings: Settings,
        choice: Choice,
        forks: int,
        collecting: Collecting | None,
        *,
        known: CollectedList,
        shares: bool = False,
    ) -> None:
        """Have everything but a template: that is made by `forking`, a fork by the caller, and `open`.

        Args:
            session: After collection.
            settings: Of the run.
            choice: Where the template comes from.
            forks: How many tests are forked, as far as that is known.
            collecting: See `pytest_forkiso._source.Request`.
            known: The tests of this process, for a template that collects by itself.
            shares: Fixtures are to be shared.
        """
        # Each child that is about to end still holds its files: twice as many as run at a time, and those ahead.
        # One more is for what is done in templates.
        self._table = SlotTable.create(2 * settings.jobs + AHEAD + 2)
        self.extra_slot, *free = self._table.slots
        self._free = list(reversed(free))
        self._idle: list[tuple[forkcore.Template, forkcore.Child]] = []
        self._former: list[forkcore.Template] = []
        self._choice = choice
        self._known = known
        self._request = Request(session, settings, self._table, forks, collecting)
        self.shares = shares
        # Before there is a template: what is forked from here on is where this process is.
        self.groups = open_groups(session.items)
        self._spared: forkcore.Template | None = None

    @contextlib.contextmanager
    def forking(self) -> Iterator[dict[str, Any] | None]:
        """Have this process forked, where the template comes from that; or else nothing.

        The caller forks, in its own frame and nowhere deeper: what is on the stack then is on that of each test, and
        leaves it less room for recursion than it has in pytest's own process.

        Yields:
            Arguments for `forkcore.fork_here`; None where no fork is needed.

        Raises:
            pytest.UsageError: This process cannot be forked.
        """
        try:
            if self._choice.kind == "fork":
                from pytest_forkiso._source_fork import forking

                with forking(self._request) as arguments:
                    yield arguments
            else:
                yield None
        except BaseException:
            self._release()
            raise

    def open(self, forked: forkcore.Template | None) -> None:
        """Make the template, and prepare it.

        Args:
            forked: This process, as `forking` wanted it; consumed.

        Raises:
            pytest.UsageError: A module could not be preloaded, or no template shows life.
            pytest.Session.Interrupted: The template has collected other tests; that is reported.
        """
        try:
            self.source = make_living_source(self._choice, self._request._replace(forked=forked), self._known)
        except BaseException:
            self._release()
            raise
        if self.shares:
            self.spare()  # its snapshots are templates, too

    @property
    def template(self) -> forkcore.Template:
        """The template that children are forked from."""
        return self.source.template

    def climb(self, why: str) -> bool:
        """Take the next source of the ladder; children of the one before go on, but for those that wait for a test.

        Args:
            why: What is wrong with this one.

        Returns:
            False where there is no other, or fixtures are set up in this one.
        """
        if self.shares:
            return False
        following = next_source(self.source.choice, self._request, self._known, why)
        if following is None:
            return False
        for _, child in self._idle:
            child.kill()
            child.detach().close()
        self._idle.clear()
        self._former.append(self.template)
        self.source = following
        return True

    def renew(self) -> None:
        """Make a template in place of one that is gone; no child may be there.

        Raises:
            pytest.UsageError: There can be none.
        """
        self.template.close()
        self.source = source_again(self.source.choice, self._request, self._known)

    def has_free_slot(self) -> bool:
        """Tell whether another test can be started."""
        return bool(self._free)

    def take(self, base: Snapshot | None = None, root: forkcore.Template | None = None) -> ForkedRun:
        """Give a child that waits for its test, and its files; there must be a free slot.

        Args:
            base: That the child is forked from; None for the template below all of them.
            root: That template, where it is of the test's file alone; None for that of all tests.
        """
        self.fork_ahead(1, base, root)
        slot = self._free.pop()
        slot.clear()
        root = root or self.template
        template = root if base is None else base.template
        index = next(index for index, (origin, _) in enumerate(self._idle) if origin is template)
        return ForkedRun(self._idle.pop(index)[1], slot, self._table, root, base)

    def fork_ahead(self, count: int, base: Snapshot | None = None, root: forkcore.Template | None = None) -> None:
        """Have at least so many children ready; does not wait for them."""
        template = base.template if base is not None else root or self.template
        target = self.source.target if root is None else FILE_TARGET
        missing = count - sum(origin is template for origin, _ in self._idle)
        for _ in range(missing):
            child = template.fork().run(target, die_with_parent=True, reseed=False)
            self._idle.append((template, child))

    def spare(self) -> None:
        """Let each further fork of the template cost less, once; does not wait for that.

        It takes a while, in which the template forks nothing: the first tests should be on their way.
        """
        if self._spared is not self.template and self._request.forks >= WORTH_IT:
            self._spared = self.template
            self.template.eval(f"spare({self._request.forks})")

    def forget(self, template: forkcore.Template) -> None:
        """End the idle children of a template."""
        for origin, child in self._idle:
            if origin is template:
                child.channel.close()
                child.detach()
        self._idle = [pair for pair in self._idle if pair[0] is not template]

    def give_back(self, run: ForkedRun) -> None:
        """Take the files of a child that has ended."""
        run.close()
        self._free.append(run.slot)

    def idle_pids(self) -> set[int]:
        """Give the process ids of the idle children; waits until they are forked."""
        found = set()
        for _, child in self._idle:
            with contextlib.suppress(forkcore.TemplateDied):
                found.add(child.pid)
        return found

    def close(self) -> None:
        """End the idle children and the template."""
        for template in [origin for origin, _ in self._idle]:
            self.forget(template)
        for template in [self.template, *self._former]:
            template.close()
        self._release()

    def _release(self) -> None:
        self._table.close()
        if self.groups is not None:
            self.groups.close()
