"""Names of the processes that are found below this one."""

from __future__ import annotations

import os
import subprocess
import sys

from pytest_forkiso import _leftovers

BEGINNINGS = 1000
"""Some of so many programs are always met in the middle of their exec, when Linux has no command line to show."""


def test_a_program_that_has_just_begun(no_leaks: None) -> None:
    """Is named by its command, however early it is looked at."""
    names = set()
    for _ in range(BEGINNINGS):
        with subprocess.Popen(["sleep", "1000"]) as program:
            names.add(_leftovers._command(program.pid))
            program.kill()
    assert names == {"sleep 1000"}


def test_a_process_without_a_command_line(no_leaks: None) -> None:
    """Is said to be one, and not waited for."""
    reading, writing = os.pipe()
    script = (
        "import ctypes, os, sys\n"
        "start, end = (int(field) for field in open('/proc/self/stat').read().rpartition(')')[2].split()[45:47])\n"
        "ctypes.memset(start, 0, end - start)\n"
        "ctypes.CDLL(None).prctl(35, 9, start, 0, 0)\n"  # PR_SET_MM_ARG_END, as programs do that hide their arguments
        f"os.write({writing}, b'.'); os.read(0, 1)\n"
    )
    with subprocess.Popen(
        ["python3", "-c", script], stdin=subprocess.PIPE, pass_fds=[writing], executable=sys.executable
    ) as program:
        os.read(reading, 1)
        shown = [left.command for left in _leftovers.below()]
        program.kill()
    os.close(reading)
    os.close(writing)
    assert shown == ["(no command line)"]
