"""pytest-dependency: tests that need others run, or are skipped, as without forks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("pytest_dependency")

PLUGIN = ("-p", "pytest_dependency")
TESTS = """
import pytest
from pytest_dependency import depends

@pytest.mark.dependency(name="first")
def test_first(): pass
@pytest.mark.dependency()
def test_fails(): assert 0
@pytest.mark.dependency(depends=["first"])
@pytest.mark.parametrize("number", [1, 2])
def test_number(number): pass
@pytest.mark.dependency(depends=["test_number[1]", "test_number[2]"])
def test_after_both(): pass
@pytest.mark.dependency(depends=["test_fails"])
def test_skipped(): pass
@pytest.mark.dependency(depends=["test_skipped"])
def test_skipped_too(): pass
@pytest.mark.dependency(depends=["nothing"])
def test_unknown(): pass
class TestClass:
    @pytest.mark.dependency()
    def test_one(self): pass
    @pytest.mark.dependency(depends=["test_one"], scope="class")
    def test_two(self): pass
    @pytest.mark.dependency(depends=["TestClass::test_two"])
    def test_three(self): pass
def test_asks(request): depends(request, ["test_after_both"])
def test_asks_in_vain(request): depends(request, ["test_fails"])
"""
OTHER = """
import pytest
@pytest.mark.dependency(depends=["test_here.py::test_after_both"], scope="session")
def test_elsewhere(): pass
@pytest.mark.dependency(depends=["test_here.py::test_fails"], scope="session")
def test_elsewhere_skipped(): pass
"""


@pytest.mark.parametrize(
    "ways", [[], ["--fork-template=exec"], ["--fork-template=bare"], ["--fork-jobs=3"]], ids=" ".join
)
@pytest.mark.parametrize(
    "options", [[], ["--ignore-unknown-dependency"], ["-o", "automark_dependency=true"]], ids=" ".join
)
def test_same(suite: Suite, ways: list[str], options: list[str]) -> None:
    """Markers of all scopes, and what a test asks for while it runs."""
    suite.write(test_here=TESTS, test_other=OTHER)
    assert_same(suite.plain(*PLUGIN, *options), suite.forked(*PLUGIN, *options, *ways))


def test_crashes_and_tests_that_are_not_forked(suite: Suite) -> None:
    """What needs a test that has crashed is skipped, unknown tests being ignored or not; both kinds know each other."""
    suite.write(
        test_mixed="""
        import os
        import pytest
        @pytest.mark.forked
        @pytest.mark.dependency()
        def test_dies(): os.abort()
        @pytest.mark.forked
        @pytest.mark.dependency(depends=["test_dies"])
        def test_needs_it(): pass
        @pytest.mark.dependency()
        def test_here(): pass
        @pytest.mark.forked
        @pytest.mark.dependency(depends=["test_here"])
        def test_forked(): pass
        @pytest.mark.dependency(depends=["test_forked"])
        def test_here_again(): pass
        """
    )
    run = suite.run("-p", "forkiso", *PLUGIN, "--ignore-unknown-dependency")
    assert run.outcomes() == {
        "test_dies": "failed",
        "test_needs_it": "skipped",
        "test_here": "passed",
        "test_forked": "passed",
        "test_here_again": "passed",
    }, run.out


def test_a_test_waits_for_what_it_needs(suite: Suite) -> None:
    """Of several jobs the others have nothing to do meanwhile; those that need nothing run at a time."""
    suite.write(
        test_wait="""
        import pathlib, time
        import pytest
        def meet(mine, other):
            pathlib.Path(mine).touch()
            while not pathlib.Path(other).exists(): time.sleep(0.01)
        @pytest.mark.dependency()
        def test_alice(): meet("alice", "bob")
        @pytest.mark.dependency()
        def test_bob(): meet("bob", "alice")
        @pytest.mark.dependency(depends=["test_alice", "test_bob"])
        def test_both(): pass
        """
    )
    run = suite.forked(*PLUGIN, "--fork-jobs=3", "--fork-timeout=60")
    assert run.outcomes() == dict.fromkeys(["test_alice", "test_bob", "test_both"], "passed"), run.out
