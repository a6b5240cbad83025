"""Reports of tests that cannot report themselves: their process crashed, was ended, or vanished."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest

from pytest_forkiso import _private

if TYPE_CHECKING:
    from collections.abc import Sequence

    import forkcore
    from pytest_forkiso._reports import Sections

_PYTEST_FRAMES = ("/_pytest/", "/pluggy/")
_OWN_FRAMES = ('pytest_forkiso/_inchild.py"', 'pytest_forkiso/_private_fixtures.py"')
Phase = Literal["setup", "call", "teardown"]


class Evidence(NamedTuple):
    """What is known of a child that did not report to its end.

    Attributes:
        phase: That it was in.
        summary: What happened, in a line, for the short summary.
        details: Further lines, the traceback above all.
        output: Captured in that phase, by the names of what was captured.
        duration: Seconds from the begin of the phase to the end of the process.
        stop: Unix time of that end.
        last: The report of the phase before.
    """

    phase: Phase
    summary: str
    details: str
    output: Sections
    duration: float
    stop: float
    last: pytest.TestReport | None


def phase_of_death(noted: str, last: pytest.TestReport | None) -> Phase:
    """Tell in which phase a test's process has ended.

    Args:
        noted: The phase that it had begun last.
        last: The phase that it has reported last.
    """
    if noted == "setup" and (last is None or last.when != "setup"):
        return "setup"
    if noted == "call" or (last is not None and last.when == "setup" and last.passed):
        return "call" if last is None or last.when != "call" else "teardown"
    return "teardown"


def users_frames(trace: str) -> str:
    """Leave out of a traceback of faulthandler the frames of pytest, and how the process came to run the test."""
    lines: list[str] = []
    is_own = False
    for line in trace.splitlines():
        is_frame = line.startswith("  File ")
        is_own = is_frame and (is_own or any(part in line for part in _OWN_FRAMES))
        if not is_own and not (is_frame and any(part in line for part in _PYTEST_FRAMES)):
            lines.append(line)
    return "\n".join(lines)


def describe_end(status: forkcore.ExitStatus | None) -> str:
    """Say in words how a process ended that had more to say."""
    if status is None or not status.is_known:
        return "the test's process vanished; its exit status is not known"
    if status.signal is not None:
        return f"the test's process was ended by {signal_name(status.signal)}"
    return f"the test's process exited with status {status.code} before it had reported"


def signal_name(number: int) -> str:
    """Give the name and the meaning of a signal: 'SIGSEGV (signal 11: Segmentation fault)'."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        is_real_time = sys.platform == "linux" and signal.SIGRTMIN < number < signal.SIGRTMAX
        name = f"SIGRTMIN+{number - signal.SIGRTMIN}" if is_real_time else "a signal without a name"
    return f"{name} (signal {number}: {signal.strsignal(number) or 'unknown'})"


def make_report(item: pytest.Item, evidence: Evidence) -> pytest.TestReport:
    """Make the report of the phase in which a test's process ended; ``xfail`` marks apply as for any failure."""
    path, line, _ = item.location
    line = (line or 0) + 1
    text = "\n".join(part for part in (f"{path}:{line}: {evidence.summary}", evidence.details.rstrip()) if part)
    last = evidence.last
    report = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=_private.native_failure(text + "\n", path, line, evidence.summary),
        when=evidence.phase,
        sections=_sections(evidence),
        duration=evidence.duration,
        start=evidence.stop - evidence.duration,
        stop=evidence.stop,
        user_properties=list(last.user_properties) if last is not None else [],
    )
    expected, reason = _private.expected_failure(item)
    if expected or (evidence.phase == "call" and _is_expected_by_unittest(item)):
        report.outcome = "skipped"
        report.wasxfail = reason
    return report


def _is_expected_by_unittest(item: pytest.Item) -> bool:
    """Tell whether the test, or its class, is decorated with `unittest.expectedFailure`."""
    if item.config.getoption("runxfail", default=False):
        return False
    owners = (getattr(item, name, None) for name in ("obj", "cls"))
    return any(getattr(owner, "__unittest_expecting_failure__", False) is True for owner in owners)


def closing_report(crash: pytest.TestReport) -> pytest.TestReport:
    """Make what closes a test after a crash where somebody waits for the teardown: to write its output, say.

    It is not for pytest's hooks, since there was no teardown.

    Args:
        crash: The report of an earlier phase.
    """
    return pytest.TestReport(
        nodeid=crash.nodeid,
        location=crash.location,
        keywords=crash.keywords,
        outcome="passed",
        longrepr=None,
        when="teardown",
        sections=crash.sections,
        duration=0.0,
        start=crash.stop,
        stop=crash.stop,
        user_properties=crash.user_properties,
    )


def make_teardown_report(item: pytest.Item, text: str, sections: Sections) -> pytest.TestReport:
    """Make the report of a teardown of shared fixtures whose process has ended in it.

    Args:
        item: The test that was the last one to use them.
        text: What has happened.
        sections: What was captured until then.
    """
    summary, _, details = text.partition("\n")
    report = make_report(item, Evidence("teardown", summary, details, [], 0.0, time.time(), None))
    report.sections = list(sections)
    return report


def _sections(evidence: Evidence) -> Sequence[tuple[str, str]]:
    sections = list(evidence.last.sections) if evidence.last is not None else []
    sections.extend((f"Captured {name} {evidence.phase}", text) for name, text in evidence.output)
    return sections
