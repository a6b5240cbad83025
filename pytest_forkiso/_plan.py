"""Which fixtures of a test come from a snapshot, and in which order they are set up."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_forkiso import _private_fixtures as machinery
from pytest_forkiso._config import item_share
from pytest_forkiso._share_config import SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from pytest_forkiso._config import Settings
    from pytest_forkiso._private_fixtures import Definition, Node, Parameter


@dataclasses.dataclass(frozen=True, eq=False)
class Fixture:
    """A fixture as one test uses it.

    Attributes:
        name: By which it is asked for.
        depth: 1 for the closest definition of that name, 2 for the one that it overrides, and so on.
        definition: pytest's.
        node: It is torn down with this one.
        scope: Of the fixture, or of its parametrisation.
        parameter: What the test gives to it.
        varies: It, or something that it depends on, is parametrised.
        place: In the order in which pytest would set up what this test uses.
    """

    name: str
    depth: int
    definition: Definition
    node: Node
    scope: str
    parameter: Parameter | None
    varies: bool
    place: int

    @property
    def rank(self) -> tuple[int, bool]:
        """Its place in the chain: wide before narrow, as pytest has it; what varies last: it is replaced alone."""
        return len(self.node.listchain()), self.varies

    def serves(self, other: Fixture) -> bool:
        """Tell whether the value of this one is also that of another use of the same definition.

        pytest keeps one value, whichever node it was made for, until that node is done.
        """
        return _is_same(self.parameter, other.parameter)


Plan = tuple[Fixture, ...]


class Planner:
    """Makes plans, and remembers which fixtures cannot be shared.

    Attributes:
        excluded: Why a fixture is set up in each child, by the identity of its definition.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits: dict[int, int] = {}
        self._plans: dict[int, Plan] = {}
        self.excluded: dict[int, str] = {}

    def plan(self, item: pytest.Item) -> Plan:
        """Give the shared fixtures of a test, in the order in which they are to be set up."""
        if id(item) not in self._plans:
            self._plans[id(item)] = self._make(item)
        return self._plans[id(item)]

    def limit(self, item: pytest.Item) -> int:
        """Give the place among `SCOPES` of the widest scope that a test shares."""
        if id(item) not in self._limits:
            self._limits[id(item)] = SCOPES.index(item_share(item, self._settings))
        return self._limits[id(item)]

    def exclude(self, definition: Definition, reason: str) -> None:
        """Have a fixture, and what depends on it, set up in each child from now on."""
        self.excluded[id(definition)] = reason
        self._plans.clear()

    def _make(self, item: pytest.Item) -> Plan:
        reachable = machinery.definitions(item)
        limit = self.limit(item)
        if reachable is None or limit == 0 or machinery.will_not_run(item):
            return ()
        walk = _Walk(item, reachable, limit, self.excluded, self._settings.share.denied)
        for name in item.fixturenames:  # type: ignore[attr-defined] # items with fixtures have them
            walk.visit(name)
        return tuple(sorted(walk.found, key=lambda fixture: fixture.rank))


class _Walk:
    """Goes through what a test uses, dependencies first, in the order in which pytest would set it up."""

    def __init__(
        self, item: pytest.Item, reachable: Any, limit: int, excluded: dict[int, str], denied: Iterable[str]
    ) -> None:
        self._item = item
        self._reachable = reachable
        self._limit = limit
        self._excluded = excluded
        self._denied = frozenset(denied)
        self._depths: dict[str, int] = {}
        self._seen: dict[int, Fixture | None] = {}
        self.found: list[Fixture] = []

    def visit(self, name: str) -> Fixture | None:
        """Give the fixture, where it can be shared; what it depends on has been added to `found` before it."""
        known = self._reachable.get(name, ())
        depth = self._depths.get(name, 0) + 1  # who asks for its own name means what it overrides
        if depth > len(known):
            return None
        definition = known[-depth]
        if id(definition) not in self._seen:
            self._seen[id(definition)] = None  # a fixture that depends on itself is pytest's to report
            self._depths[name] = depth
            needed = [self.visit(other) for other in definition.argnames if other != "request"]
            self._depths[name] = depth - 1
            fixture = self._make(name, depth, definition, needed)
            self._seen[id(definition)] = fixture
            if fixture is not None:
                self.found.append(fixture)
        return self._seen[id(definition)]

    def _make(self, name: str, depth: int, definition: Definition, needed: list[Fixture | None]) -> Fixture | None:
        given = machinery.parameter(self._item, name)
        scope = given.scope if given is not None else definition.scope
        if not 0 < SCOPES.index(scope) <= self._limit or name in self._denied or id(definition) in self._excluded:
            return None
        if given is None and definition.params is not None:
            return None  # an error of the test's, which pytest reports
        node = machinery.scope_node(self._item, definition, scope)
        if node is None or None in needed:
            return None
        varies = given is not None or any(other is not None and other.varies for other in needed)
        return Fixture(name, depth, definition, node, scope, given, varies, len(self.found))


def chain_of(item: pytest.Item, name: str, depth: int) -> list[tuple[Definition, Parameter | None]]:
    """Give a definition of a name, last, and before it those that override it, closest first."""
    known = (machinery.definitions(item) or {})[name]
    given = machinery.parameter(item, name)
    return [(known[-level], given) for level in range(1, depth + 1)]


def groups(fixtures: Iterable[Fixture]) -> Iterator[list[Fixture]]:
    """Split fixtures, in their order, into those that are set up in one snapshot."""
    group: list[Fixture] = []
    for fixture in fixtures:
        if group and (fixture.node is not group[0].node or fixture.varies):
            yield group
            group = []
        group.append(fixture)
    if group:
        yield group


def _is_same(one: Parameter | None, other: Parameter | None) -> bool:
    """Compare parameters as pytest does for a cached value."""
    if one is None or other is None:
        return one is other
    if one.value is other.value:
        return True
    try:
        return bool(one.value == other.value)
    except (ValueError, RuntimeError):
        return False
