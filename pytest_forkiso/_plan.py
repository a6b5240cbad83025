"""Which fixtures of a test come from a snapshot, and in which order they are set up."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

from pytest_forkiso import _private_fixtures as machinery
from pytest_forkiso._config import item_share
from pytest_forkiso._share_config import SCOPES

_PACKAGE = SCOPES.index("package")

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_forkiso._config import Settings
    from pytest_forkiso._private_fixtures import Definition, Node, Parameter


@dataclasses.dataclass(frozen=True, eq=False)
class Fixture:
    """A fixture as one test uses it; or what a package does in place of one.

    Attributes:
        name: By which it is asked for; the file of a package.
        depth: 1 for the closest definition of that name, 2 for the one that it overrides, and so on; 0 for a package.
        definition: pytest's; or the package.
        node: It is torn down with this one, if not before.
        scope: Of the fixture, or of its parametrisation.
        parameter: What the test gives to it.
        needs: Other fixtures that it depends on directly.
        place: In the order in which pytest would set up what this test uses.
    """

    name: str
    depth: int
    definition: Definition | Node
    node: Node
    scope: str
    parameter: Parameter | None
    needs: tuple[Fixture, ...]
    place: int

    @property
    def varies(self) -> bool:
        """It, or something that it depends on, is parametrised."""
        return self.parameter is not None or any(other.varies for other in self.needs)

    def serves(self, other: Fixture) -> bool:
        """Tell whether the value of this one is also that of another use of the same definition.

        pytest keeps one value, whichever node it was made for, until that node is done.
        """
        mine, theirs = (None if each.parameter is None else each.parameter.value for each in (self, other))
        return machinery.is_same_value(mine, theirs)


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
        """Give the shared fixtures of a test, in the order in which pytest would set them up."""
        if id(item) not in self._plans:
            self._plans[id(item)] = self._make(item)
        return self._plans[id(item)]

    def limit(self, item: pytest.Item) -> int:
        """Give the place among `SCOPES` of the widest scope that a test shares."""
        if id(item) not in self._limits:
            self._limits[id(item)] = SCOPES.index(item_share(item, self._settings))
        return self._limits[id(item)]

    def exclude(self, definition: Definition | Node, reason: str) -> None:
        """Have a fixture, and what depends on it, set up in each child from now on."""
        self.excluded[id(definition)] = reason
        self._plans.clear()

    def _make(self, item: pytest.Item) -> Plan:
        reachable = machinery.definitions(item)
        limit = self.limit(item)
        if reachable is None or limit == 0 or machinery.will_not_run(item):
            return ()
        walk = _Walk(item, reachable, limit, self.excluded, self._settings.share.denied)
        walk.visit_packages()
        for name in item.fixturenames:  # type: ignore[attr-defined] # items with fixtures have them
            walk.visit(name)
        return tuple(walk.found)


class _Walk:
    """Goes through what a test uses, dependencies first, in the order in which pytest would set it up.

    It ends where pytest's setup will end with an error for certain: what comes after that is not set up.
    """

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
        self._places = itertools.count()
        self._has_ended = False
        self._unfit: Node | None = None  # a package: what it does itself is done in each child, and so is all below it
        self.found: list[Fixture] = []

    def visit_packages(self) -> None:
        """Add what packages have in place of fixtures; pytest sets nodes up first."""
        for node in machinery.nodes(self._item) if self._limit >= _PACKAGE else ():
            if machinery.has_own_set_up(node):
                name = f"{node.nodeid}/__init__.py"
                if id(node) in self._excluded or name in self._denied:
                    self._unfit = node
                    return
                self.found.append(Fixture(name, 0, node, node, "package", None, (), next(self._places)))

    def visit(self, name: str, asking: str | None = None) -> Fixture | None:
        """Give the fixture, where it can be shared; what it depends on has been added to `found` before it.

        Args:
            name: By which it is asked for.
            asking: The scope of the fixture that asks; None where the test does.
        """
        known = self._reachable.get(name, ())
        depth = self._depths.get(name, 0) + 1  # who asks for its own name means what it overrides
        if depth > len(known):
            self._has_ended |= bool(known)  # of names that nobody knows plugins may make fixtures yet
            return None
        definition = known[-depth]
        given = machinery.parameter(self._item, name)
        self._has_ended |= machinery.is_refused(definition, given, asking)
        if self._has_ended:
            return None
        if id(definition) in self._seen:
            return self._seen[id(definition)]
        self._seen[id(definition)] = None
        self._depths[name] = depth
        scope = given.scope if given is not None else definition.scope
        needed = [self.visit(other, scope) for other in definition.argnames if other != "request"]
        self._depths[name] = depth - 1
        fixture = self._make(name, depth, definition, given, needed)
        self._seen[id(definition)] = fixture
        if fixture is not None and not machinery.is_mere_value(definition):
            self._add(fixture)
        return fixture

    def _make(
        self, name: str, depth: int, definition: Definition, given: Parameter | None, needed: list[Fixture | None]
    ) -> Fixture | None:
        if self._has_ended:
            return None
        scope = given.scope if given is not None else definition.scope
        if not 0 < SCOPES.index(scope) <= self._limit or name in self._denied or id(definition) in self._excluded:
            return None
        node = machinery.scope_node(self._item, definition, scope)
        needs = tuple(other for other in needed if other is not None)
        if node is None or len(needs) < len(needed) or (self._unfit in node.listchain()):
            return None
        # What an inner package overrides, a fixture of the outer one may ask for; then it ends with that.
        inner = max((node, *(other.node for other in needs)), key=lambda each: len(each.listchain()))
        return Fixture(name, depth, definition, inner, scope, given, needs, next(self._places))

    def _add(self, fixture: Fixture) -> None:
        """Add a fixture; a mere value is of use in a snapshot only for what depends on it."""
        for other in fixture.needs:
            if other not in self.found:
                self._add(other)
        self.found.append(fixture)


def chain_of(item: pytest.Item, name: str, depth: int) -> list[tuple[Definition, Parameter | None]]:
    """Give a definition of a name, last, and before it those that override it, closest first."""
    known = (machinery.definitions(item) or {})[name]
    given = machinery.parameter(item, name)
    return [(known[-level], given) for level in range(1, depth + 1)]
