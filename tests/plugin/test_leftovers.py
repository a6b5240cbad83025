"""Processes that a test leaves behind are ended with it, and named in its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

LEAVES = """
import os, subprocess, sys
import pytest

def sleep(seconds, **options):
    process = subprocess.Popen(["sleep", str(seconds)], **options)
    while not open(f"/proc/{process.pid}/cmdline").read(): pass  # a moment after exec
    return process

def test_child(): sleep(1001)
def test_own_session(): sleep(1002, start_new_session=True)
def test_double_fork():
    reader, writer = os.pipe()  # closed by exec: afterwards the process has its new name
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: os.execvp("sleep", ["sleep", "1003"])
        os._exit(0)
    os.wait(); os.close(writer); os.read(reader, 1)
def test_ignores_sigterm():
    script = "trap '' TERM; echo ready; while :; do sleep 1004; done"
    subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE).stdout.readline()
def test_many():
    for _ in range(5): sleep(1005)
def test_holds_output(): subprocess.Popen("sleep 1006 & sleep 1007 &", shell=True).wait()
def test_stopped():
    import signal
    sleep(1008).send_signal(signal.SIGSTOP)
@pytest.fixture
def server():
    process = sleep(1009)
    yield process
    process.kill(); process.wait()
def test_cleans_up(server): pass
def test_fails(): sleep(1010); assert 0
def test_crashes(): sleep(1011, start_new_session=True); os._exit(1)
def test_thread_starts_it():
    import threading
    thread = threading.Thread(target=sleep, args=(1012,)); thread.start(); thread.join()
def test_thread_that_lives_on():
    import threading
    started = threading.Event()
    def start(): sleep(1013); started.set(); threading.Event().wait()
    threading.Thread(target=start, daemon=True).start(); started.wait()
def test_zombie():
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
"""

SECONDS = {
    "test_child": ["1001"],
    "test_own_session": ["1002"],
    "test_double_fork": ["1003"],
    "test_ignores_sigterm": ["1004"],
    "test_many": ["1005"] * 5,
    "test_holds_output": ["1006", "1007"],
    "test_stopped": ["1008"],
    "test_cleans_up": [],
    "test_fails": ["1010"],
    "test_crashes": ["1011"],
    "test_thread_starts_it": ["1012"],
    "test_thread_that_lives_on": ["1013"],
    "test_zombie": [],
}


@pytest.mark.parametrize("options", [[], ["-s"], ["--fork-jobs=2"]], ids=" ".join)
def test_left_processes(suite: Suite, options: list[str]) -> None:
    """Each is ended and named, whatever session, parent or signal mask it has; outcomes stay."""
    suite.write(test_leaves=LEAVES)
    run = suite.forked("-rP", *options)
    outcomes = run.outcomes()
    assert outcomes.pop("test_fails") == "failed"
    assert outcomes.pop("test_crashes") == "failed"
    assert set(outcomes.values()) == {"passed"}, run.out
    for name, commands in SECONDS.items():
        texts = [r.everything for r in run.reports if r.nodeid.endswith(f"::{name}")]
        named = [line for text in texts for line in text.splitlines() if line.startswith("ended process")]
        for command in commands:
            assert any(f"sleep {command}" in line for line in named), (name, named)
        assert bool(commands) == bool(named), (name, named)
    assert not suite.processes()


def test_they_may_clean_up(suite: Suite) -> None:
    """SIGTERM comes first, and reaches those that were stopped as well."""
    suite.write(
        test_leaves="""
        import os, subprocess
        def test_stopped():
            script = "trap 'echo > cleaned-up; exit' TERM; kill -STOP $$; exec sleep 1000"
            process = subprocess.Popen(["sh", "-c", script])
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        """
    )
    run = suite.forked()
    assert run.outcomes() == {"test_stopped": "passed"}
    assert (suite.path / "cleaned-up").exists()


def test_helpers_of_multiprocessing_are_not_named(suite: Suite) -> None:
    """The resource tracker and a fork server end by themselves; only real leftovers are worth a word."""
    suite.write(
        helper_module="def work(): pass",
        test_helpers="""
        import multiprocessing, multiprocessing.resource_tracker, multiprocessing.shared_memory
        from helper_module import work
        def test_spawn():
            process = multiprocessing.get_context("spawn").Process(target=work); process.start(); process.join()
            assert process.exitcode == 0
        def test_server():
            process = multiprocessing.get_context("forkserver").Process(target=work); process.start(); process.join()
            assert process.exitcode == 0
        def test_memory():
            memory = multiprocessing.shared_memory.SharedMemory(create=True, size=10)
            memory.close(); memory.unlink()
            tracker = multiprocessing.resource_tracker._resource_tracker._pid
            while b"resource_tracker" not in open(f"/proc/{tracker}/cmdline", "rb").read(): pass  # not yet exec'd
        """,
    )
    run = suite.forked()
    assert run.code == 0, run.out
    assert not [section for report in run.reports for section in report.sections]


@pytest.mark.parametrize("source", ["fork", "exec", "early", "bare"])
def test_helpers_of_multiprocessing_in_templates(suite: Suite, source: str) -> None:
    """A file may start them when it is loaded: they serve each test, are no leftovers, and end with the run."""
    suite.write(
        helper_module="def work(value): value.value += 1",
        test_helpers="""
        import multiprocessing
        from helper_module import work
        spawn = multiprocessing.get_context("spawn")
        server = multiprocessing.get_context("forkserver")
        lock, value, queue = spawn.Lock(), spawn.Value("i"), spawn.Queue()
        process = server.Process(target=work, args=(server.Value("i"),)); process.start(); process.join()
        def test_lock():
            with lock: pass
        def test_spawn():
            own = spawn.Value("i")
            process = spawn.Process(target=work, args=(own,)); process.start(); process.join()
            assert own.value == 1 and process.exitcode == 0
        def test_server():
            own = server.Value("i")
            process = server.Process(target=work, args=(own,)); process.start(); process.join()
            assert own.value == 1 and process.exitcode == 0
        def test_queue():
            own = spawn.Queue()
            own.put(1)
            assert own.get(timeout=30) == 1
        """,
    )
    run = suite.forked("--fork-template", source, "-v")
    assert run.outcomes() == dict.fromkeys(["test_lock", "test_spawn", "test_server", "test_queue"], "passed"), run.out
    assert f"template from '{source}'" in run.out
    assert not [section for report in run.reports for section in report.sections], run.out
    assert "0 leftover processes" in run.out
    assert "has loaded its file by itself" not in run.out


def test_children_of_other_tests_are_left_alone(suite: Suite) -> None:
    """A process that an unmarked test, or a fixture of pytest's own process, started is none of a forked test's."""
    suite.write(
        test_mixed="""
        import subprocess
        import pytest
        @pytest.fixture(scope="module")
        def server():
            with subprocess.Popen(["sleep", "1000"]) as process:
                yield process
                process.kill()
        def test_here(server): assert server.poll() is None
        @pytest.mark.forked
        def test_forked(): subprocess.Popen(["sleep", "1000"])
        def test_here_still(server): assert server.poll() is None
        """
    )
    run = suite.run("-p", "forkiso")
    assert run.code == 0, run.out
    assert "1 leftover process" in run.out


def test_what_a_fork_server_has_forked(suite: Suite) -> None:
    """It has the command line of its server, which ends by itself; the one that a test has left at work does not."""
    suite.write(
        helper_module="""
        import pathlib, threading
        def work(): pathlib.Path("works").touch(); threading.Event().wait()
        """,
        test_server="""
        import multiprocessing, pathlib
        from helper_module import work
        def test_server():
            multiprocessing.get_context("forkserver").Process(target=work).start()
            while not pathlib.Path("works").exists(): pass
        """,
    )
    run = suite.forked()
    assert run.outcomes() == {"test_server": "passed"}
    section = run.report("test_server", "teardown").section("Leftover processes (teardown)")
    assert section.count("ended process") == 1


@pytest.mark.parametrize("wakes", [3, 4, 5])  # one of them has the files of the first test
def test_what_a_resource_tracker_says_is_in_no_other_report(suite: Suite, wakes: int) -> None:
    """It complains when its test is gone, and has that test's output files, which then serve another one."""
    suite.write(
        test_tracker=f"""
        import os, pathlib, signal
        from multiprocessing import resource_tracker, shared_memory
        import pytest
        def test_leaks():
            shared_memory.SharedMemory(create=True, size=10).close()
            tracker = resource_tracker._resource_tracker._pid
            os.kill(tracker, signal.SIGSTOP)
            pathlib.Path("tracker").write_text(str(tracker))
        @pytest.mark.parametrize("number", range(6))
        def test_others(number):
            tracker = pathlib.Path("tracker").read_text()
            if number == {wakes} and os.path.exists(f"/proc/{{tracker}}"):
                os.kill(int(tracker), signal.SIGCONT)
                while os.path.exists(f"/proc/{{tracker}}"): pass
            assert 0
        """
    )
    run = suite.forked()
    for number in range(6):
        assert "resource_tracker" not in run.failure(f"test_others[{number}]").everything


@pytest.mark.parametrize("ending", ["-x", "--maxfail=1"])
def test_what_is_left_by_a_test_that_is_cut_off(suite: Suite, ending: str) -> None:
    """Where the run ends while a test is at work, what that one has started ends as well."""
    suite.write(
        test_cut_off="""
        import pathlib, subprocess, threading
        def test_fails():
            while not pathlib.Path("works").exists(): pass
            assert 0
        def test_works():
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
            pathlib.Path("works").touch()
            threading.Event().wait()
        """
    )
    run = suite.forked("--fork-jobs=2", ending)
    assert run.outcomes() == {"test_fails": "failed"}
    assert not suite.processes()


@pytest.mark.parametrize("leave", ["pytest.exit('enough')", "raise KeyboardInterrupt", "pytest.exit('enough', 5)"])
def test_what_is_left_by_a_test_that_stops_the_run(suite: Suite, leave: str) -> None:
    """It ends with the run."""
    suite.write(
        test_stops=f"""
        import subprocess
        import pytest
        def test_stops():
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
            {leave}
        """
    )
    run = suite.forked()
    assert run.code in (pytest.ExitCode.INTERRUPTED, 5)
    assert not suite.processes()
