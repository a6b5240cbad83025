"""What ends a run early, chooses tests by the last run, or interrupts: as without the plugin."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same, steady_terminal

from helpers import is_gone, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from inner import Process, Suite

SEQUENCE = """
import pytest
def test_a(): pass
def test_b(): assert 0
def test_c(): pass
@pytest.mark.skip
def test_d(): pass
def test_e(): assert 0
def test_f(): pass
"""

WAITS = """
import os, pathlib, threading
import pytest

@pytest.fixture
def fixture():
    yield
    pathlib.Path("torn_down").write_text("yes")

def test_first(): pass
def test_waits(fixture):
    pathlib.Path("pid").write_text(str(os.getpid()))
    pathlib.Path("waits").write_text("yes")
    threading.Event().wait()
def test_never(): pathlib.Path("never").write_text("ran")
"""


@pytest.mark.parametrize(
    "options",
    [["-x"], ["--maxfail=2"], ["--co", "-q"], ["-k", "a or e", "--deselect", "test_sequence.py::test_a"]],
    ids=" ".join,
)
def test_early_ends(suite: Suite, options: list[str]) -> None:
    """The run stops where it would stop, with the same words and code."""
    suite.write(test_sequence=SEQUENCE)
    plain = suite.plain(*options)
    forked = suite.forked(*options)
    if "--co" in options:
        assert steady_terminal(forked) == steady_terminal(plain)
    else:
        assert_same(plain, forked)


@pytest.mark.parametrize("option", ["--lf", "--ff", "--nf", "--stepwise", "--stepwise-skip"])
def test_choices_by_the_last_run(suite: Suite, option: str) -> None:
    """What the last run's failures are is remembered of forked tests as of others."""
    suite.write(test_sequence=SEQUENCE, test_other="def test_g(): assert 0")
    results = []
    for run in (suite.plain, suite.forked):
        suite.pytester.run("rm", "-rf", ".pytest_cache")
        run("--maxfail=2", "-q")
        results.append(run(option, "-v"))
    assert_same(*results)


@pytest.mark.parametrize("where", ["call", "setup", "teardown"])
@pytest.mark.parametrize("code", [None, 7])
def test_pytest_exit(suite: Suite, where: str, code: int | None) -> None:
    """pytest.exit in a test stops the run, with its message and return code."""
    suite.write(
        test_exit=f"""
        import pytest
        def leave(phase):
            if phase == "{where}": pytest.exit("enough of it", returncode={code})
        @pytest.fixture
        def fixture():
            leave("setup")
            yield
            leave("teardown")
        def test_a(): pass
        def test_b(fixture): leave("call")
        def test_c(): pass
        """
    )
    plain, forked = suite.plain(), suite.forked()
    assert "enough of it" in forked.out
    assert "test_c" not in forked.outcomes()
    assert (forked.code, forked.outcomes()) == (plain.code, plain.outcomes())


def test_keyboard_interrupt_in_a_test(suite: Suite) -> None:
    """The run stops; fixtures are torn down, the summary is printed."""
    suite.write(
        test_interrupt="""
        import pathlib
        import pytest
        @pytest.fixture
        def fixture():
            yield
            pathlib.Path("torn_down").write_text("yes")
        def test_a(): pass
        def test_b(fixture): raise KeyboardInterrupt
        def test_c(): pass
        """
    )
    run = suite.forked()
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert "1 passed" in run.out
    assert "KeyboardInterrupt" in run.out
    assert "test_c" not in run.outcomes()
    assert (suite.path / "torn_down").exists()


def interrupt_group(process: Process) -> None:
    """As Ctrl-C at a terminal does."""
    os.killpg(process.pid, signal.SIGINT)


def interrupt_alone(process: Process) -> None:
    """As ``kill -INT`` does."""
    os.kill(process.pid, signal.SIGINT)


@pytest.mark.parametrize("send", [interrupt_group, interrupt_alone])
def test_ctrl_c(suite: Suite, send: Callable[[Process], None]) -> None:
    """The running test is torn down, the summary printed, and all processes are gone with pytest."""
    suite.write(test_waits=WAITS)
    process = suite.start("-p", "forkiso", "--forked")
    wait_for((suite.path / "waits").exists, "the test runs")
    send(process)
    run = process.finish()
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert "1 passed" in run.out
    assert "KeyboardInterrupt" in run.out
    assert (suite.path / "torn_down").exists()
    assert not (suite.path / "never").exists()


def test_ctrl_c_just_after_a_test_was_ordered(suite: Suite) -> None:
    """The order may be the last thing that pytest does before it is interrupted; the test is torn down all the same."""
    suite.write(
        interrupting="""
        import pathlib, signal, sys, time
        def pytest_collection_finish():
            orders = []
            def profile(frame, event, argument):
                if event != "c_return" or frame.f_code.co_filename != conversation or argument.__name__ != "send":
                    return
                orders.append(argument)
                if len(orders) == 2:
                    while not pathlib.Path("waits").exists(): time.sleep(0.01)
                    signal.raise_signal(signal.SIGINT)
            import pytest_forkiso._conversation
            conversation = pytest_forkiso._conversation.__file__
            sys.setprofile(profile)
        """,
        test_waits=WAITS,
    )
    run = suite.forked("-p", "interrupting")
    assert run.code == pytest.ExitCode.INTERRUPTED, run.out
    assert "1 passed" in run.out
    assert (suite.path / "torn_down").exists()


def test_another_interrupt_does_not_break_off_the_teardown(suite: Suite) -> None:
    """Once a test has been interrupted, its fixtures are torn down whatever comes."""
    suite.write(
        test_a="""
        import os, pathlib, signal
        import pytest
        @pytest.fixture
        def fixture():
            yield
            os.kill(os.getpid(), signal.SIGINT)
            pathlib.Path("torn-down").touch()
        def test_a(fixture): raise KeyboardInterrupt
        """
    )
    run = suite.forked()
    assert run.code == pytest.ExitCode.INTERRUPTED, run.out
    assert (suite.path / "torn-down").exists()


def test_ctrl_c_against_a_test_that_ignores_it(suite: Suite) -> None:
    """A test that does not end by itself is ended."""
    suite.write(
        test_waits=WAITS.replace(
            "threading.Event", "import signal; signal.pthread_sigmask(0, range(1, 32)); threading.Event"
        )
    )
    process = suite.start("-p", "forkiso", "--forked")
    wait_for((suite.path / "waits").exists, "the test runs")
    interrupt_alone(process)
    run = process.finish()
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert "1 passed" in run.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
@pytest.mark.parametrize("whom", ["pytest", "its group"])
@pytest.mark.parametrize("kind", ["fork", "bare"])
def test_a_signal_that_ends_pytest_ends_the_test(suite: Suite, number: signal.Signals, whom: str, kind: str) -> None:
    """When pytest's own process goes, template and children go, a test in the middle of its work as well.

    Also where the template, which is of the same process group, is ended by the same signal.
    """
    suite.write(test_waits=WAITS)
    process = suite.start("-p", "forkiso", "--forked", f"--fork-template={kind}")
    wait_for((suite.path / "waits").exists, "the test runs")
    child = int((suite.path / "pid").read_text())
    assert not is_gone(child)
    if whom == "pytest":
        process.popen.send_signal(number)
    else:
        os.killpg(process.pid, number)
    assert process.popen.wait(60) == -number
    wait_for(lambda: is_gone(child), "the test's process is gone")
    wait_for(lambda: not suite.processes(), "all processes are gone")


def test_collection_errors(suite: Suite) -> None:
    """A module that cannot be collected stops the run, or does not, as ever."""
    suite.write(test_broken="import no_such_module", test_fine="def test_a(): pass")
    for options in (["-q"], ["-q", "--continue-on-collection-errors"]):
        plain, forked = suite.plain(*options), suite.forked(*options)
        assert (forked.code, forked.outcomes()) == (plain.code, plain.outcomes())
        assert "no_such_module" in forked.out


def test_no_tests(suite: Suite) -> None:
    """Nothing collected: exit code 5."""
    suite.write(test_empty="")
    assert suite.forked().code == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("attribute", ["shouldstop", "shouldfail"])
def test_a_plugin_stops_the_run(suite: Suite, attribute: str) -> None:
    """session.shouldstop, set by a plugin in a test's process or in pytest's own, stops the run."""
    suite.write(
        conftest=f"""
        import os
        def pytest_runtest_teardown(item):
            if item.name == os.environ["IN_CHILD"]: item.session.{attribute} = "stopped by a plugin"
        def pytest_runtest_logreport(report):
            pass
        """,
        test_sequence="def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass",
    )
    suite.environment["IN_CHILD"] = "test_b"
    plain, forked = suite.plain(), suite.forked()
    assert "stopped by a plugin" in forked.out
    assert (forked.code, forked.outcomes()) == (plain.code, plain.outcomes())


INTERRUPTS = {
    "own": "class Own(KeyboardInterrupt): pass\ndef leave(): raise Own('enough')",
    "silent": "class Own(KeyboardInterrupt):\n    def __str__(self): raise ValueError\ndef leave(): raise Own",
    "message": "def leave(): raise KeyboardInterrupt('enough')",
    "exit": "import pytest\nclass Own(pytest.exit.Exception): pass\ndef leave(): raise Own('enough', 5)",
}


@pytest.mark.parametrize("source", INTERRUPTS.values(), ids=INTERRUPTS)
def test_how_a_test_stops_the_run(suite: Suite, source: str) -> None:
    """The exception has its own name and message, its place is shown, and pytest is told of no end of the test."""
    suite.write(test_leaves=f"{source}\ndef test_a(): pass\ndef test_b(): leave()\ndef test_c(): pass")
    assert_same(suite.plain(), suite.forked())


@pytest.mark.parametrize("leave", ["raise KeyboardInterrupt", "pytest.exit('enough', 5)"])
def test_a_test_stops_the_run_where_there_is_no_terminal(suite: Suite, leave: str) -> None:
    """What asks for tracebacks is an option of pytest's terminal plugin, and may not be there."""
    suite.write(test_leaves=f"import pytest\ndef test_a(): {leave}\ndef test_b(): pass")
    plain, forked = suite.plain("-p", "no:terminal"), suite.forked("-p", "no:terminal")
    assert (forked.code, forked.records) == (plain.code, plain.records)


def test_the_whole_traceback_of_an_interrupt(suite: Suite) -> None:
    """With --full-trace it is that of the test, and not of how pytest's own process waited for it."""
    suite.write(test_leaves="def leave(): raise KeyboardInterrupt\ndef test_b(): leave()")
    run = suite.forked("--full-trace")
    assert 'test_leaves.py", line 2, in test_b' in run.out
    assert "in the test's process:" in run.out


@pytest.mark.parametrize("send", [interrupt_group, interrupt_alone])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_where_ctrl_c_has_met_a_test(suite: Suite, send: Callable[[Process], None], jobs: str) -> None:
    """The summary names the line at which the test was, as it does where tests run in pytest's own process."""
    suite.write(
        test_waits="""
        import _signal, pathlib
        def test_waits():
            _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])
            pathlib.Path("waits").write_text("yes")
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT])
            while True: pass
        """
    )
    process = suite.start("-p", "forkiso", "--forked", "--fork-jobs", jobs)
    wait_for((suite.path / "waits").exists, "the test runs")
    send(process)
    run = process.finish()
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert re.search(r"test_waits\.py:[56]: KeyboardInterrupt", run.out), run.out


def test_a_mark_that_pytest_cannot_read(suite: Suite) -> None:
    """A usage error that a test's mark makes ends the run as such, with pytest's words for it."""
    suite.write(
        test_marked="""
        import pytest
        @pytest.mark.filterwarnings("error:a:b:c:d:e:f")
        def test_a(): pass
        """
    )
    plain, forked = suite.plain(), suite.forked()
    assert forked.code == plain.code == pytest.ExitCode.USAGE_ERROR
    assert forked.out.partition("ERROR: ")[2] == plain.out.partition("ERROR: ")[2] != ""
