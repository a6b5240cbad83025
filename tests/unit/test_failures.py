"""How the end of a process is put into words."""

from __future__ import annotations

import signal

import pytest

import forkcore
from pytest_forkiso._failures import describe_end, phase_of_death, signal_name, users_frames


@pytest.mark.parametrize("number", signal.valid_signals())
def test_all_signals_have_words(number: int) -> None:
    """The number, and a name where there is one."""
    text = signal_name(number)
    assert f"signal {number}" in text
    if isinstance(number, signal.Signals):
        assert text.startswith(number.name)


def test_ends() -> None:
    """By a signal, by an exit code, by nobody knows what."""
    usage = None
    assert "SIGSEGV" in describe_end(forkcore.ExitStatus(code=None, signal=11, usage=usage))
    assert "status 0" in describe_end(forkcore.ExitStatus(code=0, signal=None, usage=usage))
    assert "not known" in describe_end(None)


def report(when: str, outcome: str = "passed") -> pytest.TestReport:
    """Make a report of a phase."""
    return pytest.TestReport("n", ("f", 1, "n"), {}, outcome, None, when)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("noted", "last", "phase"),
    [
        ("setup", None, "setup"),
        ("setup", report("setup"), "call"),
        ("call", report("setup"), "call"),
        ("call", report("call"), "teardown"),
        ("call", report("call", "failed"), "teardown"),
        ("teardown", report("call"), "teardown"),
        ("teardown", report("setup", "failed"), "teardown"),
        ("teardown", report("setup", "skipped"), "teardown"),
        ("setup", report("setup", "failed"), "teardown"),
    ],
)
def test_the_phase_of_a_death(noted: str, last: pytest.TestReport | None, phase: str) -> None:
    """The one after the last report; what the process noted itself decides where that is open."""
    assert phase_of_death(noted, last) == phase


def test_frames_of_pytest_are_left_out() -> None:
    """A traceback of faulthandler shows the user's frames, and everything that is no frame."""
    trace = """Fatal Python error: Segmentation fault

Current thread 0x00007f0000000000 (most recent call first):
  File "/home/me/lib.py", line 3 in boom
  File "/home/me/test_it.py", line 9 in test_it
  File "/venv/site-packages/_pytest/python.py", line 1 in pytest_pyfunc_call
  File "/venv/site-packages/pluggy/_callers.py", line 1 in _multicall

Extension modules: numpy.core (total: 1)"""
    found = users_frames(trace).splitlines()
    assert [line for line in found if "File" in line] == trace.splitlines()[3:5]
    assert found[0].startswith("Fatal Python error")
    assert found[-1].startswith("Extension modules")
