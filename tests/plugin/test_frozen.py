"""A frozen application that runs its own tests: there is no interpreter that could be executed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from inner import Suite

BUILD_LIMIT = 400.0
"""Seconds after which building hangs."""

APPLICATION = """
import forkcore.early

forkcore.early.install()

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-p", "pytest_forkiso.plugin", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def build(folder: Path) -> Path:
    """Freeze the application; give the program."""
    if importlib.util.find_spec("PyInstaller") is None:
        pytest.skip("PyInstaller is not installed")
    source = folder / "application.py"
    source.write_text(APPLICATION)
    collected = [f"--collect-submodules={name}" for name in ("pytest_forkiso", "forkcore", "_pytest")]
    places = ["--distpath=dist", "--workpath=work", "--specpath=."]
    command = [sys.executable, "-m", "PyInstaller", "--log-level=WARN", "--onedir", *collected, *places, source.name]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=BUILD_LIMIT)
    assert done.returncode == 0, done.stderr
    return folder / "dist" / "application" / "application"


def test_a_frozen_application(suite: Suite, tmp_path: Path) -> None:
    """Its tests are forked from the early template, which collects by itself; a crash costs one test."""
    program = build(tmp_path)
    suite.write(
        test_it="""
            import os, sys, pytest
            assert sys.frozen
            state = []
            @pytest.mark.parametrize("n", range(3))
            def test_isolated(n):
                assert not state
                state.append(n)
            def test_crash(): os.abort()
        """,
    )
    done = suite.program(str(program), "--forked", "--fork-template=early", "-v")
    assert "template from 'early', because the user asked for it" in done.stdout, done.stdout + done.stderr
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert "Crash in call: the test's process was ended by SIGABRT" in done.stdout
