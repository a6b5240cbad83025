"""Templates that end while their tests run, or stop: it costs the tests that ran from them, and the run goes on."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Run, Suite

BEGIN = """
import ctypes, os, pathlib, signal, subprocess, sys, threading, time
import pytest

def wait(): threading.Event().wait()

def wait_for(*names):
    while not all(pathlib.Path(name).exists() for name in names): time.sleep(0.01)

def note(word):
    with open("notes", "a") as file: print(word, file=file)

def end(number=signal.SIGKILL, pid=None):
    os.kill(pid or os.getppid(), number)
    wait()
"""
SUMMARY = "forkiso: a template was ended by SIGKILL (signal 9: Killed); it may have been "


def write(suite: Suite, tests: str, **others: str) -> None:
    """Write a module of tests, with what they need."""
    lines = tests.splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    suite.write(test_it=BEGIN + "\n".join(line[indent:] for line in lines), **others)


def notes(suite: Suite) -> list[str]:
    """Give what the tests have noted."""
    return (suite.path / "notes").read_text().split()


def is_told_once(run: Run, name: str, words: str = "the template of this test's process was ended by SIGKILL") -> bool:
    """Tell whether a test is reported as cut off, once, and the run ended as one with a failure."""
    assert run.code == pytest.ExitCode.TESTS_FAILED, run.out
    report = run.failure(name)
    assert report.outcome == "failed"
    assert report.text.count(words) == 1, report.text
    assert "INTERNALERROR" not in run.out
    return True


THREE = """
    def test_a(): pass
    def test_b(): end({number})
    def test_c(): pass
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal(suite: Suite, number: signal.Signals) -> None:
    """The test that ends its parent has failed, with the signal's name; those after it run."""
    write(suite, THREE.format(number=int(number)))
    run = suite.forked()
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed", "test_c": "passed"}, run.out
    words = f"Crash in call: the template of this test's process was ended by {number.name} (signal {int(number)}: "
    assert is_told_once(run, "test_b", words)
    assert "by this test itself, as by os.kill(os.getppid(), …), " in run.failure("test_b").text
    assert ", or for a lack of memory." in run.failure("test_b").text
    # The process of the test before may not have ended yet.
    (line,) = [line for line in run.out.splitlines() if line.startswith("forkiso: a template was ended by ")]
    assert line.endswith("test_it.py::test_b, or a lack of memory.")
    assert run.phases("test_b") == ["setup passed", "call failed"]


@pytest.mark.parametrize("phase", ["setup", "teardown"])
def test_in_another_phase(suite: Suite, phase: str) -> None:
    """It is that phase that has failed."""
    bodies = {"setup": "end(); yield", "teardown": "yield; end()"}
    write(
        suite,
        f"""
        @pytest.fixture
        def ending(): {bodies[phase]}
        def test_b(ending): pass
        def test_c(): pass
        """,
    )
    run = suite.forked()
    assert is_told_once(run, "test_b", f"Crash in {phase}: the template of this test's process was ended by SIGKILL")
    assert run.outcomes()["test_c"] == "passed"


def test_its_process_group(suite: Suite) -> None:
    """A test that kills its group takes nobody with it: it has one of its own."""
    write(suite, "def test_b(): os.kill(0, signal.SIGKILL)\ndef test_c(): pass")
    run = suite.forked()
    assert is_told_once(run, "test_b", "Crash in call: the test's process was ended by SIGKILL")
    assert run.outcomes()["test_c"] == "passed"


def test_without_memory(suite: Suite) -> None:
    """What the kernel does where memory is short, when it has chosen the template: no test has done it."""
    write(
        suite,
        """
        def test_a(): pathlib.Path("template").write_text(f"{os.getpid()} {os.getppid()} !"); wait()
        def test_b(): pass
        """,
    )
    process = suite.start("-p", "forkiso", "--forked")
    template = suite.path / "template"
    from helpers import wait_for

    wait_for(lambda: template.exists() and template.read_text().endswith("!"), "the test runs")
    import os

    os.kill(int(template.read_text().split()[1]), signal.SIGKILL)
    run = process.finish()
    assert is_told_once(run, "test_a")
    assert run.outcomes()["test_b"] == "passed"


def test_jobs(suite: Suite) -> None:
    """All that ran from it are cut off and name each other; what has begun nothing yet runs from the next template."""
    write(
        suite,
        """
        def test_a(): pathlib.Path("a").touch(); wait_for("b"); end()
        def test_b(): pathlib.Path("b").touch(); wait()
        def test_c(): pass
        def test_d(): pass
        """,
    )
    run = suite.forked("--fork-jobs=2")
    assert run.outcomes() == {"test_a": "failed", "test_b": "failed", "test_c": "passed", "test_d": "passed"}, run.out
    assert is_told_once(run, "test_a")
    assert is_told_once(run, "test_b")
    assert "by another one that had not ended yet (test_it.py::test_b)" in run.failure("test_a").text
    assert run.out.count(SUMMARY + "test_it.py::test_a or test_it.py::test_b, or a lack of memory.") == 1


def test_all_was_said(suite: Suite) -> None:
    """A test whose last word has come keeps its outcome; that the template is gone is said all the same."""
    write(
        suite,
        """
        class Stream:
            def write(self, text): return len(text)
            def flush(self):
                if sys._getframe(2).f_code.co_name == "_conclude": end()  # all is said
        def test_b(): sys.__stdout__ = Stream()
        """,
    )
    run = suite.forked()
    assert run.outcomes() == {"test_b": "passed"}, run.out
    assert run.code == pytest.ExitCode.OK
    assert SUMMARY + "test_it.py::test_b, or a lack of memory." in run.out


def test_what_is_left_is_ended(suite: Suite) -> None:
    """The test's process where it does not die with its parent, and what it has started; the fixture looks for them."""
    write(
        suite,
        """
        def test_b():
            subprocess.Popen(["sleep", "1000"])
            assert ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0  # PR_SET_PDEATHSIG: none
            end()
        def test_c(): pass
        """,
    )
    run = suite.forked()
    assert is_told_once(run, "test_b")
    assert run.outcomes()["test_c"] == "passed"


def test_the_first_failure_ends_the_run(suite: Suite) -> None:
    """With -x no other template is made."""
    write(suite, THREE.format(number=9))
    run = suite.forked("-x")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed"}, run.out
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert "stopping after 1 failures" in run.out


def test_failures_are_counted_over_templates(suite: Suite) -> None:
    """With --maxfail, a new template's children know of no failure before."""
    write(suite, THREE.format(number=9) + "    def test_d(): assert 0\n    def test_e(): pass")
    run = suite.forked("--maxfail=2")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed", "test_c": "passed", "test_d": "failed"}, run.out


@pytest.mark.parametrize(
    ("source", "following"), [("fork", ""), ("exec", ""), ("bare", ""), ("early", "exec"), ("auto", "")]
)
def test_sources(suite: Suite, source: str, following: str) -> None:
    """There is another template of the same source, where that can be; what is new is said."""
    write(suite, THREE.format(number=9))
    run = suite.forked(f"--fork-template={source}")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed", "test_c": "passed"}, run.out
    assert is_told_once(run, "test_b")
    said = f"forkiso: the template after it is '{following}', because the one before is gone"
    assert (said in run.out) == bool(following)


def test_tests_that_are_not_forked(suite: Suite) -> None:
    """What they have left in pytest's own process must reach no forked one: the next template comes from elsewhere."""
    write(
        suite,
        """
        changed = []
        @pytest.fixture(scope="session")
        def number(): return os.getpid()
        def test_here(number): changed.append(1); assert number == os.getpid()
        @pytest.mark.forked
        def test_b(): end()
        def test_here_again(number): assert number == os.getpid()
        @pytest.mark.forked
        def test_c(number): assert not changed and number == os.getpid()
        """,
    )
    run = suite.run("-p", "forkiso")
    assert is_told_once(run, "test_b")
    assert run.outcomes()["test_c"] == "passed"
    assert "forkiso: the template after it is 'exec', because the one before is gone" in run.out
    refused = suite.run("-p", "forkiso", "--fork-template=fork")
    assert refused.code == pytest.ExitCode.USAGE_ERROR
    assert "the template is gone, and there can be no other one from 'fork' in the middle of the run" in refused.out


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_too_many(suite: Suite, jobs: str) -> None:
    """At the third the run ends with an error that names the remedy; what was reported stays, and all ended is told."""
    write(suite, "@pytest.mark.parametrize('n', range(9))\ndef test_it(n): n == 0 or end()")
    run = suite.forked(f"--fork-jobs={jobs}")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    outcomes = run.outcomes()
    assert outcomes["test_it[0]"] == "passed" or jobs == "2"
    left_out = 9 - sum(bool(outcome) for outcome in outcomes.values())
    assert f"ERROR: 3 templates were lost, as said above, and {left_out} tests have not been run" in run.out
    assert run.out.count(SUMMARY) == 3
    assert "--fork-jobs" in run.out


def test_the_last_of_too_many_is_the_last_test(suite: Suite) -> None:
    """Then there is nothing that has not been run."""
    write(suite, "@pytest.mark.parametrize('n', range(3))\ndef test_it(n): end()")
    assert suite.forked().code == pytest.ExitCode.TESTS_FAILED


# ------------------------------------------------------------------------------------------------------------- stopped


def test_stopped(suite: Suite) -> None:
    """A template that a test has stopped goes on when its part is missing, and no test is lost."""
    write(suite, THREE.format(number=9).replace("end(9)", "os.kill(os.getppid(), signal.SIGSTOP)"))
    run = suite.forked()
    assert run.outcomes() == {"test_a": "passed", "test_b": "passed", "test_c": "passed"}, run.out
    assert "a template" not in run.out


def test_stopped_before_a_crash(suite: Suite) -> None:
    """The test's own end is told as ever."""
    write(suite, THREE.format(number=9).replace("end(9)", "os.kill(os.getppid(), signal.SIGSTOP); os.abort()"))
    run = suite.forked()
    assert is_told_once(run, "test_b", "Crash in call: the test's process was ended by SIGABRT")
    assert run.outcomes()["test_c"] == "passed"


def test_stopped_with_the_first_failure(suite: Suite) -> None:
    """The run ends."""
    write(suite, THREE.format(number=9).replace("end(9)", "os.kill(os.getppid(), signal.SIGSTOP); assert 0"))
    run = suite.forked("-x")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed"}, run.out


def test_kept_from_going_on(suite: Suite) -> None:
    """A template that does not answer is ended, and the run goes on with another one."""
    write(
        suite,
        """
        def test_a(): pass
        @pytest.mark.forked(timeout=0.5)
        def test_b():
            while True: os.kill(os.getppid(), signal.SIGSTOP)
        def test_c(): pass
        """,
    )
    run = suite.forked()
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed", "test_c": "passed"}, run.out
    # Between two signals it may get as far as to end the test, which has taken too long.
    silent = "the template of this test's process did not answer for 5 s, and was ended"
    text = run.failure("test_b").text
    assert silent in text or "Timeout: call was ended" in text


# -------------------------------------------------------------------------------------------------------------- shared

SHARED = """
    def make(scope):
        @pytest.fixture(scope=scope)
        def fixture():
            note(f"+{scope}"); yield os.getpid(); note(f"-{scope}")
        return fixture
    whole, module = make("session"), make("module")
"""


def test_a_snapshot(suite: Suite) -> None:
    """What was set up in it is set up once more for the tests after it, and what was not torn down is named."""
    write(
        suite,
        SHARED
        + """
    def test_a(whole, module): assert os.getppid() == module
    def test_b(whole, module): end()
    def test_c(whole, module): assert os.getppid() == module
    """,
    )
    run = suite.forked("--fork-share=session")
    assert is_told_once(run, "test_b")
    assert "What was set up in it has not been torn down: 'module'." in run.failure("test_b").text
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed", "test_c": "passed"}, run.out
    assert notes(suite) == ["+session", "+module", "+module", "-module", "-session"]
    assert run.out.count(SUMMARY) == 1


def test_jobs_of_a_snapshot(suite: Suite) -> None:
    """Both tests from it are cut off, and those from the one above go on."""
    write(
        suite,
        SHARED
        + """
    def test_a(whole): pathlib.Path("a").touch(); wait_for("c"); assert os.getppid() == whole
    def test_b(whole, module): wait_for("a"); pathlib.Path("b").touch(); end()
    def test_c(whole, module): pathlib.Path("c").touch(); assert os.getppid() == module
    """,
    )
    run = suite.forked("--fork-share=session", "--fork-jobs=2")
    assert is_told_once(run, "test_b")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed", "test_c": "passed"}, run.out


def test_the_last_test_of_a_snapshot(suite: Suite) -> None:
    """What was set up in the template above is torn down as ever."""
    write(suite, SHARED + "    def test_a(whole, module): pass\n    def test_b(whole, module): end()\n")
    run = suite.forked("--fork-share=session")
    assert is_told_once(run, "test_b")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed"}, run.out
    assert notes(suite) == ["+session", "+module", "-session"]


def test_the_template_above_snapshots(suite: Suite) -> None:
    """What is set up lives on, is torn down, and set up once more in a new template."""
    write(
        suite,
        SHARED
        + """
    def above(pid): return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    def test_a(whole): pass
    def test_b(whole): os.kill(above(os.getppid()), signal.SIGKILL)
    def test_c(whole): assert os.getppid() == whole
    def test_d(): assert os.getppid() != os.getpgid(os.getppid())
    """,
    )
    run = suite.forked("--fork-share=session")
    assert set(run.outcomes().values()) == {"passed"}, run.out
    assert notes(suite) in (["+session", "-session"] * 2, ["+session", "-session"])
    assert "forkiso: a template was ended by SIGKILL (signal 9: Killed); " in run.out


def test_a_template_that_is_stopped_before_a_snapshot(suite: Suite) -> None:
    """A snapshot that is not forked in time waits for it."""
    write(
        suite,
        SHARED
        + """
    def test_a(): os.kill(os.getppid(), signal.SIGSTOP)
    def test_b(whole): assert os.getppid() == whole
    """,
    )
    run = suite.forked("--fork-share=session", "-o", "fork_alive_timeout=2")
    assert run.outcomes() == {"test_a": "passed", "test_b": "passed"}, run.out


# ----------------------------------------------------------------------------------------------------- beside the tests


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_in_a_worker(suite: Suite, jobs: str) -> None:
    """pytest-xdist: the worker goes on, and too many losses end the run with the same error."""
    pytest.importorskip("xdist")
    write(suite, THREE.format(number=9))
    run = suite.forked("-p", "xdist", "-n1", f"--fork-jobs={jobs}")
    assert list(run.outcomes()) == ["test_a", "test_b", "test_c"], run.out
    assert run.outcomes()["test_c"] == "passed" or jobs == "2"  # where it was running as well
    assert is_told_once(run, "test_b")
    write(suite, "@pytest.mark.parametrize('n', range(9))\ndef test_it(n): end()")
    run = suite.forked("-p", "xdist", "-n1", f"--fork-jobs={jobs}")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    assert "3 templates were lost, as said above, and " in run.out


def test_learning(suite: Suite) -> None:
    """Where the last test takes the template with it, nothing is learned, and that is said."""
    suite.write(late="")
    write(suite, "def test_a(): import late\ndef test_b(): import late\ndef test_c(): end()")
    run = suite.forked("--fork-preload=auto")
    assert is_told_once(run, "test_c")
    assert "forkiso: what tests import late was not measured, and is not learned: the template (pid " in run.out


def test_a_fork_that_ends_at_once(suite: Suite) -> None:
    """The next source is taken before the first test; or the run does not begin, where the user wants no other."""
    suite.write(
        conftest="""
        import os
        own = os.getpid()
        def end():
            if os.getppid() == own: os.abort()
        def pytest_configure(config):
            if not hasattr(config, "workerinput"): os.register_at_fork(after_in_child=end)
        """,
        test_it="def test_it(): pass",
    )
    assert suite.forked().outcomes() == {"test_it": "passed"}
    run = suite.forked("--fork-template=fork")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "a fork of pytest has ended at once: the template (pid " in run.out
    assert "died with signal 6 (SIGABRT); try --fork-template=bare" in run.out
