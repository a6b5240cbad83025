"""Which fixtures are shared, in which order, and which snapshots serve a test; nothing is set up."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pytest_forkiso._chain import Chain
from pytest_forkiso._config import read_settings
from pytest_forkiso._plan import Planner, chain_of
from pytest_forkiso._snapshot import Snapshot

CONFTEST = """
import pytest
@pytest.fixture(scope="session")
def wide(): pass
@pytest.fixture(scope="session", autouse=True)
def automatic(): pass
@pytest.fixture(scope="session")
def late(): pass
@pytest.fixture(scope="module")
def narrow(wide): pass
@pytest.fixture(scope="module", params=[1, 2])
def varying(request): pass
@pytest.fixture(scope="module")
def on_varying(varying, narrow): pass
@pytest.fixture
def own(wide): pass
@pytest.fixture(scope="class")
def of_class(narrow): pass
"""

MODULE = """
import pytest
def test_narrow(narrow, own): pass
def test_late(late): pass
def test_varying(on_varying): pass
@pytest.mark.skip
def test_skipped(narrow): pass
@pytest.mark.forked(share="class")
def test_limited(narrow): pass
def test_class_fixture(of_class): pass
class TestIt:
    def test_class_fixture(self, of_class): pass
    @pytest.fixture(scope="module")
    def wide(self, wide): pass
    def test_overridden(self, wide): pass
"""


class Suite:
    """Collected tests, by name, and what plans are made of."""

    def __init__(self, pytester: pytest.Pytester, share: str = "session", module: str = MODULE) -> None:
        pytester.makeconftest(CONFTEST)
        config = pytester.parseconfigure("-p", "forkiso", f"--fork-share={share}")
        node = pytester.getmodulecol(module, configargs=config.invocation_params.args)
        self.items = {item.nodeid.partition("::")[2]: item for item in pytester.genitems([node])}
        self.planner = Planner(read_settings(node.config))
        self.chain = Chain(self.planner)
        self.is_all = True

    def names(self, test: str) -> list[str]:
        """Give the names of the fixtures in a test's plan."""
        return [fixture.name for fixture in self.planner.plan(self.items[test])]

    def missing(self, test: str, *upcoming: str) -> list[str]:
        """Give the names of what is to be set up next."""
        found = self.chain.missing(self.items[test], [self.items[each] for each in (test, *upcoming)])
        return [] if found is None else [fixture.name for fixture in found.fixtures]

    def push(self, test: str, *upcoming: str) -> None:
        """Set up what a test needs, as far as bookkeeping goes."""
        following = [self.items[each] for each in (test, *upcoming)]
        while (found := self.chain.missing(self.items[test], following, is_all=self.is_all)) is not None:
            template = cast("Any", None)
            self.chain.links.append(Snapshot(template, template, self.chain.links, found.item, found.fixtures))

    def links(self) -> list[list[str]]:
        """Give the names of fixtures in each link."""
        return [[fixture.name for fixture in link.fixtures] for link in self.chain.links]

    def outdated(self, test: str) -> list[list[str]]:
        """Give the links that are done when a test is next."""
        return [[each.name for each in link.fixtures] for link in self.chain.outdated(self.items[test])]


def test_plans_are_in_pytests_order(pytester: pytest.Pytester) -> None:
    """What is needed indirectly comes before what needs it; what is of the function is left out."""
    suite = Suite(pytester)
    assert suite.names("test_narrow") == ["automatic", "wide", "narrow"]
    assert suite.names("test_varying[1]") == ["automatic", "wide", "varying", "narrow", "on_varying"]


@pytest.mark.parametrize(
    ("test", "names"),
    [
        ("test_skipped", []),
        ("test_limited", []),
        ("test_class_fixture", ["automatic", "wide", "narrow"]),
        ("TestIt::test_class_fixture", ["automatic", "wide", "wide", "narrow", "of_class"]),
        ("TestIt::test_overridden", ["automatic", "wide", "wide"]),
    ],
)
def test_plans(pytester: pytest.Pytester, test: str, names: list[str]) -> None:
    """Marks that skip, limits, class fixtures outside of classes, overriding."""
    assert sorted(Suite(pytester).names(test)) == sorted(names)


def test_overriding_fixtures_are_told_apart(pytester: pytest.Pytester) -> None:
    """Each definition has its own scope, node and depth; the chain that leads to it begins with the closest."""
    suite = Suite(pytester)
    item = suite.items["TestIt::test_overridden"]
    outer, inner = [fixture for fixture in suite.planner.plan(item) if fixture.name == "wide"]
    assert (outer.scope, outer.depth, inner.scope, inner.depth) == ("session", 2, "module", 1)
    assert [definition for definition, _ in chain_of(item, "wide", 2)] == [inner.definition, outer.definition]


@pytest.mark.parametrize(
    ("share", "names"),
    [
        ("function", []),
        ("class", []),
        ("module", []),
        ("package", []),
        ("session", ["automatic", "wide", "narrow", "of_class"]),
    ],
)
def test_what_depends_on_an_unshared_fixture_is_not_shared(
    pytester: pytest.Pytester, share: str, names: list[str]
) -> None:
    """The class's fixture needs the module's, which needs the session's."""
    suite = Suite(pytester, share, "class TestIt:\n    def test_it(self, of_class): pass")
    assert suite.names("TestIt::test_it") == names


def test_what_is_excluded_takes_its_dependents_along(pytester: pytest.Pytester) -> None:
    """In all plans from then on."""
    suite = Suite(pytester)
    (wide,) = [fixture for fixture in suite.planner.plan(suite.items["test_narrow"]) if fixture.name == "wide"]
    suite.planner.exclude(wide.definition, "why")
    assert suite.names("test_narrow") == ["automatic"]
    assert suite.names("test_varying[1]") == ["automatic", "varying"]


VARYING = ("test_varying[1]", "test_varying[2]")


def test_one_link_for_what_ends_together(pytester: pytest.Pytester) -> None:
    """Fixtures of one node are set up together, but for those that another parameter will replace before its end."""
    suite = Suite(pytester)
    suite.push(*VARYING)
    assert suite.links() == [["automatic", "wide"], ["narrow"], ["varying", "on_varying"]]
    assert suite.missing("test_narrow") == []
    assert suite.chain.base(suite.items["test_narrow"]) is suite.chain.links[-1]


def test_what_nothing_replaces_has_its_place_in_pytests_order(pytester: pytest.Pytester) -> None:
    """A single parameter is none that changes; where the tests to come are not known, it may."""
    suite = Suite(pytester)
    suite.push("test_varying[1]")
    assert suite.links() == [["automatic", "wide"], ["varying", "narrow", "on_varying"]]
    suite.chain.links.clear()
    suite.is_all = False
    suite.push("test_varying[1]")
    assert suite.links() == [["automatic", "wide"], ["narrow"], ["varying", "on_varying"]]


def test_another_parameter_replaces_only_what_depends_on_it(pytester: pytest.Pytester) -> None:
    """And another module all of the module's, the end everything."""
    suite = Suite(pytester)
    suite.push(*VARYING)
    assert suite.outdated("test_varying[1]") == suite.outdated("test_late") == []
    assert suite.outdated("test_varying[2]") == [["varying", "on_varying"]]
    assert suite.chain.outdated(None) == suite.chain.links


WIDE_PARAMETER = """
import pytest
@pytest.fixture(scope="session", params=["x", "y"])
def kind(request): pass
@pytest.fixture(scope="session")
def on_kind(kind): pass
class TestIt:
    @pytest.mark.parametrize("direct", [1, 2], scope="module")
    def test_it(self, kind, on_kind, of_class, direct): pass
"""


def test_narrow_fixtures_stay_where_a_wider_parameter_changes(pytester: pytest.Pytester) -> None:
    """They are below it where they do not depend on it; and a value that a test is given directly is no fixture."""
    suite = Suite(pytester, module=WIDE_PARAMETER)
    suite.push(*(f"TestIt::test_it[{kind}-{direct}]" for kind in "xy" for direct in (1, 2)))
    assert suite.links() == [["automatic", "wide"], ["narrow"], ["of_class"], ["kind", "on_kind"]]
    assert suite.outdated("TestIt::test_it[x-2]") == []
    assert suite.outdated("TestIt::test_it[y-1]") == [["kind", "on_kind"]]


REFUSED = """
import pytest, unittest
@pytest.fixture(scope="module")
def asks_for_narrower(own): pass
@pytest.fixture(scope="module")
def after(): pass
def test_scope(wide, asks_for_narrower, after): pass
@pytest.mark.usefixtures("narrow", "varying", "after")
class TestUnit(unittest.TestCase):
    def test_it(self): pass
@pytest.fixture(scope="module")
def wide(wide): pass
"""


@pytest.mark.parametrize(
    ("test", "names"), [("test_scope", ["wide", "wide"]), ("TestUnit::test_it", ["wide", "wide", "narrow"])]
)
def test_a_plan_ends_where_the_setup_will_end(pytester: pytest.Pytester, test: str, names: list[str]) -> None:
    """After a fixture that asks for a narrower one, or lacks its parameter, pytest sets nothing up."""
    assert [name for name in Suite(pytester, module=REFUSED).names(test) if name != "automatic"] == names


def test_a_fixture_of_a_later_node_is_not_set_up_before_it(pytester: pytest.Pytester) -> None:
    """It outlasts a parameter that changes within its node, and cannot be there before that node is."""
    source = """
        import pytest
        @pytest.fixture(scope="session")
        def kind(request): pass
        @pytest.mark.parametrize("kind", [1], indirect=True)
        def test_before(kind): pass
        class TestIt:
            @pytest.mark.parametrize("kind", [1], indirect=True)
            def test_one(self, kind): pass
            def test_two(self, of_class): pass
            @pytest.mark.parametrize("kind", [2], indirect=True)
            def test_three(self, kind): pass
            def test_four(self, of_class): pass
    """
    suite = Suite(pytester, module=source)
    suite.push(*suite.items)
    assert suite.links() == [["automatic"], ["wide"], ["narrow"], ["kind"]]


def test_what_outlasts_a_node_is_set_up_before(pytester: pytest.Pytester) -> None:
    """A fixture of the session that only a later test of the module uses."""
    suite = Suite(pytester)
    suite.push("test_narrow", "test_late", "test_varying[1]")
    assert suite.links() == [["automatic", "wide"], ["late"], ["narrow"]]


def test_a_fixture_that_nobody_has_foreseen_goes_on_top(pytester: pytest.Pytester) -> None:
    """It ends with the node below it."""
    suite = Suite(pytester)
    suite.push("test_narrow")
    assert suite.missing("test_late") == ["late"]


def test_no_more_is_set_up_after_a_failure(pytester: pytest.Pytester) -> None:
    """The test's own setup will end there; others that do not need it go on."""
    suite = Suite(pytester)
    suite.push("test_narrow")
    suite.chain.links[-1].failed = {id(suite.chain.links[-1].fixtures[0].definition)}
    assert suite.missing("test_class_fixture") == []
    assert suite.missing("test_late") == ["late"]


def test_what_comes_before_a_failure_is_set_up(pytester: pytest.Pytester) -> None:
    """As pytest would: it sets up `varying` first, and then comes to what has failed."""
    suite = Suite(pytester)
    suite.push("test_narrow")
    suite.chain.links[-1].failed = {id(suite.chain.links[-1].fixtures[0].definition)}
    assert suite.missing("test_varying[1]") == ["varying"]


def test_a_test_with_a_limit_starts_below_it(pytester: pytest.Pytester) -> None:
    """It leaves the chain as it is."""
    suite = Suite(pytester)
    suite.push("test_narrow")
    assert suite.chain.base(suite.items["test_limited"]) is None
    assert suite.missing("test_limited") == []
    assert suite.outdated("test_limited") == []
