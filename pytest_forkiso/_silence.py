"""What can be told from outside of a process that does not write its own traceback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_MACHINERY = ("(_pytest/", "(pluggy/", "pytest_forkiso/", "forkcore/")
SPY_LIMIT = 5.0
"""Seconds that py-spy has."""


def explain(pid: int, number: int) -> str:
    """Say why a process has written no traceback; with one where py-spy is installed and may look at it.

    Args:
        pid: Of a process that is not reaped.
        number: The signal that it was to write it at.
    """
    reason = f"No traceback: {_reason(pid, number)}."
    seen = _spy(pid)
    return f"{reason} Seen from outside, by py-spy:\n{seen}" if seen else reason


def _reason(pid: int, number: int) -> str:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "the process blocks signals, was stopped, or hung outside Python"
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    if _has(fields, "SigBlk", number):
        return "the process blocks signals"
    if not _has(fields, "SigCgt", number):
        return "the test has put something in place of the signal's handler"
    if fields.get("State", "").startswith("D"):
        return "the process hangs in the system, in a call that cannot be interrupted"
    return "the process hangs outside Python"


def _has(fields: dict[str, str], name: str, number: int) -> bool:
    return bool(int(fields.get(name, "0"), 16) >> (number - 1) & 1)


def _spy(pid: int) -> str:
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.exists() else shutil.which("py-spy")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, "dump", "--pid", str(pid)], check=False, capture_output=True, text=True, timeout=SPY_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    frames = [line for line in done.stdout.splitlines() if not any(part in line for part in _MACHINERY)]
    return "\n".join(frames) if done.returncode == 0 else ""
