"""Names of pytest's fixture machinery that are not public, each with the reason why there is no other way.

As `_private`, and tested against the same versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from _pytest.compat import NOTSET
from _pytest.fixtures import SubRequest, get_scope_package
from _pytest.python import get_direct_param_fixture_func
from _pytest.scope import Scope
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Node = pytest.Item | pytest.Collector
    Definition = pytest.FixtureDef[Any]

_CACHES_TRACEBACK = pytest.version_tuple >= (8, 3)
_COMPARES_VALUES = pytest.version_tuple >= (8, 3)
_COMPARES_OWN_SCOPES = pytest.version_tuple >= (8, 4)  # of fixtures, and not those of parametrisations
_CAPTURED = ("stdout", "stderr", "log")  # of each phase, in the order in which pytest adds these sections
_OF_PACKAGES = (b"setup_module", b"setUpModule", b"teardown_module", b"tearDownModule")


class Parameter(NamedTuple):
    """What a test gives to a fixture.

    Attributes:
        value: ``request.param``.
        place: Among the values.
        scope: Of the parametrisation, which goes before that of the fixture.
    """

    value: Any
    place: int
    scope: str


# ---------------------------------------------------------------------------------------------- what a test asks for


def definitions(item: pytest.Item) -> Mapping[str, Sequence[Definition]] | None:
    """Give the fixtures that a test can reach, by name, the closest definition last; None where it takes none.

    pytest shows names only; which definition overrides which, it keeps to itself.
    """
    if not hasattr(item, "_initrequest") or not hasattr(item, "_fixtureinfo"):
        return None
    found: Mapping[str, Sequence[Definition]] = item._fixtureinfo.name2fixturedefs
    return found


def parameter(item: pytest.Item, name: str) -> Parameter | None:
    """Give what a test passes to the fixture of this name; None where it is not parametrised."""
    call: Any = getattr(item, "callspec", None)
    if call is None or name not in call.params:
        return None
    return Parameter(call.params[name], call.indices[name], call._arg2scope[name].value)


def scope_node(item: pytest.Item, definition: Definition, scope: str) -> Node | None:
    """Give the node that a fixture lives as long as; None where that is the test itself.

    Only a request knows, and requests for single fixtures are made while these are set up.
    """
    if scope == "session":
        return item.session
    if scope == "package":
        return get_scope_package(item, definition)  # type: ignore[return-value]
    if scope == "module":
        return item.getparent(pytest.Module)
    return item.getparent(pytest.Class) if scope == "class" else None


def nodes(item: pytest.Item) -> list[Node]:
    """Give a test and all that it is in, the outermost first."""
    return item.listchain()  # type: ignore[return-value] # each is one of the two


def is_mere_value(definition: Definition | Node) -> bool:
    """Tell whether there is no fixture, but a value that ``parametrize`` gives to a test directly."""
    return getattr(definition, "func", None) is get_direct_param_fixture_func


def is_refused(definition: Definition, given: Parameter | None, asking: str | None) -> bool:
    """Tell whether pytest will end a test's setup with an error when a fixture is asked for.

    Args:
        definition: Of the fixture.
        given: What the test passes to it.
        asking: The scope of the fixture that asks; None for the test.
    """
    if given is None and definition.params is not None:
        return True
    if asking is None:
        return False
    scope = given.scope if given is not None and not _COMPARES_OWN_SCOPES else definition.scope
    return Scope(scope) < Scope(asking)


def is_same_value(one: Any, other: Any) -> bool:
    """Compare parameters as pytest does for a cached value."""
    if not _COMPARES_VALUES:
        return one is other
    try:
        return bool(one == other)
    except (ValueError, RuntimeError):
        return one is other


def has_own_set_up(node: object) -> bool:
    """Tell whether a package's ``__init__.py`` may have functions that pytest calls before and after its tests.

    These are no fixtures, and the node itself shows nothing of them before it is set up.
    """
    if not isinstance(node, pytest.Package):
        return False
    try:
        return any(name in (node.path / "__init__.py").read_bytes() for name in _OF_PACKAGES)
    except OSError:
        return False


def will_not_run(item: pytest.Item) -> bool:
    """Tell whether marks keep a test from being set up at all.

    pytest evaluates them in its hook for the setup, which runs in the test's own process.
    """
    try:
        if evaluate_skip_marks(item) is not None:
            return True
        expected = evaluate_xfail_marks(item)
    except BaseException:  # noqa: BLE001 - a condition of the user's: whatever it raises is an error of the setup
        return True
    return expected is not None and not expected.run and not item.config.getoption("runxfail", default=False)


# ---------------------------------------------------------------------------------------------------- set up, tear down


def set_up_nodes(node: Node) -> None:
    """Set up a node and those above it, as `pytest_runtest_setup` does for a test; a hook for less there is not.

    A node that is set up already stays so, and so do those below it: pytest's function would take them for a mistake.
    """
    state: Any = node.session._setupstate  # before pytest 8.3, a failure comes without its traceback
    if node not in state.stack:
        state.setup(node)
        return
    for _, failure in (state.stack[each] for each in node.listchain()):
        if failure is not None:
            raise failure if isinstance(failure, BaseException) else failure[0]


def tear_down(session: pytest.Session) -> None:
    """Run the finalizers of this process, innermost first, and empty the stack."""
    session._setupstate.teardown_exact(None)


def disown(session: pytest.Session) -> None:
    """Forget, in a fork, the finalizers that came with it: they belong to the process that has set these up."""
    stack = session._setupstate.stack
    for node, (_, failure) in stack.items():
        stack[node] = ([], failure)


def execute(item: pytest.Item, chain: Sequence[tuple[Definition, Parameter | None]]) -> None:
    """Set up one fixture, and what it depends on, for a test that may not be on the stack.

    A request of the test itself would start at the closest definition of a name, and only works for a test that is
    being set up. This is what it does for each fixture.

    Args:
        item: The test.
        chain: The definition, last; before it those that override it, closest first.
    """
    # A request remembers by name what it has set up; of one name it would go on with what was overridden.
    renew_request(item)
    request: Any = item._request  # type: ignore[attr-defined]
    for definition, given in chain:
        scope = Scope(given.scope if given else definition.scope)
        value, place = (given.value, given.place) if given else (NOTSET, 0)
        request = SubRequest(request, scope, value, place, definition, _ispytest=True)
    chain[-1][0].execute(request=request)


def renew_request(item: pytest.Item) -> None:
    """Forget which fixtures this test has asked for: it begins anew, with values that are cached."""
    item._initrequest()  # type: ignore[attr-defined]


def plant_failure(definition: Definition, given: Parameter | None, error: BaseException) -> None:
    """Let a fixture's set-up have failed in this way, for each test that asks for it."""
    key = given.value if given else None
    definition.cached_result = (None, key, (error, None) if _CACHES_TRACEBACK else error)  # type: ignore[assignment]


def has_failed(definition: Definition) -> bool:
    """Tell whether a fixture's set-up has raised, and the exception is kept for the next test that asks."""
    result = definition.cached_result
    return result is not None and result[2] is not None


# ------------------------------------------------------------------------------------------------------------ sections


def count_sections(item: pytest.Item) -> int:
    """Count the sections that were added to a test's reports so far."""
    return len(item._report_sections)


def take_sections(item: pytest.Item, start: int) -> list[tuple[str, str]]:
    """Take the sections of a test that were added from a count on, as they stand in a report."""
    taken = item._report_sections[start:]
    del item._report_sections[start:]
    return [(f"Captured {key} {when}", text) for when, key, text in taken]


def join_sections(item: pytest.Item) -> None:
    """Make one of sections with the same name: of a set-up that began in another process, and ended in this one.

    They are in the order in which pytest adds them at the end of a set-up. Public is the adding of sections only.
    """
    joined: dict[tuple[str, str], str] = {}
    for when, key, text in item._report_sections:
        before = joined.get((when, key), "")
        separator = "\n" if before and key == "log" else ""
        joined[when, key] = before + separator + text
    found = [(when, key, text) for (when, key), text in joined.items()]
    places = [place for place, (when, key, _) in enumerate(found) if when == "setup" and key in _CAPTURED]
    ordered = sorted((found[place] for place in places), key=lambda section: _CAPTURED.index(section[1]))
    for place, section in zip(places, ordered, strict=True):
        found[place] = section
    item._report_sections[:] = found
