"""--fork-report with real runs: what is written, of whom, and what cannot be written."""

from __future__ import annotations

import importlib.resources
import itertools
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from helpers import wait_for

if TYPE_CHECKING:
    from inner import Run, Suite

ALL_SORTS = """
import os, subprocess, time
import pytest

def test_passes(): pass
def test_fails(): assert 1 == 2
def test_crashes(): os.abort()
@pytest.mark.forked(timeout=1.5)
def test_hangs(): time.sleep(100)
@pytest.mark.skip(reason="not here")
def test_skipped(): pass
@pytest.mark.xfail(reason="known")
def test_expected(): os._exit(3)
@pytest.fixture
def broken(): raise OSError("no fixture")
def test_error(broken): pass
def test_large(): globals()["held"] = b"x" * 30_000_000
def test_leaves(): subprocess.Popen(["sleep", "1000"])
@pytest.mark.parametrize("x", ["</script>"], ids=str)
def test_name(x): pass
"""


def read(suite: Suite, name: str = "report.json") -> dict[str, dict[str, Any]]:
    """Give the tests of a report by their names, after a look whether it is as its schema says."""
    document = json.loads((suite.path / name).read_text())
    schema = json.loads(importlib.resources.files("pytest_forkiso").joinpath("report.schema.json").read_text())
    assert all(list(test) == schema["$defs"]["test"]["required"] for test in document["tests"])
    return {f"{test['nodeid'].partition('::')[2]}{'+' * test['attempt']}": test for test in document["tests"]}


def test_all_sorts_of_tests(suite: Suite) -> None:
    """Outcomes, ends, exit codes, memory and leftovers; three files of one run; the terminal names them."""
    suite.write(test_all=ALL_SORTS)
    names = ["report.json", "deep/down/report.html", "report.trace.json"]
    run = suite.forked(*(f"--fork-report={name}" for name in names))
    assert all(f"forkiso report: {suite.path / name}" in run.out for name in names)
    tests = read(suite)
    assert {name: (test["outcome"], test["end"]) for name, test in tests.items()} == {
        "test_passes": ("passed", "exit"),
        "test_fails": ("failed", "exit"),
        "test_crashes": ("failed", "crash"),
        "test_hangs": ("failed", "timeout"),
        "test_skipped": ("skipped", "exit"),
        "test_expected": ("xfailed", "crash"),
        "test_error": ("error", "exit"),
        "test_large": ("passed", "exit"),
        "test_leaves": ("passed", "exit"),
        "test_name[</script>]": ("passed", "exit"),
    }
    assert tests["test_crashes"]["signal"] == signal.SIGABRT
    assert tests["test_expected"]["exit_code"] == 3
    assert tests["test_leaves"]["leftovers"] == 1
    assert tests["test_skipped"]["message"] == "Skipped: not here"
    assert "assert 1 == 2" in tests["test_fails"]["details"]
    assert tests["test_hangs"]["steps"]["call"][1] - tests["test_hangs"]["steps"]["call"][0] >= 1
    assert len({test["pid"] for test in tests.values()}) == len(tests)
    assert tests["test_large"]["private_bytes"] - tests["test_passes"]["private_bytes"] > 25_000_000
    assert tests["test_large"]["page_faults"] > tests["test_passes"]["page_faults"] > 0
    assert "</script>]" not in (suite.path / names[1]).read_text()
    assert "traceEvents" in json.loads((suite.path / names[2]).read_text())


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest has no subtests yet")
def test_subtests_are_parts_of_their_test(suite: Suite) -> None:
    """They are no tests, nor further attempts at one."""
    suite.write(
        test_sub="""
        def test_a(subtests):
            for number in range(3):
                with subtests.test(number=number): assert number != 1
        """
    )
    suite.forked("--fork-report=report.json")
    assert {name: test["outcome"] for name, test in read(suite).items()} == {"test_a": "failed"}


def assert_steps_in_order(test: dict[str, Any]) -> None:
    """Check that no step begins before the one before it has ended."""
    spans = [test["steps"][name] for name in ("fork", "setup", "call", "teardown", "end") if name in test["steps"]]
    flat = [time for span in spans for time in span]
    assert flat == sorted(flat), test


def test_jobs(suite: Suite) -> None:
    """Tests that run at a time have different jobs, and tests of one job do not overlap."""
    suite.write(
        test_jobs="""
        import pathlib, time
        import pytest
        def meet(own, other):
            pathlib.Path(own).touch()
            while not pathlib.Path(other).exists(): time.sleep(0.01)
        def test_a(): meet("a", "b")
        def test_b(): meet("b", "a")
        @pytest.mark.parametrize("n", range(20))
        def test_many(n): time.sleep(n % 3 / 100)
        """
    )
    assert suite.forked("--fork-jobs=2", "--fork-report=report.json").code == 0
    tests = read(suite)
    assert {tests["test_a"]["job"], tests["test_b"]["job"]} == {0, 1}
    for job in (0, 1):
        mine = [test for test in tests.values() if test["job"] == job]
        starts = [(test["steps"]["fork"][0], test["steps"]["teardown"][1]) for test in mine]
        assert len(mine) > 1
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(sorted(starts)))
    for test in tests.values():
        assert_steps_in_order(test)


def test_unmarked_tests_are_in_it(suite: Suite) -> None:
    """With their phases, and no process of their own."""
    suite.write(
        test_mixed="""
        import pytest
        def test_here(): pass
        @pytest.mark.forked
        def test_forked(): pass
        """
    )
    assert suite.run("-p", "forkiso", "--fork-report=report.json").code == 0
    tests = read(suite)
    assert tests["test_here"]["pid"] is None
    assert list(tests["test_here"]["steps"]) == ["setup", "call", "teardown"]
    assert tests["test_forked"]["pid"] is not None


def test_reruns(suite: Suite) -> None:
    """Each attempt is a test of its own there."""
    pytest.importorskip("pytest_rerunfailures")
    suite.write(
        test_again="""
        import os, pathlib
        def test_fails_once():
            if not pathlib.Path("flag").exists():
                pathlib.Path("flag").touch()
                assert 0
        def test_crashes(): os.abort()
        """
    )
    suite.forked("-p", "rerunfailures", "--reruns=1", "--fork-report=report.json")
    tests = read(suite)
    assert [(name, test["outcome"], test["end"]) for name, test in tests.items()] == [
        ("test_fails_once", "rerun", "exit"),
        ("test_fails_once+", "passed", "exit"),
        ("test_crashes", "rerun", "crash"),
        ("test_crashes+", "failed", "crash"),
    ]


def test_workers_of_xdist(suite: Suite) -> None:
    """Figures come from all workers."""
    pytest.importorskip("xdist")
    suite.write(
        test_all=ALL_SORTS,
        test_many="import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_n(n): pass",
    )
    suite.run("-p", "xdist", "-p", "forkiso", "--forked", "-n", "2", "--fork-report=report.json")
    tests = read(suite)
    assert len(tests) == 30
    assert {test["worker"] for test in tests.values()} == {"gw0", "gw1"}
    assert all(test["pid"] is not None and test["cpu_user"] is not None for test in tests.values()), tests
    assert (tests["test_crashes"]["end"], tests["test_crashes"]["signal"]) == ("crash", signal.SIGABRT)
    assert tests["test_n[3]"]["private_bytes"] > 0
    for test in tests.values():
        assert_steps_in_order(test)


def test_a_worker_that_crashes(suite: Suite) -> None:
    """Its test is a failure; what the others and it have told before is there."""
    pytest.importorskip("xdist")
    suite.write(
        test_worker="""
        import os
        import pytest
        def test_ends_the_worker(): os._exit(1)
        @pytest.mark.forked
        @pytest.mark.parametrize("n", range(6))
        def test_forked(n): pass
        """
    )
    suite.run("-p", "xdist", "-p", "forkiso", "-n", "1", "--fork-report=report.json")
    tests = read(suite)
    assert tests["test_ends_the_worker"]["outcome"] == "failed"
    assert all(tests[f"test_forked[{n}]"]["outcome"] == "passed" for n in range(6))


@pytest.mark.parametrize("workers", [[], ["-p", "xdist", "-n", "1"]], ids=["alone", "xdist"])
def test_an_early_end(suite: Suite, workers: list[str]) -> None:
    """With -x the report is written, with the failure in it."""
    if workers:
        pytest.importorskip("xdist")
    suite.write(
        test_stop="def test_a(): pass\ndef test_b(): assert 0\n" + "".join(f"def test_{n}(): pass\n" for n in range(30))
    )
    suite.run("-p", "forkiso", "--forked", "-x", "--fork-report=report.json", *workers)
    tests = read(suite)
    assert tests["test_a"]["outcome"] == "passed"
    assert tests["test_b"]["outcome"] == "failed"
    assert tests["test_a"]["pid"] is not None
    if not workers:
        assert (tests["test_b"]["end"], tests["test_b"]["exit_code"]) == ("exit", 0)
        assert len(tests) == 2


def test_an_interrupted_run(suite: Suite) -> None:
    """After Ctrl-C the report is written; the test that ran is in it."""
    suite.write(
        test_long="""
        import pathlib, time
        def test_short(): pass
        def test_long():
            pathlib.Path("begun").touch()
            time.sleep(100)
        """
    )
    process = suite.start("-p", "forkiso", "--forked", "--fork-report=report.json")
    wait_for((suite.path / "begun").exists, "the test begins")
    os.kill(process.pid, signal.SIGINT)
    run = process.finish()
    assert run.code == pytest.ExitCode.INTERRUPTED
    tests = read(suite)
    assert tests["test_short"]["outcome"] == "passed"
    assert tests["test_long"]["end"] == "interrupted"
    assert json.loads((suite.path / "report.json").read_text())["run"]["exit_status"] == 2


def assert_refused(run: Run, *words: str) -> None:
    """Check that no test ran, and that the message has these words."""
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    assert not run.reports
    assert all(word in run.out for word in words), run.out


def test_files_that_cannot_be(suite: Suite) -> None:
    """Said before the first test: an ending that says nothing, a folder, a file for a folder."""
    suite.write(test_a="def test_a(): pass")
    (suite.path / "folder.json").mkdir()
    (suite.path / "file").write_text("")
    assert_refused(suite.forked("--fork-report=report.txt"), "--fork-report", ".html, .json, .trace.json", "report.txt")
    assert_refused(suite.forked("--fork-report=folder.json"), "folder.json", "Is a directory")
    assert_refused(suite.forked("--fork-report=file/report.json"), "file/report.json")
    assert not list(suite.path.glob("report.*"))


def test_nothing_is_measured_without_a_report(suite: Suite) -> None:
    """Then a child does not look at its memory; the hook gets what costs nothing."""
    suite.write(
        conftest="""
        def pytest_forkiso_child_ended(nodeid, figures):
            print("told", nodeid, figures.private_bytes, figures.page_faults, figures.end, figures.job)
        """,
        test_a="def test_a(): pass",
    )
    run = suite.forked("-s")
    assert "told test_a.py::test_a None None exit 0" in run.out
    run = suite.forked("-s", "--fork-report=report.json")
    assert "told test_a.py::test_a None" not in run.out


def test_a_bare_template(suite: Suite) -> None:
    """Sessions in its children write no reports, and send their figures."""
    suite.write(test_a="def test_a(): pass\ndef test_b(): pass")
    assert suite.forked("--fork-template=bare", "--fork-report=report.json").code == 0
    tests = read(suite)
    assert list(tests) == ["test_a", "test_b"]
    assert all(test["private_bytes"] for test in tests.values())
