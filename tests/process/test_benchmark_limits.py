"""What goes wrong in a benchmark is said, has an end, and leaves no process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import contenders, driver, pages
from benchmarks.harness import NotMeasured
from benchmarks.processes import descendants_of

from helpers import wait_for

TESTS = Path(__file__).resolve().parent.parent
SCRIPT = """
import os, sys
from pathlib import Path
from benchmarks.harness import NotMeasured
from benchmarks.processes import descendants_of
from benchmarks.peers import PEERS
from benchmarks.processes import descendants_of
from benchmarks.suite_run import Run, adopt_orphans, sample_suite

adopt_orphans()
run = Run(sys.executable, Path(sys.argv[1]), ["."], modules=(), tests=int(sys.argv[2]), limit=float(sys.argv[3]))
try:
    print(sample_suite(PEERS["plain"], run)["tests"])
except NotMeasured as error:
    print("not measured:", error)
print("left:", descendants_of(os.getpid()))
"""
HANGS = """
import os, pathlib, subprocess, sys, time
def test_hangs():
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    other = subprocess.Popen(command, start_new_session=True)
    pathlib.Path("started").write_text(str(other.pid))
    time.sleep(1000)
"""
LEAVES = """
import subprocess, sys
def test_leaves(): subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
"""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="they read /proc"),
    pytest.mark.usefixtures("no_leaks"),
]


def sample(folder: Path, text: str, *, tests: int = 1, limit: float = 100) -> list[str]:
    """Take a sample of a suite in a process of its own, which adopts what that leaves; give the lines of output."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-c", SCRIPT, str(folder), str(tests), str(limit)]
    done = subprocess.run(command, cwd=TESTS, check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    return done.stdout.splitlines()


def is_gone(pid: int) -> bool:
    """Whether no such process is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_suite_that_fails(tmp_path: Path) -> None:
    """Its time is none of a run that passed."""
    reason, left = sample(tmp_path, "def test_it(): assert False")
    assert reason.startswith("not measured: exit code 1: ")
    assert left == "left: []"


def test_suite_of_another_size(tmp_path: Path) -> None:
    """A suite that has not run all its tests is not compared with one that has."""
    assert sample(tmp_path, "def test_it(): pass", tests=2) == ["not measured: 1 results instead of 2", "left: []"]


def test_suite_that_hangs(tmp_path: Path) -> None:
    """At its limit it is ended, with processes in sessions of their own as well."""
    assert sample(tmp_path, HANGS, limit=3) == ["not measured: did not end within 3 s", "left: []"]
    assert is_gone(int((tmp_path / "started").read_text()))


def test_suite_that_leaves_a_process(tmp_path: Path) -> None:
    """Its CPU time is not known, so the sample does not count; the process is ended."""
    reason, left = sample(tmp_path, LEAVES)
    assert reason.startswith("not measured: processes were left")
    assert left == "left: []"


def test_contender_that_fails() -> None:
    """The last line that it has written says why."""
    with pytest.raises(NotMeasured, match=r"^exit code 3: the reason$"):
        contenders.run_json(["sh", "-c", "echo first >&2; echo the reason >&2; exit 3"], timeout=100)


def test_contender_that_hangs(tmp_path: Path) -> None:
    """It is ended, and so is what it has started."""
    pid = tmp_path / "pid"
    with pytest.raises(NotMeasured, match=r"^did not end within 1 s$"):
        contenders.run_json(["sh", "-c", f"sleep 1000 & echo $! > {pid}; wait"], timeout=1)
    wait_for(lambda: is_gone(int(pid.read_text())), "the process is ended")


def test_idle_children_that_never_come() -> None:
    """The wait for them has an end, and says how many were there."""
    with pytest.raises(SystemExit, match=r"^0 of 2 idle children were there after 0\.1 s$"):
        driver.wait_for_descendants(2, set(), limit=0.1)


def test_process_that_forks_no_more() -> None:
    """Who asks it for a fork hears how it ended."""
    with pages.forking_process(pages.KINDS[0], 0) as process:
        assert pages.ask(process)["wall"] > 0
        process.send_signal(signal.SIGKILL)
        with pytest.raises(NotMeasured, match=f"ended with -{signal.SIGKILL}"):
            pages.ask(process)


def test_sigterm(tmp_path: Path) -> None:
    """A benchmark that is told to end takes pytest, the template and all tests with it, and reports nothing."""
    small = ["--suites", "sleep", "--tests", "5000", "--peers", "forkiso", "--rounds", "1"]
    command = [sys.executable, "-m", "benchmarks.plugin", *small, "--table", str(tmp_path / "table")]
    process = subprocess.Popen(command, cwd=TESTS, start_new_session=True)
    pids = []
    try:
        wait_for(lambda: len(descendants_of(process.pid)) > 2, "pytest has a template, and that a child")
        pids = descendants_of(process.pid)
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
        assert all(map(is_gone, pids))
        assert not (tmp_path / "table").exists()
    finally:
        process.kill()
        process.wait()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
