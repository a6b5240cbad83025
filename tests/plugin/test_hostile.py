"""Tests that break what they can reach in their own process are still reported right."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

REPLACED = """
import builtins, os, pickle, select, signal, socket, struct, sys, threading, time
import pytest

def broken(*args, **kwargs): raise RuntimeError("replaced by a test")

def replace(owner, *names):
    for name in names: setattr(owner, name, broken)

def test_open(): replace(builtins, "open")
def test_pickle(): replace(pickle, "dumps", "loads", "Pickler", "Unpickler")
def test_socket(): replace(socket, "socket", "socketpair", "create_connection")
def test_os_files(): replace(os, "write", "read", "open")
def test_os_processes(): replace(os, "fork", "waitpid", "waitid", "kill", "getpid", "_exit", "getpgrp", "setpgid")
def test_thread(): replace(threading, "Thread", "Lock", "RLock")
def test_time(): replace(time, "time", "sleep")
def test_struct(): replace(struct, "pack", "unpack", "Struct")
def test_select(): replace(select, "select", "poll")
def test_signals(): replace(signal, "signal", "pthread_sigmask")
def test_print(): replace(builtins, "print", "repr")
def test_streams(): sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None
def test_stream_type(): sys.stdout = object()
def test_no_modules(): sys.modules = {}
def test_modules(): sys.modules["json"] = sys.modules["pickle"] = sys.modules["traceback"] = None
def test_path(): sys.path.clear(); sys.meta_path.clear()
def test_excepthook(): sys.excepthook = broken; sys.unraisablehook = broken
def test_directory(): import shutil, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)
def test_environment(): os.environ.clear()
def test_umask(): os.umask(0o777)
def test_recursion_limit(): sys.setrecursionlimit(60)
def test_collector(): import gc; gc.disable(); gc.set_threshold(0)
def test_trace():
    sys.settrace(lambda *args: None); sys.setprofile(lambda *args: None)
def test_alarm(): signal.setitimer(signal.ITIMER_REAL, 1000)
def test_ignored(): [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD)]
def test_masked(): signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
def test_non_blocking():
    import fcntl
    for fd in range(3, 60):
        try: os.set_blocking(fd, False)
        except OSError: pass
def test_non_blocking_and_large():
    test_non_blocking()
    assert "x" * 3_000_000 == ""
def test_last(): pass
"""

FAILS = {"test_non_blocking_and_large"}

LIMITS = """
import os, resource
import pytest

def limit(name, value):
    resource.setrlimit(getattr(resource, name), (value, value))

def test_files(): limit("RLIMIT_NOFILE", 3)
def test_files_fails(): limit("RLIMIT_NOFILE", 3); assert 0
def test_file_size(): limit("RLIMIT_FSIZE", 0)
def test_file_size_fails(): limit("RLIMIT_FSIZE", 0); print("told"); assert 0
def test_file_size_long():
    limit("RLIMIT_FSIZE", 0)
    assert "x" * 100_000 == ""
def test_processes(): limit("RLIMIT_NPROC", 0)
def test_core(): limit("RLIMIT_CORE", 0); os.abort()
def test_cpu():
    limit("RLIMIT_CPU", 1)
    while True: pass
def test_last(): pass
"""


def test_replaced_functions(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of the standard library a test replaces, changes or closes: right outcome, and no harm to the next."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):  # it would be warned of what cannot be saved
        monkeypatch.delenv(name, raising=False)
    suite.write(test_replaced=REPLACED)
    run = suite.forked("--fork-timeout=20")
    outcomes = run.outcomes()
    assert len(outcomes) > 25
    wrong = {name: what for name, what in outcomes.items() if what != ("failed" if name in FAILS else "passed")}
    assert not wrong, run.out
    assert "replaced by a test" not in run.out


def test_limits(suite: Suite) -> None:
    """Under the hardest limits a test is still reported, with its own outcome."""
    suite.write(test_limits=LIMITS)
    run = suite.forked()
    outcomes = run.outcomes()
    for name in ("test_files", "test_file_size", "test_processes", "test_last"):
        assert outcomes[name] == "passed", run.out
    for name in ("test_files_fails", "test_file_size_fails", "test_file_size_long"):
        assert outcomes[name] == "failed", run.out
        assert "SIGXFSZ" not in run.failure(name).text
    assert "SIGABRT" in str(run.failure("test_core").message)
    assert "SIGXCPU" in str(run.failure("test_cpu").message) or "SIGKILL" in str(run.failure("test_cpu").message)


BREAKS_PYTEST = """
import builtins, os, sys
from unittest import mock

class Words(Exception):
    def __call__(self, *args): raise self
    def __str__(self): raise self

def broken(*args, **kwargs): raise RuntimeError("replaced by a test")

def test_isinstance(): builtins.isinstance = broken
def test_imports(): builtins.__import__ = broken; assert 0
def test_stat(): os.stat = broken; assert 0
def test_mock(): mock.patch("os.path.abspath", side_effect=RuntimeError("replaced by a test")).start(); assert 0
def test_message(): os.stat = Words(); assert 0
def test_files():
    def refuse(event, arguments):
        if event in ("open", "import", "compile"): raise RuntimeError("replaced by a test")
    sys.addaudithook(refuse)
    assert 0
def test_last(): pass
"""


@pytest.mark.parametrize("template", ["fork", "bare"])
def test_what_pytest_needs_itself(suite: Suite, template: str) -> None:
    """A test after which pytest cannot go on in that process fails, with pytest's traceback; the next is not harmed."""
    suite.write(
        conftest="""
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if call.when == "call": import colorsys, this_is_imported_late
            return report
        """,
        this_is_imported_late="",
        test_replaced=BREAKS_PYTEST,
    )
    run = suite.forked(f"--fork-template={template}")
    breaking = ("test_isinstance", "test_imports", "test_stat", "test_mock", "test_message", "test_files")
    assert run.outcomes() == dict.fromkeys(breaking, "failed") | {"test_last": "passed"}
    for name in breaking:
        failure = run.failure(name)
        assert "Crash in call: the test's process exited with status 1" in str(failure.message)
        assert "The test has replaced what pytest needs, and pytest failed:" in failure.text
        assert any(f"in {name}" in failure.text for name in ("broken", "_execute_mock_call", "__call__", "refuse"))
    assert run.code == pytest.ExitCode.TESTS_FAILED


def test_a_hook_that_fails(suite: Suite) -> None:
    """It is an internal error, as it is without forks."""
    suite.write(
        conftest="""
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_makereport(item, call):
            if call.when == "teardown" and item.name == "test_b": raise ZeroDivisionError("in a plugin")
        """,
        test_a="def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass",
    )
    for run in (suite.plain(), suite.forked()):
        assert run.code == pytest.ExitCode.INTERNAL_ERROR
        assert run.outcomes() == {"test_a": "passed", "test_b": "passed"}
        assert "ZeroDivisionError: in a plugin" in run.out


STREAMS = """
import sys
class Stream:
    def __init__(self, error): self.error = error
    def write(self, text): return len(text)
    def flush(self): raise self.error
def test_interrupt(): sys.stdout = Stream(KeyboardInterrupt)
def test_exit(): sys.stderr = Stream(SystemExit(3))
def test_last(): pass
"""


def test_streams_that_raise_anything(suite: Suite) -> None:
    """Without capturing, what a test has put in place of a stream is flushed by us, and cannot end the run."""
    suite.write(test_streams=STREAMS)
    run = suite.forked("-s")
    assert run.outcomes() == dict.fromkeys(("test_interrupt", "test_exit", "test_last"), "passed"), run.out


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_another_user(suite: Suite) -> None:
    """A test that gives up root's rights is reported, ended at its deadline, and can crash."""
    suite.write(
        test_user="""
        import os, threading
        import pytest
        def become_nobody(): os.setgroups([]); os.setgid(65534); os.setuid(65534)
        def test_passes(): become_nobody(); print("as nobody"); assert os.getuid() == 65534
        def test_fails(): become_nobody(); assert 0
        def test_crashes(): become_nobody(); os.abort()
        @pytest.mark.forked(timeout=0.5)
        def test_hangs(): become_nobody(); threading.Event().wait()
        def test_leaves():
            import subprocess
            become_nobody(); subprocess.Popen(["sleep", "1000"], start_new_session=True)
        def test_after(): assert os.getuid() == 0
        """
    )
    run = suite.forked()
    assert run.outcomes() == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_crashes": "failed",
        "test_hangs": "failed",
        "test_leaves": "passed",
        "test_after": "passed",
    }, run.out
    assert "SIGABRT" in run.failure("test_crashes").text
    assert "Timeout" in run.failure("test_hangs").text


def test_values_that_do_not_cross(suite: Suite) -> None:
    """What a report cannot carry stands there as text, with its key named; the outcome is never lost."""
    suite.write(
        conftest="""
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item):
            report = yield
            if item.name == "test_attribute": report.own_attribute = lambda: 1
            if item.name == "test_nested": report.own_nested = {"deep": [object()]}
            return report
        """,
        test_values="""
        import enum, pathlib, threading
        class Bad:
            def __repr__(self): raise RuntimeError("no")
            __str__ = __repr__
        class Text(str): pass
        class Colour(enum.IntEnum): RED = 1
        def test_attribute(): pass
        def test_nested(): assert 0
        def test_property(record_property):
            record_property("lock", threading.Lock())
            record_property("bad", Bad())
            record_property("text", Text("own"))
            record_property("colour", Colour.RED)
            record_property("path", pathlib.Path("x"))
            record_property("self", (me := []) or me.append(me) or me)
        def test_warning():
            import warnings
            class Own(UserWarning):
                def __init__(self, value): self.value = value
                def __str__(self): return "a local class"
            warnings.warn(Own(threading.Lock()))
        """,
    )
    run = suite.forked()
    outcomes = run.outcomes()
    assert outcomes["test_attribute"] == "passed"
    assert outcomes["test_nested"] == "failed"
    assert outcomes["test_warning"] == "passed"
    assert "own_attribute" in run.report("test_attribute", "call").everything
    assert "own_nested['deep'][0]" in run.report("test_nested", "call").everything
    assert any(row["text"] == "a local class" for row in run.of_kind("warning"))
    assert outcomes["test_property"] == "passed"
    properties = dict(run.report("test_property", "teardown").properties)
    assert (properties["text"], properties["colour"], properties["path"]) == ("own", 1, "x")
