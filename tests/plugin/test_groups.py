"""Tests whose processes are limited together, where pytest may make control groups; see `process/test_groups.py`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sandbox_runs

from forkcore import _sandbox_group

if TYPE_CHECKING:
    from inner import Suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")

GREEDY = """
import os, subprocess, sys
import pytest

PART = "import sys; held = b'x' * (40 << 20); print(flush=True); sys.stdin.read()"

def start(count):
    parts = [subprocess.Popen([sys.executable, "-c", PART], stdin=-1, stdout=-1) for _ in range(count)]
    for part in parts:
        part.stdout.read(1)
    return parts

def end(parts):
    codes = []
    for part in parts:
        part.communicate()
        codes.append(part.returncode)
    return codes

@pytest.mark.forked(memory="64M")
def test_together():
    assert end(start(6)) == [0] * 6
@pytest.mark.forked(memory="64M")
def test_within():
    assert end(start(2)) == [0] * 2
@pytest.mark.forked(memory="64M")
def test_itself():
    held = b"x" * (58 << 20)
    end(start(6))
    assert held
@pytest.mark.forked(processes=4)
def test_bomb():
    ours, theirs = os.pipe()
    for _ in range(10):
        if os.fork() == 0:
            os.close(theirs)
            os.read(ours, 1)
            os._exit(0)
@pytest.mark.forked(memory="64M")
def test_crash():
    subprocess.Popen(["sleep", "1000"])
    os.abort()
@pytest.mark.forked
def test_free():
    assert end(start(6)) == [0] * 6
"""


@pytest.mark.parametrize("jobs", [1, 3])
def test_processes_of_a_test_together(suite: Suite, jobs: int) -> None:
    """Reports say that it was the limit, whichever process it has ended; and no group is left."""
    with sandbox_runs.delegated_group() as path:
        suite.write(test_greedy=GREEDY)
        enter = functools.partial(_sandbox_group.enter, path)
        run = suite.start("-p", "forkiso", f"--fork-jobs={jobs}", preexec_fn=enter).finish()
        left = [entry.name for entry in Path(path).iterdir() if entry.is_dir()]
    assert run.outcomes() == {
        "test_together": "failed",
        "test_within": "passed",
        "test_itself": "failed",
        "test_bomb": "failed",
        "test_crash": "failed",
        "test_free": "passed",
    }, run.out
    words = f"sandbox limit memory={64 << 20}: all its processes together held "
    assert words in run.report("test_together", "call").text
    crash = str(run.report("test_itself", "call").message)
    assert "ended by SIGKILL" in crash
    assert f"; {words}" in crash
    assert "sandbox limit processes=4: 4 processes and threads beside" in run.report("test_bomb", "call").text
    assert "SIGABRT" in str(run.report("test_crash", "call").message)
    assert "sleep 1000" in run.report("test_crash", "call").section("Leftover processes (teardown)")
    assert left == []
