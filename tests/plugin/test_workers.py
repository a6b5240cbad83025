"""--fork-workers: pytest-xdist's workers are forked from one template, and are as those that it starts itself."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from helpers import wait_for

if TYPE_CHECKING:
    from inner import Process, Run, Suite

pytest.importorskip("xdist")

WORKERS = ("-p", "xdist", "-p", "forkiso", "--fork-workers", "-n", "2")

PROBE = """
import json, os, random, signal, sys, threading

import pytest

OWN = ("WORKER", "CURRENT_TEST", "TESTRUN", "RECORDER")
UMASK = os.umask(0)
os.umask(UMASK)

@pytest.mark.parametrize("n", range(6))
def test_probe(n, worker_id):
    found = {
        "worker": worker_id,
        "executable": sys.executable,
        "argv": sys.argv,
        "path": sys.path,
        "cwd": os.getcwd(),
        "environment": {k: v for k, v in os.environ.items() if not any(part in k for part in OWN)},
        "umask": UMASK,
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "child": str(signal.getsignal(signal.SIGCHLD)),
        "main": threading.current_thread() is threading.main_thread(),
        "bytecode": sys.dont_write_bytecode,
        "streams": [type(stream).__name__ for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__)],
        "parent": os.getppid(),
        "group": os.getpgrp(),
        "random": random.random(),
        "preloaded": "colorsys" in sys.modules,
        "conftest": sys.modules["conftest"].loads,
    }
    with open(f"probe-{worker_id}", "w") as file:
        json.dump(found, file)
"""

CONFTEST = """
import os
loads = [os.environ.get("PYTEST_XDIST_WORKER")]
def pytest_configure(config):
    os.environ["FROM_CONFIGURE"] = "1"
    if not hasattr(config, "workerinput"): os.umask(0o072)  # when the template is there already
"""


def probes(suite: Suite) -> dict[str, dict[str, Any]]:
    """Give what workers have found about themselves, and forget it."""
    found = {}
    for path in suite.path.glob("probe-*"):
        found[path.name.removeprefix("probe-")] = json.loads(path.read_text())
        path.unlink()
    return found


def test_workers_are_as_ever(suite: Suite) -> None:
    """Directory, environment, search path, signals, umask: as in workers that pytest-xdist starts."""
    suite.write(test_probe=PROBE, conftest=CONFTEST)
    stock = suite.run("-p", "xdist", "-p", "forkiso", "-n", "2")
    theirs = probes(suite)
    run = suite.run(*WORKERS, "--fork-preload=colorsys")
    ours = probes(suite)
    assert (stock.code, run.code) == (0, 0), run.out
    assert sorted(ours) == sorted(theirs) == ["gw0", "gw1"]
    for worker, found in ours.items():
        wanted = theirs[worker]
        for own in ("parent", "group", "random", "preloaded"):
            wanted.pop(own)
        assert {name: found[name] for name in wanted} == wanted
        assert found["umask"] == 0o072
        assert found["conftest"] == [worker]
        assert found["preloaded"]
    assert ours["gw0"]["parent"] == ours["gw1"]["parent"]
    assert ours["gw0"]["random"] != ours["gw1"]["random"]
    assert run.outcomes() == stock.outcomes()


def test_plugins_are_loaded_once(suite: Suite) -> None:
    """By the template, with their assertions rewritten and without a warning; conftest files by each worker."""
    suite.write(
        our_plugin="""
        import os
        import pytest
        with open("loads", "a") as file: print(os.getpid(), file=file)
        @pytest.fixture
        def broken():
            value = 1
            assert value == 2
        """,
        test_plugin="def test_a(broken): pass\ndef test_b(broken): pass",
    )
    run = suite.run("-p", "our_plugin", *WORKERS)
    assert "assert 1 == 2" in run.report("test_a", "setup").text
    assert len((suite.path / "loads").read_text().split()) == 2  # the controller, and the template
    assert "warning" not in run.out


def test_forked_tests_in_forked_workers(suite: Suite) -> None:
    """Each worker has a template of its own, forked from the worker; crashes cost a test."""
    suite.write(
        test_forked="""
        import os
        import pytest
        @pytest.mark.parametrize("n", range(8))
        def test_n(n):
            if n == 3: os.abort()
            print("number", n)
            assert n != 5
        @pytest.mark.forked(timeout=2)
        def test_hangs():
            while True: pass
        """
    )
    run = suite.run(*WORKERS, "--forked", "--fork-preload=colorsys")
    wanted = {f"test_n[{n}]": "passed" for n in range(8)} | dict.fromkeys(
        ("test_n[3]", "test_n[5]", "test_hangs"), "failed"
    )
    assert run.outcomes() == wanted, run.out
    assert "SIGABRT" in run.failure("test_n[3]").text
    assert "Timeout" in run.failure("test_hangs").text
    assert "crashed while running" not in run.out


def test_a_worker_that_crashes(suite: Suite) -> None:
    """pytest-xdist says so, and starts another one, from the same template."""
    suite.write(
        test_crash="""
        import os, signal
        import pytest
        @pytest.mark.parametrize("n", range(8))
        def test_n(n):
            with open("parents", "a") as file: print(os.getppid(), file=file)
            if n == 2: os.kill(os.getpid(), signal.SIGSEGV)
            if n == 5: os._exit(3)
        """
    )
    run = suite.run(*WORKERS)
    assert run.out.count("crashed while running") >= 2
    assert run.outcomes() == {f"test_n[{n}]": "failed" if n in (2, 5) else "passed" for n in range(8)}
    assert len(set((suite.path / "parents").read_text().split())) == 1


def begin(
    suite: Suite, *options: str, waits: str = "while not pathlib.Path('go').exists(): time.sleep(0.01)"
) -> Process:
    """Start a run of two workers with a test each, which waits for a file "go"; give it when both have begun."""
    suite.write(
        test_long=f"""
        import ctypes, pathlib, os, signal, time
        import pytest
        @pytest.mark.parametrize("n", range(2))
        def test_n(n):
            pathlib.Path(f"begun{{n}}").write_text(f"{{os.getpid()}} {{os.getppid()}} !")
            {waits}
        """
    )
    process = suite.start(*WORKERS, *options)
    begun = [suite.path / f"begun{n}" for n in range(2)]
    wait_for(lambda: all(path.exists() and path.read_text().endswith("!") for path in begun), "both tests begin")
    return process


def test_an_interrupted_run(suite: Suite) -> None:
    """Ctrl-C at a terminal reaches the workers as well; nothing is left."""
    process = begin(suite)
    os.killpg(process.pid, signal.SIGINT)
    run = process.finish()
    assert run.code == pytest.ExitCode.INTERRUPTED, run.out
    wait_for(lambda: not suite.processes(), "all processes end")


def launchers_of(process: Process) -> list[psutil.Process]:
    """Give the processes that stand for the two workers."""
    children = psutil.Process(process.pid).children()
    found = [child for child in children if "stands for a worker" in " ".join(child.cmdline())]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("waits", ["time.sleep(1000)", "ctypes.PyDLL(None).pause()  # nothing else runs meanwhile"])
def test_a_killed_run(suite: Suite, waits: str) -> None:
    """Where pytest is killed, template and workers end by themselves; the directory of the socket stays behind."""
    with tempfile.TemporaryDirectory() as folder:  # it stays behind there
        suite.environment["TMPDIR"] = folder
        process = begin(suite, waits=waits)
        os.kill(process.pid, signal.SIGKILL)
        process.popen.wait()
        wait_for(lambda: not suite.processes(), "all processes end")


def test_a_killed_launcher(suite: Suite) -> None:
    """With the launcher its worker ends: who ends what pytest-xdist has started ends the worker."""
    process = begin(suite, "--max-worker-restart=0")
    launchers = launchers_of(process)
    workers = {int((suite.path / f"begun{n}").read_text().split()[0]) for n in range(2)}
    for launcher in launchers:
        launcher.kill()
    wait_for(lambda: not workers & set(suite.processes()), "both workers end")
    run = process.finish()
    assert run.code == 1
    assert "crashed" in run.out


def test_a_killed_template(suite: Suite) -> None:
    """It costs nothing: workers that are there go on, and the run ends as it should; nobody waits for their status."""
    process = begin(suite)
    launchers = launchers_of(process)
    template = int((suite.path / "begun0").read_text().split()[1])
    os.kill(template, signal.SIGKILL)
    wait_for(lambda: template not in suite.processes(), "the template is gone")
    wait_for(lambda: not {launcher.pid for launcher in launchers} & set(suite.processes()), "launchers are, too")
    (suite.path / "go").touch()
    run = process.finish()
    assert (run.code, run.outcomes()) == (0, {"test_n[0]": "passed", "test_n[1]": "passed"}), run.out


def test_a_worker_that_cannot_be_forked(suite: Suite) -> None:
    """The reason is said, and the run ends; it waits for nobody."""
    suite.write(
        at_the_limit="""
        import errno, posix
        calls, fork = [], posix.fork
        def limited():
            calls.append(1)
            if len(calls) == 2: raise OSError(errno.EAGAIN, "no more processes")
            return fork()
        posix.fork = limited
        """,
        test_a="def test_a(): pass",
    )
    run = suite.run(*WORKERS, "--fork-preload=at_the_limit")
    assert "forkiso: no worker can be forked: [Errno 11] the template could not fork: no more processes" in run.out
    assert run.code == pytest.ExitCode.INTERNAL_ERROR


def test_the_socket_is_for_this_user_alone(suite: Suite) -> None:
    """It lies in a directory of its own, which is gone at the end."""
    with tempfile.TemporaryDirectory() as folder:  # shorter than those of pytest
        suite.environment["TMPDIR"] = folder
        process = begin(suite)
        (made,) = Path(folder).glob("forkiso-*")
        assert made.stat().st_mode & 0o777 == 0o700
        assert (made / "workers").is_socket()
        (suite.path / "go").touch()
        assert process.finish().code == 0
        assert not list(Path(folder).glob("forkiso-*"))


def test_a_long_temporary_directory(suite: Suite) -> None:
    """A socket's address is short: another directory is taken."""
    folder = suite.path / ("long" * 30)
    folder.mkdir()
    suite.environment["TMPDIR"] = str(folder)
    suite.write(test_a="def test_a(): pass")
    assert suite.run(*WORKERS).code == 0


def test_other_gateways_are_left_alone(suite: Suite) -> None:
    """A gateway with an interpreter of its own is started as ever; the others are forked, keys of theirs kept."""
    suite.write(
        test_tx="""
        import os, sys
        import pytest
        @pytest.mark.parametrize("n", range(6))
        def test_n(n, worker_id):
            found = os.getppid(), os.environ.get("GIVEN"), sys.dont_write_bytecode
            with open(f"probe-{worker_id}", "w") as file: print(*found, file=file)
        """
    )
    suite.environment["PYTHONDONTWRITEBYTECODE"] = ""
    given = "popen//env:GIVEN=yes//dont_write_bytecode"
    gateways = ("--dist=each", "--tx", f"popen//python={sys.executable}", "--tx", given)
    process = suite.start("-p", "xdist", "-p", "forkiso", "--fork-workers", *gateways)
    assert process.finish().code == 0
    parents = {path.name: path.read_text().split() for path in suite.path.glob("probe-*")}
    assert parents["probe-gw0"] == [str(process.pid), "None", "False"]
    assert parents["probe-gw1"][0] != str(process.pid)
    assert parents["probe-gw1"][1:] == ["yes", "True"]


def assert_refused(run: Run, *words: str) -> None:
    """Check that no test ran, and that the message has these words."""
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    assert not run.reports
    assert all(word in run.out for word in words), run.out


def test_without_workers(suite: Suite) -> None:
    """Without -n, or with -n0, the option does nothing; without pytest-xdist it is a mistake."""
    suite.write(test_a="def test_a(): pass")
    assert suite.run("-p", "xdist", "-p", "forkiso", "--fork-workers").code == 0
    assert suite.run("-p", "xdist", "-p", "forkiso", "--fork-workers", "-n0").code == 0
    assert_refused(suite.run("-p", "forkiso", "--fork-workers"), "--fork-workers", "pytest-xdist")


def test_a_preload_that_fails(suite: Suite) -> None:
    """The traceback is there; so is it where one starts a thread."""
    suite.write(
        test_a="def test_a(): pass",
        broken_module="def inner(): raise RuntimeError('at import')\ninner()",
        threading_module="""
        import threading
        def wait(): threading.Event().wait()
        threading.Thread(target=wait, daemon=True).start()
        """,
    )
    assert_refused(
        suite.run(*WORKERS, "--fork-preload=broken_module"), "--fork-workers", "RuntimeError: at import", "in inner"
    )
    assert_refused(suite.run(*WORKERS, "--fork-preload=threading_module"), "--fork-workers", "threading_module")


def test_coverage(suite: Suite) -> None:
    """pytest-cov measures in forked workers what it measures in others."""
    pytest.importorskip("pytest_cov")
    suite.write(
        covered="def used(n):\n    if n > 2:\n        return 1\n    return 2\ndef unused():\n    return 3\n",
        test_covered="import covered, pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_n(n): covered.used(n)",
    )
    found = []
    for options in (("-p", "xdist", "-p", "forkiso", "-n", "2"), (*WORKERS, "--forked"), WORKERS):
        run = suite.run("-p", "pytest_cov", *options, "--cov=covered", "--cov-branch", "--cov-report=term-missing")
        assert run.code == 0, run.out
        found += [line.split() for line in run.out.splitlines() if line.startswith("covered.py")]
    assert found[0] == found[1] == found[2]
    assert found[0][-1] == "6"


def test_modules_of_the_project_are_found(suite: Suite) -> None:
    """By the template as by workers: in folders that the ini file names."""
    (suite.path / "src").mkdir()
    (suite.path / "src" / "ours.py").write_text("import os\npid = os.getpid()")
    suite.pytester.makeini("[pytest]\npythonpath = src\nfork_preload = ours")
    suite.write(test_ours="import os, ours\ndef test_preloaded(): assert ours.pid == os.getppid()")
    run = suite.run(*WORKERS)
    assert run.outcomes() == {"test_preloaded": "passed"}, run.out


def test_a_run_inside_of_a_worker(suite: Suite) -> None:
    """Variables of pytest-xdist are there, and it is no worker: its workers are forked as well."""
    suite.write(
        test_parents="import os\ndef test_parent():\n    with open('parent', 'w') as f: print(os.getppid(), file=f)"
    )
    suite.environment["PYTEST_XDIST_WORKER"] = "gw7"
    process = suite.start(*WORKERS)
    assert process.finish().code == 0
    assert (suite.path / "parent").read_text().strip() != str(process.pid)


def test_loaded_by_a_conftest_file(suite: Suite) -> None:
    """Then the option is known late, and works."""
    suite.write(conftest="pytest_plugins = ['pytest_forkiso.plugin']", test_a="def test_a(): pass")
    run = suite.run("-p", "xdist", "-n", "1", "--fork-workers", "-v")
    assert (run.code, run.outcomes()) == (0, {"test_a": "passed"}), run.out


def test_forked_workers_can_be_forked(suite: Suite) -> None:
    """Execnet's thread is known to be harmless there as well: the cheapest kind of template is chosen."""
    suite.write(
        conftest="""
        def pytest_report_collectionfinish(config):
            from pytest_forkiso.plugin import _SESSION
            choice = config.stash[_SESSION].choice
            if hasattr(config, "workerinput"):
                with open(f"choice-{config.workerinput['workerid']}", "w") as file: file.write(choice.kind)
        """,
        test_a="import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_a(n): pass",
    )
    assert suite.run(*WORKERS, "--forked").code == 0
    assert [(suite.path / f"choice-gw{n}").read_text() for n in range(2)] == ["fork", "fork"]
