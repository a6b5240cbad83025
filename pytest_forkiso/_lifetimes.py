"""How long fixtures live, which decides on their order in the chain: who lives longest is set up first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from pytest_forkiso._plan import Fixture, Planner

End = tuple[float, int, bool]
"""When a fixture is torn down: before which of the tests, counted from the next one; of those that end together, the
widest last; and where it is not known how the tests go on, first what another parameter may replace."""


class Lifetimes:
    """When pytest would tear fixtures down, as the tests follow on each other."""

    def __init__(self, planner: Planner, items: Iterable[pytest.Item], *, is_all: bool) -> None:
        """Begin.

        Args:
            planner: Knows what they use.
            items: The next test, and those after it, in their order; looked at as far as is needed.
            is_all: None will come after them.
        """
        self._planner = planner
        self._rest = iter(items)
        self._items: list[pytest.Item] = []
        self._is_all = is_all
        self._ends: dict[Fixture, End] = {}

    def before(self, end: End) -> Iterator[tuple[int, pytest.Item]]:
        """Give the tests that come before something ends, and their places."""
        place = 0
        while place < end[0] and (item := self._item(place)) is not None:
            yield place, item
            place += 1

    def end(self, fixture: Fixture, place: int = 0) -> End:
        """Give when a fixture ends.

        Args:
            fixture: In the plan of a test.
            place: Of that test.
        """
        if fixture not in self._ends:
            last = self._find_end(fixture, place)
            self._ends[fixture] = last, -len(fixture.node.listchain()), self._is_all or not fixture.varies
        return self._ends[fixture]

    def first(self, fixtures: Iterable[Fixture], place: int = 0) -> list[Fixture]:
        """Give those that are to be set up first, of one node and with one end, in pytest's order.

        Args:
            fixtures: In the plan of a test, one at least; in pytest's order.
            place: Of that test.
        """
        ends = {fixture: self.end(fixture, place) for fixture in fixtures}
        latest = max(ends.values())
        found = [fixture for fixture, end in ends.items() if end == latest]
        return [fixture for fixture in found if fixture.node is found[0].node]

    def _item(self, place: int) -> pytest.Item | None:
        while len(self._items) <= place:
            item = next(self._rest, None)
            if item is None:
                return None
            self._items.append(item)
        return self._items[place]

    def _find_end(self, fixture: Fixture, place: int) -> float:
        used = _closure(fixture) if fixture.varies else []
        while (item := self._item(place)) is not None:
            if fixture.node not in item.listchain():
                return place
            if used:
                plan = {id(each.definition): each for each in self._planner.plan(item)}
                if not all(fits(each, plan) for each in used):
                    return place
            place += 1
        return math.inf


def fits(fixture: Fixture, plan: dict[int, Fixture]) -> bool:
    """Tell whether a fixture that is set up may stay so for a test.

    Args:
        fixture: That is set up.
        plan: Of the test, by the identity of the definitions.
    """
    wanted = plan.get(id(fixture.definition))
    return wanted is None or fixture.serves(wanted)


def _closure(fixture: Fixture) -> list[Fixture]:
    return [fixture, *(each for other in fixture.needs for each in _closure(other))]
