"""The example suite of the README does what the README says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_one_test_fails_as_it_should() -> None:
    """The crash costs the test that crashed; the leak costs none, and its report has what the README promises."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--forked", "--fork-preload", "numpy"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=EXAMPLES,  # not the checkout: `-m pytest` puts the current folder on sys.path, before what is installed
        timeout=120,
        check=False,
    )
    assert "1 failed, 7 passed" in done.stdout
    assert "FAILED test_smoothing.py::test_null_pointer" in done.stdout
    assert "SIGSEGV" in done.stdout
    assert "reading from address 0" in done.stdout
    assert done.returncode == 1
