"""Shared fixtures are torn down once, however the run ends, and whatever becomes of the tests."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from inner_compare import steady_records

from helpers import wait_for

if TYPE_CHECKING:
    from inner import Run, Suite

FIXTURES = """
import os, threading
import pytest

def note(*words):
    with open("log", "a") as file: print(*words, file=file)

def make(scope):
    @pytest.fixture(scope=scope, name=scope + "_fixture")
    def fixture():
        note("setup", scope); yield os.getpid(); note("teardown", scope)
    return fixture

session_fixture, module_fixture, class_fixture = map(make, ["session", "module", "class"])
USED = pytest.mark.usefixtures("session_fixture", "module_fixture", "class_fixture")
"""
ALL = [f"{word} {scope}" for word in ("setup", "teardown") for scope in ("session", "module", "class")]
ALL[3:] = reversed(ALL[3:])


def noted(suite: Suite) -> list[str]:
    """Give what the fixtures have noted."""
    return (suite.path / "log").read_text().splitlines()


@pytest.mark.parametrize(
    ("body", "arguments", "code"),
    [
        ("os.abort()", (), 1),
        ("os._exit(0)", (), 1),
        ("assert 0", ("-x",), 1),
        ("os.kill(os.getpid(), 9)", ("-x",), 1),
        ("request.session.shouldstop = 'enough'", (), 2),
        ("pytest.exit('enough', 7)", (), 7),
        ("raise KeyboardInterrupt", (), 2),
        ("threading.Event().wait()", ("--fork-timeout=2",), 1),
    ],
)
def test_a_test_that_ends_badly(suite: Suite, body: str, arguments: tuple[str, ...], code: int) -> None:
    """A crash, an early end or a deadline in a test leaves the fixtures whole, and each is torn down once."""
    suite.write(
        conftest=FIXTURES,
        test_end=f"""
        from conftest import USED, note, os, pytest, threading
        @USED
        class TestIt:
            def test_it(self, request): {body}
        """,
    )
    run = suite.forked("--fork-share=session", *arguments)
    assert run.code == code, run.out
    assert noted(suite) == ALL


@pytest.mark.parametrize("arguments", [(), ("-x",)])
def test_teardowns_that_fail_at_an_early_end(suite: Suite, arguments: tuple[str, ...]) -> None:
    """They are errors of the test that was the last one."""
    suite.write(
        test_end="""
        import pytest
        @pytest.fixture(scope="session")
        def wide(): yield; raise ValueError("wide")
        @pytest.fixture(scope="module")
        def narrow(): yield; raise ValueError("narrow")
        def test_fails(wide, narrow): assert 0
        def test_last(wide, narrow): pass
        """
    )
    run = suite.forked("--fork-share=session", *arguments)
    assert "ValueError: narrow" in run.out
    assert "ValueError: wide" in run.out
    # pytest makes one error of both, we one of each.
    if arguments:
        assert run.outcomes() == {"test_fails": "failed+error+error"}
    else:
        assert run.outcomes() == {"test_fails": "failed", "test_last": "passed+error+error"}


@pytest.mark.parametrize("place", ["test", "set-up", "teardown"])
def test_ctrl_c(suite: Suite, place: str) -> None:
    """Ctrl-C while a test, a shared set-up or a shared teardown runs: what is set up is torn down; nothing is left."""
    wait = "note('waits'); threading.Event().wait()"
    bodies = {each: wait if each == place else "pass" for each in ("test", "set-up", "teardown")}
    suite.write(
        conftest=FIXTURES,
        test_wait=f"""
        from conftest import USED, note, os, pytest, threading
        @pytest.fixture(scope="module")
        def waiting(session_fixture):
            {bodies["set-up"]}
            yield
            {bodies["teardown"]}
        def test_wait(waiting): {bodies["test"]}
        """,
    )
    process = suite.start("-p", "forkiso", "--forked", "--fork-share=session")
    wait_for(lambda: (suite.path / "log").exists() and "waits" in noted(suite), "the wait has begun")
    os.kill(process.pid, signal.SIGINT)
    run = process.finish()
    assert run.code == 2, run.out
    assert noted(suite) == ["setup session", "waits", "teardown session"]


def interrupted(suite: Suite, *arguments: str) -> Run:
    """Run the suite, and press Ctrl-C as soon as it has noted that it waits."""
    process = suite.start("-p", "forkiso", "--forked", "--fork-share=session", *arguments)
    wait_for(lambda: (suite.path / "log").exists() and "waits" in noted(suite), "the wait has begun")
    os.kill(process.pid, signal.SIGINT)
    return process.finish()


def test_ctrl_c_and_a_set_up_that_is_deaf_to_it(suite: Suite) -> None:
    """It is ended, and what was set up before it is torn down."""
    suite.write(
        conftest=FIXTURES,
        test_wait="""
        import signal
        from conftest import USED, note, os, pytest, threading
        @pytest.fixture(scope="module")
        def deaf(session_fixture):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            note("waits")
            threading.Event().wait()
        def test_it(deaf): pass
        """,
    )
    run = interrupted(suite)
    assert run.code == 2, run.out
    assert "INTERNALERROR" not in run.out
    assert noted(suite) == ["setup session", "waits", "teardown session"]


def test_ctrl_c_and_a_teardown_that_hangs(suite: Suite) -> None:
    """The time for all teardowns is limited then; the fixture looks for processes that are left."""
    suite.write(
        conftest=FIXTURES,
        hasty="from pytest_forkiso import _sharing\n_sharing.CLOSING_TIME = 1.0",
        test_wait="""
        from conftest import USED, note, os, pytest, threading
        @pytest.fixture(scope="module")
        def hanging(session_fixture):
            yield
            note("hangs")
            threading.Event().wait()
        def test_before(hanging): pass
        def test_it(hanging):
            note("waits")
            threading.Event().wait()
        """,
    )
    run = interrupted(suite, "-p", "hasty")
    assert run.code == 2, run.out
    assert noted(suite)[:3] == ["setup session", "waits", "hangs"]
    text = "".join(report.everything for report in run.reports)
    assert "Timeout: teardown of the fixtures 'hanging' was ended, since it took longer than 1 s" in text


def test_ctrl_c_while_an_older_node_is_still_in_use(suite: Suite) -> None:
    """No later test needs its fixtures, and the chain is without them: they are torn down all the same."""
    suite.write(
        conftest=FIXTURES,
        test_one="""
        from conftest import USED, note, os, pytest, threading
        def test_it(module_fixture): threading.Event().wait()
        """,
        test_two="""
        from conftest import USED, note, os, pytest, threading
        def test_it():
            note("waits")
            threading.Event().wait()
        """,
    )
    run = interrupted(suite, "--fork-jobs=2")
    assert run.code == 2, run.out
    assert noted(suite) == ["setup module", "waits", "teardown module"]


@pytest.mark.parametrize(("body", "code"), [("pytest.exit('enough', 5)", 5), ("raise KeyboardInterrupt", 2)])
def test_a_set_up_that_ends_the_run(suite: Suite, body: str, code: int) -> None:
    """`pytest.exit` and KeyboardInterrupt in a shared set-up do what they always do."""
    suite.write(
        conftest=FIXTURES,
        test_exit=f"""
        from conftest import USED, note, os, pytest, threading
        @pytest.fixture(scope="module")
        def ending(session_fixture): {body}
        def test_it(ending): note("never")
        """,
    )
    run = suite.forked("--fork-share=session")
    assert run.code == code, run.out
    assert noted(suite) == ["setup session", "teardown session"]


@pytest.mark.parametrize("jobs", ["1", "2", "auto", "20"])
def test_jobs(suite: Suite, jobs: str) -> None:
    """With several jobs everything is set up once as well, and the reports are the same, in the same order."""
    tests = """
        from conftest import USED, note, os, pytest, threading
        @USED
        class TestIt:
            @pytest.mark.parametrize("n", range(6))
            def test_it(self, n): print(n); assert n != 4
        def test_other(session_fixture): pass
        """
    suite.write(conftest=FIXTURES, test_a=tests, test_b=tests, test_c=tests)
    one = suite.forked("--fork-share=session", "-rA")
    (suite.path / "log").unlink()
    many = suite.forked("--fork-share=session", "-rA", f"--fork-jobs={jobs}")
    assert steady_records(many) == steady_records(one)
    lines = noted(suite)
    for scope, count in (("session", 1), ("module", 3), ("class", 3)):
        assert lines.count(f"setup {scope}") == lines.count(f"teardown {scope}") == count


def test_tests_from_one_snapshot_run_at_a_time(suite: Suite) -> None:
    """Two tests that wait for each other pass."""
    suite.write(
        conftest=FIXTURES,
        test_meet="""
        from conftest import USED, note, os, pytest, threading
        import pathlib, time
        def meet(own, other):
            pathlib.Path(own).touch()
            while not pathlib.Path(other).exists(): time.sleep(0.01)
        def test_a(module_fixture): meet("a", "b")
        def test_b(module_fixture): meet("b", "a")
        """,
    )
    assert suite.forked("--fork-jobs=2", "--fork-timeout=30", "--fork-share=session").code == 0
    assert noted(suite) == ["setup module", "teardown module"]


def test_unmarked_tests_in_between(suite: Suite) -> None:
    """Pytest's own process has fixtures of its own; the snapshots stay over its tests."""
    suite.write(
        conftest=FIXTURES,
        test_mixed="""
        from conftest import USED, note, os, pytest, threading
        forked = pytest.mark.forked(share="session")
        @forked
        def test_a(session_fixture): assert session_fixture != os.getpid()
        def test_b(session_fixture): assert session_fixture == os.getpid()
        @forked
        def test_c(session_fixture): assert session_fixture != os.getpid()
        def test_d(session_fixture): assert session_fixture == os.getpid()
        """,
    )
    run = suite.run("-p", "forkiso")
    assert run.code == 0, run.out
    assert noted(suite) == ["setup session", "setup session", "teardown session", "teardown session"]


@pytest.mark.parametrize("kind", ["fork", "exec", "early"])
def test_sources_of_the_template(suite: Suite, kind: str) -> None:
    """Each template that has collected the tests can hold fixtures."""
    suite.write(
        conftest=FIXTURES,
        test_it="def test_it(session_fixture): pass\ntest_b = test_it",
    )
    run = suite.forked("--fork-share=session", f"--fork-template={kind}")
    assert run.code == 0, run.out
    assert noted(suite).count("setup session") == noted(suite).count("teardown session") == 1


def test_xdist(suite: Suite) -> None:
    """Each worker has a chain of its own."""
    pytest.importorskip("xdist")
    suite.write(
        conftest=FIXTURES,
        test_it="""
        from conftest import USED, note, os, pytest, threading
        @USED
        @pytest.mark.parametrize("n", range(6))
        def test_it(n, module_fixture): assert module_fixture != os.getpid()
        """,
    )
    run = suite.forked("--fork-share=session", "-p", "xdist.plugin", "-n2")
    assert run.code == 0, run.out
    lines = noted(suite)
    assert 1 <= lines.count("setup session") == lines.count("teardown session") <= 2


def test_reruns(suite: Suite) -> None:
    """Each attempt starts from the same snapshot."""
    pytest.importorskip("pytest_rerunfailures")
    suite.write(
        conftest=FIXTURES,
        test_it="""
        from conftest import USED, note, os, pytest, threading
        @pytest.fixture(scope="module")
        def values(session_fixture): note("values"); return []
        def test_it(values):
            values.append(1); note("attempt"); assert values == [1]
            if noted() == 1: os.abort()
            assert noted() == 3
        def noted(): return open("log").read().count("attempt")
        """,
    )
    run = suite.forked("--fork-share=session", "-p", "rerunfailures", "--reruns=3")
    assert run.code == 0, run.out
    assert noted(suite) == ["setup session", "values", "attempt", "attempt", "attempt", "teardown session"]


def outcomes_and_log(suite: Suite, run: Run) -> tuple[dict[str, str], list[str]]:
    """Give both, and forget the log."""
    lines = noted(suite)
    (suite.path / "log").unlink()
    return run.outcomes(), lines


def test_what_is_asked_for_while_a_test_runs(suite: Suite) -> None:
    """`getfixturevalue` in a test sets up in its process, where it is torn down; what the chain has it finds there."""
    suite.write(
        conftest=FIXTURES,
        test_it="""
        from conftest import USED, note, os, pytest, threading
        @pytest.fixture(scope="session")
        def owner(session_fixture): note("setup owner"); yield os.getpid(); note("teardown owner")
        def test_own(request): assert request.getfixturevalue("owner") == os.getpid()
        def test_shared(session_fixture, request): assert request.getfixturevalue("session_fixture") != os.getpid()
        @pytest.fixture(scope="module")
        def asks(request): return request.getfixturevalue("owner")
        def test_asks(asks, request): assert asks == request.getfixturevalue("owner") != os.getpid()
        """,
    )
    run = suite.forked("--fork-share=session")
    assert run.code == 0, run.out
    owned = ["setup owner", "teardown owner"]
    assert noted(suite) == ["setup session", *owned, "teardown session"] * 2


def test_tmp_path_factory(suite: Suite) -> None:
    """Folders of shared fixtures lie below the base directory of the run, and are there as long as these."""
    suite.write(
        test_tmp="""
        import pytest
        @pytest.fixture(scope="module")
        def folder(tmp_path_factory):
            made = tmp_path_factory.mktemp("shared")
            (made / "file").write_text("text")
            return made
        @pytest.mark.parametrize("n", [1, 2])
        def test_it(folder, tmp_path, tmp_path_factory, n):
            assert (folder / "file").read_text() == "text"
            assert folder.parent == tmp_path.parent == tmp_path_factory.getbasetemp()
            assert tmp_path_factory.mktemp("shared") != folder
        """
    )
    run = suite.forked("--fork-share=session", "-p", "no:cacheprovider")
    assert run.code == 0, run.out
