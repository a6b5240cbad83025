"""What is said of a test whose process is gone before it had said all; no processes here."""

from __future__ import annotations

import dataclasses
import signal

import pytest

import forkcore
from pytest_forkiso._death import Death, Limits
from pytest_forkiso._losses import Loss

TRACE = """Fatal Python error: Segmentation fault

Current thread 0x1 (most recent call first):
  File "/suite/test_it.py", line 3 in test_it
  File "/venv/lib/_pytest/python.py", line 1 in pytest_pyfunc_call"""
KILLED = forkcore.ExitStatus(None, signal.SIGKILL)
DEATH = Death(nodeid="test_it.py::test_it", noted="call", last_report=None, status=KILLED)
LOSS = Loss(status=KILLED, was_silent=False, tests=["test_it.py::test_it", "test_it.py::test_other"], fixtures="")


@pytest.mark.parametrize(
    ("change", "summary"),
    [
        ({}, "Crash in call: the test's process was ended by SIGKILL (signal 9: Killed)"),
        (
            {"bounds": "; too much"},
            "Crash in call: the test's process was ended by SIGKILL (signal 9: Killed); too much",
        ),
        (
            {"status": forkcore.ExitStatus(0)},
            "Crash in call: the test's process exited with status 0 before it had reported",
        ),
        ({"status": None}, "Crash in call: the test's process vanished; its exit status is not known"),
        ({"garbage": "no frame"}, "Crash in call: the test's process was ended: no frame"),
        (
            {"limits": Limits(timeout=1.5, has_passed=True)},
            "Timeout: call was ended, since the test took longer than 1.5 s",
        ),
        ({"limits": Limits(has_passed=True, words="Timeout (>1.0s)")}, "Timeout (>1.0s)"),
        (
            {"limits": Limits(alive_timeout=20, has_passed=True, is_stillborn=True)},
            "Timeout: the test's process was not alive 20 s after its fork",
        ),
    ],
)
def test_summary(change: dict[str, object], summary: str) -> None:
    """A line says what has happened, and in which phase."""
    assert dataclasses.replace(DEATH, **change).summary() == summary  # type: ignore[arg-type]


def test_a_limit_comes_before_what_ended_the_process() -> None:
    """A process that is ended at its deadline has a status, garbage and perhaps no template: the deadline is why."""
    death = dataclasses.replace(DEATH, limits=Limits(timeout=1, has_passed=True), garbage="half a frame", loss=LOSS)
    assert death.summary().startswith("Timeout: ")


def test_a_lost_template_is_said_and_explained() -> None:
    """What has become of the template comes into the summary, and which other test it may come from."""
    death = dataclasses.replace(DEATH, loss=LOSS)
    assert "the template of this test's process" in death.summary()
    assert "test_it.py::test_other" in death.details()


def test_details_are_the_users_frames() -> None:
    """The frames of pytest are left out, but with ``--full-trace``."""
    death = dataclasses.replace(DEATH, trace=TRACE)
    assert "test_it.py" in death.details()
    assert "_pytest" not in death.details()
    assert dataclasses.replace(death, shows_all=True).details() == TRACE


def test_silence_is_explained_where_a_limit_has_passed() -> None:
    """A test that wrote no traceback at its deadline says why, and one that did says nothing of that."""
    limits = Limits(timeout=1, has_passed=True, silence="it blocks the signal")
    silent = dataclasses.replace(DEATH, limits=limits)
    assert silent.details() == "it blocks the signal"
    assert "blocks" not in dataclasses.replace(silent, trace=TRACE).details()
    assert dataclasses.replace(DEATH, limits=dataclasses.replace(limits, has_passed=False)).details() == ""


def test_evidence_has_what_was_captured() -> None:
    """Output and times go into the report as they were taken."""
    evidence = dataclasses.replace(DEATH, output=[("stdout", "hello")], duration=2.0, stop=5.0).evidence()
    assert (evidence.phase, evidence.output, evidence.duration, evidence.stop) == (
        "call",
        [("stdout", "hello")],
        2.0,
        5.0,
    )
