"""Which snapshots there are, and which of them serve a test: pure bookkeeping."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_forkiso import _private_fixtures as machinery
from pytest_forkiso._lifetimes import Lifetimes, fits
from pytest_forkiso._share_config import SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_forkiso._plan import Fixture, Plan, Planner
    from pytest_forkiso._snapshot import Snapshot


class Missing(NamedTuple):
    """What one more snapshot is to hold.

    Attributes:
        item: The first test that needs it.
        fixtures: Of one node, in their order.
        is_all: The test that is next needs no other one then: it is forked from this.
    """

    item: pytest.Item
    fixtures: list[Fixture]
    is_all: bool


class Chain:
    """Snapshots, each forked from the one before.

    Attributes:
        links: The outermost first.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.links: list[Snapshot] = []

    def base(self, item: pytest.Item) -> Snapshot | None:
        """Give the snapshot that a test starts from; None for the template above them all."""
        links = self._permitted(item)
        return links[-1] if links else None

    def outdated(self, item: pytest.Item | None) -> list[Snapshot]:
        """Give the links that are done when this test is next, the outermost first; all where there is no next one."""
        if item is None:
            return list(self.links)
        nodes = item.listchain()
        plan = {id(fixture.definition): fixture for fixture in self._planner.plan(item)}
        for index, link in enumerate(self.links):
            if link.node not in nodes or not all(fits(fixture, plan) for fixture in link.fixtures):
                return self.links[index:]
        return []

    def lacks(self, item: pytest.Item) -> bool:
        """Tell whether something is to be set up for a test, for which no link is outdated."""
        return bool(self._needed(item))

    def missing(self, item: pytest.Item, following: Iterable[pytest.Item], *, is_all: bool = True) -> Missing | None:
        """Give what is to be set up next, on top of the chain; None where all is there.

        Args:
            item: The test that is next; no link is outdated for it.
            following: It, and the tests after it, in their order.
            is_all: None will come after these.
        """
        needed = self._needed(item)
        if not needed:
            return None
        lifetimes = Lifetimes(self._planner, following, is_all=is_all)
        first = lifetimes.first(needed)
        return self._lasting(item, first[0], lifetimes) or Missing(item, first, len(first) == len(needed))

    def _needed(self, item: pytest.Item) -> list[Fixture]:
        if len(self._permitted(item)) < len(self.links):
            return []  # it must not have what the others share, and others still need that
        there = {id(fixture.definition) for link in self.links for fixture in link.fixtures}
        return [fixture for fixture in self._reached(item) if id(fixture.definition) not in there]

    def _lasting(self, item: pytest.Item, first: Fixture, lifetimes: Lifetimes) -> Missing | None:
        """Give fixtures that outlast one, and that tests before its end will need: on top they would end with it."""
        end, nodes = lifetimes.end(first), item.listchain()
        there = {id(fixture.definition): fixture for link in self.links for fixture in link.fixtures}
        known = {*there, *(id(fixture.definition) for fixture in self._planner.plan(item))}
        for place, later in lifetimes.before(end):
            lasting: list[Fixture] = []
            for fixture in self._reached(later):
                is_new = id(fixture.definition) not in known and fixture.node in nodes
                if is_new and lifetimes.end(fixture, place) > end and _has_needs(fixture, there, lasting):
                    lasting.append(fixture)
            if lasting:
                return Missing(later, lifetimes.first(lasting, place), is_all=False)
            # Until then a test may use the same one with another parameter.
            known.update(id(fixture.definition) for fixture in self._planner.plan(later))
        return None

    def _reached(self, item: pytest.Item) -> Plan:
        """Give what a test's setup will come to: it ends with the first fixture that is known to have failed."""
        plan = self._planner.plan(item)
        failed = {key for link in self.links for key in link.failed}
        end = min((fixture.place for fixture in plan if id(fixture.definition) in failed), default=len(plan))
        return tuple(fixture for fixture in plan if fixture.place < end)

    def _permitted(self, item: pytest.Item) -> list[Snapshot]:
        limit = self._planner.limit(item)
        for index, link in enumerate(self.links):
            if SCOPES.index(link.scope) > limit:
                return self.links[:index]
        return self.links


def _has_needs(fixture: Fixture, there: dict[int, Fixture], chosen: list[Fixture]) -> bool:
    """Tell whether what a fixture depends on is set up as it needs it, or has been chosen to be."""
    return all(
        other in chosen
        or (fits(other, there) and id(other.definition) in there)
        or machinery.is_mere_value(other.definition)
        for other in fixture.needs
    )
