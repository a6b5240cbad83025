"""Whatever a test comes to, pytest says the same of it as without the plugin."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same
from inner_sources import OUTCOMES

if TYPE_CHECKING:
    from inner import Suite


ODD_EXCEPTIONS = """
import pytest

class Unpicklable(Exception):
    def __init__(self, a, *, b):
        super().__init__(a); self.b = lambda: b
class BadRepr(Exception):
    def __repr__(self): raise RuntimeError("no repr")
    __str__ = __repr__
class BadValue:
    def __repr__(self): raise RuntimeError("no repr either")
class Exits(Exception):
    def __str__(self): raise SystemExit(9)

def test_unpicklable(): raise Unpicklable(1, b=2)
def test_bad_repr(): raise BadRepr()
def test_bad_value():
    value = BadValue()
    assert value == 1
def test_local_class():
    class Local(Exception): pass
    raise Local("local")
def test_base_exception():
    class Base(BaseException): pass
    raise Base("base")
def test_generator_exit(): raise GeneratorExit
def test_notes():
    error = ValueError("with"); error.add_note("a note"); raise error
def test_surrogates(): raise ValueError("\\udcff lone")
def test_recursion():
    def down(): down()
    down()
def test_cycle():
    a, b = ValueError("a"), TypeError("b")
    a.__context__, b.__context__ = b, a
    raise a
def test_syntax_error(): compile("a b", "text.py", "exec")
def test_group_of_own():
    class Own(ExceptionGroup): pass
    raise Own("own", [Unpicklable(1, b=2)])
"""

VIEWS = [
    ["-q"],
    ["-qq"],
    ["-v", "-rA"],
    ["-vv", "-ra"],
    ["--tb=short", "-l", "-k", "not xfail_not_run"],  # which fails in pytest's own frames, whose locals have times
    ["--tb=line"],
    ["--tb=no", "--no-header"],
    ["--show-capture=no"],
    ["--runxfail", "--tb=line"],
    ["--setup-show", "-k", "teardown or parameters or skip"],
]


@pytest.mark.parametrize("options", VIEWS, ids=" ".join)
def test_outcomes_under_all_views(suite: Suite, options: list[str]) -> None:
    """Each outcome there is, under each way of showing it."""
    suite.write(test_outcomes=OUTCOMES)
    plain = suite.plain(*options)
    assert_same(plain, suite.forked(*options), has_summary="-qq" not in options)


@pytest.mark.parametrize("options", [["--tb=native"], ["--full-trace", "--tb=short"]], ids=" ".join)
def test_tracebacks_with_internals(suite: Suite, options: list[str]) -> None:
    """Where pytest shows its own frames, those of the test are as ever; nothing of ours is among them."""
    suite.write(test_outcomes=OUTCOMES)
    plain, forked = suite.plain(*options), suite.forked(*options)
    assert forked.outcomes() == plain.outcomes()
    assert own_lines(forked.out) == own_lines(plain.out)
    assert len(own_lines(plain.out)) > 12
    assert "pytest_forkiso/" not in forked.out  # no frame of ours


def own_lines(text: str) -> list[str]:
    """Give the lines of tracebacks that tell of a place in the test module."""
    return re.findall(r"test_outcomes\.py[^\n]*line \d+|test_outcomes\.py:\d+: .*", text)


def test_the_outcomes_are_all_there(suite: Suite) -> None:
    """What the comparisons above compare is not empty: each category occurs."""
    suite.write(test_outcomes=OUTCOMES)
    categories = {category for report in suite.forked().reports for category in [report.category]}
    assert categories == {"", "passed", "failed", "error", "skipped", "xfailed", "xpassed"}


@pytest.mark.parametrize("options", [["--tb=short"], ["-l", "-vv"]], ids=" ".join)
def test_odd_exceptions(suite: Suite, options: list[str]) -> None:
    """Exceptions that no pickle carries, or that cannot even be printed, look as ever."""
    suite.write(test_odd=ODD_EXCEPTIONS)
    plain = suite.plain(*options)
    forked = suite.forked(*options)
    assert_same(plain, forked)


def test_unittest_and_class_setups(suite: Suite) -> None:
    """Setups of xunit style, of methods, classes and modules, run and fail as ever."""
    suite.write(
        test_xunit="""
        def setup_module(): global prepared; prepared = True
        def setup_function(): print("function")
        def teardown_function(): print("end of function")
        def test_function(): assert not prepared

        class TestMethods:
            def setup_method(self, method): self.name = method.__name__
            def teardown_method(self): assert self.name != "test_two"
            def test_one(self): assert self.name == "test_one"
            def test_two(self): pass

        class TestBrokenSetup:
            @classmethod
            def setup_class(cls): raise RuntimeError("setup of the class")
            def test_one(self): pass
            def test_two(self): pass
        """
    )
    assert_same(suite.plain(), suite.forked())


def test_durations(suite: Suite) -> None:
    """All phases have their times, and the slowest are listed."""
    suite.write(test_outcomes=OUTCOMES)
    plain, forked = suite.plain("--durations=0", "-vv"), suite.forked("--durations=0", "-vv")

    def listed(text: str) -> list[str]:
        return sorted(re.findall(r"^\d+\.\d+s (\w+ +\S+)", text, re.MULTILINE))

    assert len(listed(plain.out)) > 60
    assert listed(forked.out) == listed(plain.out)
    assert all(report.has_times for report in forked.reports)


def test_result_log_of_another_plugin(suite: Suite) -> None:
    """A reporting plugin that writes at the end of the run has seen all tests, in order."""
    suite.write(
        test_outcomes=OUTCOMES,
        conftest="""
        seen = []
        def pytest_runtest_logreport(report):
            seen.append(f"{report.nodeid} {report.when} {report.outcome}")
        def pytest_sessionfinish(session, exitstatus):
            print(*seen, session.testsfailed, exitstatus, sep="\\n")
        """,
    )
    plain = suite.plain("-s")
    assert len(plain.out.splitlines()) > 100
    assert_same(plain, suite.forked("-s"))


def test_marked_tests_alone(suite: Suite) -> None:
    """A marked function, class, case or module runs in a process of its own, nothing else does."""
    own = "import os; open('pids', 'a').write(f'{os.environ[\"PYTEST_CURRENT_TEST\"].split()[0]} {os.getpid()}\\n')"
    suite.write(
        test_marks=f"""
        import pytest
        def test_plain_first(): {own}
        @pytest.mark.forked
        def test_function(): {own}
        @pytest.mark.forked
        class TestClass:
            def test_a(self): {own}
            def test_b(self): {own}
        @pytest.mark.parametrize("case", ["here", pytest.param("there", marks=pytest.mark.forked)])
        def test_case(case): {own}
        def test_plain_last(): {own}
        """,
        test_module=f"""
        import pytest
        pytestmark = pytest.mark.forked
        def test_in_module(): {own}
        """,
    )
    run = suite.run("-p", "forkiso", "--strict-markers")
    assert run.code == 0, run.out
    lines = [line.split() for line in (suite.path / "pids").read_text().splitlines()]
    pids = {name.partition("::")[2]: int(pid) for name, pid in lines}
    here = {"test_plain_first", "test_case[here]", "test_plain_last"}
    (parent,) = {pids[name] for name in here}
    children = [pid for name, pid in pids.items() if name not in here]
    assert len(children) == len(set(children)) == 5
    assert parent not in children
    order = [row["nodeid"].partition("::")[2] for row in run.of_kind("start")]
    assert order == list(run.outcomes())


def test_what_is_added_to_a_failure_that_is_reported(suite: Suite) -> None:
    """A hook that hears of exceptions may add to the report, after all others have seen it; the terminal shows that."""
    suite.write(
        conftest="""
        def pytest_exception_interact(call, report):
            report.sections.append(("Added", f"to {call.excinfo.value}"))
            if "longrepr" in report.nodeid: report.longrepr = "another text"
        """,
        test_added="""
        import pytest
        def test_added(): raise ValueError("the failure")
        def test_longrepr(): raise ValueError("the failure")
        @pytest.fixture
        def broken():
            yield
            raise ValueError("the teardown")
        def test_teardown(broken): pass
        def test_passes(): pass
        """,
    )
    plain, forked = suite.plain(), suite.forked()
    assert "to the teardown" in plain.out
    assert_same(plain, forked)
