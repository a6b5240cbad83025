"""Which snapshots there are, and which of them serve a test: pure bookkeeping."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_forkiso._plan import groups
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
            if link.node not in nodes or not all(_fits(fixture, plan) for fixture in link.fixtures):
                return self.links[index:]
        return []

    def missing(self, item: pytest.Item, upcoming: Iterable[pytest.Item]) -> Missing | None:
        """Give what is to be set up next, on top of the chain; None where all is there.

        Args:
            item: The test that is next; no link is outdated for it.
            upcoming: Tests after it, in their order.
        """
        if len(self._permitted(item)) < len(self.links):
            return None  # it must not have what the others share, and others still need that
        there = {id(fixture.definition) for link in self.links for fixture in link.fixtures}
        plan = self._reached(item)
        first = next(groups(fixture for fixture in plan if id(fixture.definition) not in there), [])
        if not first:
            return None
        is_all = sum(id(fixture.definition) not in there for fixture in plan) == len(first)
        there.update(id(fixture.definition) for fixture in plan)
        return self._lasting(first[0], plan, upcoming, there) or Missing(item, first, is_all)

    def _lasting(self, first: Fixture, plan: Plan, upcoming: Iterable[pytest.Item], there: set[int]) -> Missing | None:
        """Give fixtures that outlast one, and that later tests of its node need: on top they would end with it."""
        names = {fixture.name for fixture in plan}
        for item in upcoming:
            if first.node not in item.listchain():
                break
            lasting = [
                fixture
                for fixture in self._reached(item)
                if fixture.rank < first.rank
                and not fixture.varies
                and id(fixture.definition) not in there
                and fixture.name not in names
            ]
            if lasting:
                return Missing(item, next(groups(lasting)), is_all=False)
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


def _fits(fixture: Fixture, plan: dict[int, Fixture]) -> bool:
    wanted = plan.get(id(fixture.definition))
    return wanted is None or fixture.serves(wanted)
