"""With --fork-jobs several tests run at a time; what is reported is as with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import steady, steady_records, steady_terminal

if TYPE_CHECKING:
    from inner import Suite

MIXED = """
import os, sys, warnings
import pytest

@pytest.mark.parametrize("n", range(12))
def test_many(n):
    print("number", n)
    if n == 3: os.abort()
    if n == 5: pytest.skip("five")
    if n == 7: warnings.warn("seven")
    assert n != 9

class TestClass:
    def test_a(self, record_property): record_property("a", 1)
    @pytest.mark.xfail
    def test_b(self): assert 0
"""


@pytest.mark.parametrize("jobs", ["2", "auto", "50"])
def test_reports_are_the_same_in_the_same_order(suite: Suite, jobs: str) -> None:
    """All records and the terminal."""
    suite.write(test_one=MIXED, test_two=MIXED)
    one = suite.forked("-v")
    many = suite.forked("-v", f"--fork-jobs={jobs}")
    assert steady_records(many) == steady_records(one)
    assert [line for line in steady_terminal(many) if "median" not in line] == [
        line for line in steady_terminal(one) if "median" not in line
    ]
    assert "median" in steady(many.out)


def test_tests_do_run_at_a_time(suite: Suite) -> None:
    """Two tests that wait for each other pass."""
    suite.write(
        test_meet="""
        import pathlib, time
        def meet(own, other):
            pathlib.Path(own).touch()
            while not pathlib.Path(other).exists(): time.sleep(0.01)
        def test_a(): meet("a", "b")
        def test_b(): meet("b", "a")
        """
    )
    assert suite.forked("--fork-jobs=2", "--fork-timeout=30").code == 0


def test_the_next_child_stands_ready(suite: Suite) -> None:
    """While a test runs, the template has one child more, and none more while the last one does."""
    suite.write(
        test_ahead="""
        import os, time
        from pytest_forkiso._leftovers import children
        def test_first():
            while len(children(os.getppid())) < 2: time.sleep(0.01)
        def test_last():
            while children(os.getppid()) != [os.getpid()]: time.sleep(0.01)
        """
    )
    assert suite.forked("--fork-timeout=30").code == 0


def test_unmarked_tests_run_alone_and_in_order(suite: Suite) -> None:
    """No forked test is still running while an unmarked one does."""
    suite.write(
        test_order="""
        import os
        import pytest
        forked = pytest.mark.forked
        def note(word):
            with open("log", "a") as file: print(word, file=file)
        @forked
        def test_a(): note("a")
        @forked
        def test_b(): note("b")
        def test_c(): note("c")
        @forked
        def test_d(): note("d")
        def test_e(): note("e")
        """
    )
    assert suite.run("-p", "forkiso", "--fork-jobs=2").code == 0
    words = (suite.path / "log").read_text().split()
    assert sorted(words[:2]) == ["a", "b"]
    assert words[2:] == ["c", "d", "e"]


def test_an_early_end(suite: Suite) -> None:
    """With -x nothing after the failure is reported, though it may have run; and nothing is left."""
    suite.write(
        test_stop="""
        import pathlib, threading
        def test_a(): pass
        def test_b():
            while not pathlib.Path("c").exists(): pass
            assert 0
        def test_c():
            pathlib.Path("c").touch()
            threading.Event().wait()
        """
    )
    run = suite.forked("-x", "--fork-jobs=2")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed"}
    assert not suite.processes()


def test_a_long_test_starts_before_its_turn(suite: Suite) -> None:
    """In the second run, when it is known to be long; its report still comes in its turn."""
    suite.write(
        test_long="""
        import pytest, time
        def note(word):
            with open("log", "a") as file: print(word, file=file)
        @pytest.mark.parametrize("n", range(6))
        def test_short(n): note(n)
        def test_long():
            note("long")
            time.sleep(1)
        """
    )
    first = suite.forked("-v", "--fork-jobs=2")
    started_first = (suite.path / "log").read_text().split()
    (suite.path / "log").unlink()
    second = suite.forked("-v", "--fork-jobs=2")
    started_second = (suite.path / "log").read_text().split()
    assert "long" not in started_first[:4]
    assert "long" in started_second[:3]
    assert steady_records(first) == steady_records(second)
    (suite.path / "log").unlink()
    suite.forked("-p", "no:cacheprovider", "--fork-jobs=2")
    assert "long" not in (suite.path / "log").read_text().split()[:4]


def test_workers_of_xdist_keep_no_times(suite: Suite) -> None:
    """Each would keep those of its own tests alone, in the same file; and --fork-jobs does nothing there."""
    suite.write(test_it="import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n): pass")
    kept = suite.path / ".pytest_cache" / "v" / "forkiso" / "durations"
    assert suite.forked("--fork-jobs=2", "-p", "xdist", "-n2").code == 0
    assert not kept.exists()
    assert suite.forked("--fork-jobs=2").code == 0
    assert kept.exists()


def test_a_long_test_that_crashes_before_its_turn(suite: Suite) -> None:
    """It is reported in its turn, and leaves nothing."""
    suite.write(
        test_long="""
        import os, pytest, time
        @pytest.mark.parametrize("n", range(6))
        def test_short(n): time.sleep(0.02)
        def test_long():
            time.sleep(0.2)
            if os.path.exists("crash"): os.abort()
        """
    )
    assert suite.forked("--fork-jobs=2").code == 0
    (suite.path / "crash").touch()
    run = suite.forked("--fork-jobs=2")
    assert list(run.outcomes().items())[-1] == ("test_long", "failed")
    assert not suite.processes()


MEETING = """
import pathlib, time
import pytest
def meet(own, other):
    pathlib.Path(own).touch()
    while not pathlib.Path(other).exists(): time.sleep(0.01)
@pytest.mark.forked
def test_forked():
    print("from a child")
    meet("a", "b")
def test_here(): meet("b", "a")
@pytest.mark.forked
def test_after(): assert 0
def test_last(): pass
"""


def test_unmarked_tests_run_beside_forked_ones(suite: Suite) -> None:
    """Where the ini file says so; each is reported as a whole."""
    suite.write(test_meet=MEETING)
    run = suite.run("-p", "forkiso", "-o", "fork_jobs_overlap=true", "--fork-timeout=30", "-v")
    assert run.outcomes() == {
        "test_forked": "passed",
        "test_here": "passed",
        "test_after": "failed",
        "test_last": "passed",
    }
    kinds = [row["kind"] for row in run.records if row["kind"] in ("start", "finish")]
    assert kinds == ["start", "finish"] * 4
    assert not suite.processes()


def test_an_unmarked_test_ends_the_run_beside_forked_ones(suite: Suite) -> None:
    """-x after its failure: what still runs is ended."""
    suite.write(
        test_end="""
        import pytest, threading
        @pytest.mark.forked
        def test_forked(): threading.Event().wait()
        def test_here(): assert 0
        def test_never(): pass
        """
    )
    run = suite.run("-p", "forkiso", "-o", "fork_jobs_overlap=true", "-x")
    assert run.outcomes() == {"test_here": "failed"}
    assert not suite.processes()


@pytest.mark.parametrize("style", ["progress", "count", "classic"])
def test_progress_is_pytest_s_own(suite: Suite, style: str) -> None:
    """Each test has its line, with the share that is done, as where pytest runs them one after another."""
    suite.write(test_n="import pytest\n@pytest.mark.parametrize('n', range(8))\ndef test_n(n): pass")
    options = ("-v", "-o", f"console_output_style={style}")
    plain, many = suite.plain(*options), suite.forked("--fork-jobs=3", *options)
    lines = [line for line in many.out.splitlines() if line.startswith("test_n.py::")]
    assert lines == [line for line in plain.out.splitlines() if line.startswith("test_n.py::")]
    assert len(lines) == 8
    assert lines[3].endswith({"progress": "[ 50%]", "count": "[4/8]", "classic": "PASSED"}[style])
