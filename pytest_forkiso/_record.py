"""What is known of each test of a run, for reports: gathered piece by piece, in any order. Pure, no I/O."""

from __future__ import annotations

import dataclasses
from typing import Any

PHASES = ("setup", "call", "teardown")
_SEVERITY = ("passed", "skipped", "xfailed", "xpassed", "rerun", "failed", "error")


@dataclasses.dataclass(frozen=True)
class ChildFigures:
    """What pytest's own process knows of a child that has ended, beside its exit status. Times are Unix times.

    Attributes:
        attempt: How often the test was tried before, in other children.
        job: Which of the tests that run at a time, from 0.
        pid: Of the child.
        ordered: When the child was told to run the test.
        ended: When it was known to be gone.
        end: "exit" where it ended as it should, else "crash", "timeout" or "interrupted".
        leftovers: Processes that the test left behind.
        private_bytes: Memory that was the child's alone at its end: new, or copied from the template since the child
            wrote to it. None where nobody measured: without ``--fork-report``, or after a crash.
        page_faults: How often it touched a page that it did not have yet; None as above.
    """

    attempt: int
    job: int
    pid: int
    ordered: float
    ended: float
    end: str
    leftovers: int
    private_bytes: int | None
    page_faults: int | None


@dataclasses.dataclass(frozen=True)
class Phase:
    """A phase of a test, as it was reported.

    Attributes:
        when: One of `PHASES`.
        start: Unix time.
        stop: Unix time.
        category: What the terminal counts it as: "passed", "failed", "error", and so on; empty for nothing.
        message: In a line, why it is not as it should be; empty where it is.
        details: The failure, as the terminal shows it; empty where there is none.
    """

    when: str
    start: float
    stop: float
    category: str
    message: str = ""
    details: str = ""


class TestRecord:
    """One attempt at one test."""

    __test__ = False  # no test class

    def __init__(self, nodeid: str, worker: str | None, attempt: int) -> None:
        self.nodeid = nodeid
        self.worker = worker
        self.attempt = attempt
        self.phases: dict[str, Phase] = {}
        self.figures: dict[str, Any] | None = None

    def outcome(self) -> str:
        """Give the gravest of what the terminal counts; "interrupted" or "unknown" where there is nothing."""
        categories = [phase.category for phase in self.phases.values() if phase.category]
        if categories:
            return max(categories, key=_severity)
        return "interrupted" if self.figures and self.figures["end"] == "interrupted" else "unknown"

    def span(self) -> tuple[float, float] | None:
        """Give begin and end, the child's fork and exit included; None where nothing is known of them."""
        times = [time for phase in self.phases.values() for time in (phase.start, phase.stop)]
        if self.figures is not None:
            times += [self.figures["ordered"], self.figures["ended"]]
        return (min(times), max(times)) if times else None

    def steps(self) -> dict[str, tuple[float, float]]:
        """Give begin and end of each step: fork, the phases, end."""
        found = {when: (self.phases[when].start, self.phases[when].stop) for when in PHASES if when in self.phases}
        if self.figures is None:
            return found
        first = min((start for start, _ in found.values()), default=self.figures["ended"])
        last = max((stop for _, stop in found.values()), default=self.figures["ended"])
        return {
            "fork": (self.figures["ordered"], max(first, self.figures["ordered"])),
            **found,
            "end": (min(last, self.figures["ended"]), self.figures["ended"]),
        }


def _may_follow(when: str, last: str) -> bool:
    """Tell whether a phase belongs to the same attempt as the last one; a crash may be a teardown's second report."""
    return PHASES.index(when) > PHASES.index(last) or when == last == "teardown"


def _severity(category: str) -> float:
    # A category of another plugin's own says more than "passed", and less than the others.
    return _SEVERITY.index(category) if category in _SEVERITY else 0.5


class Records:
    """All tests of a run.

    Attributes:
        tests: In the order in which they were first heard of.
    """

    def __init__(self) -> None:
        self.tests: list[TestRecord] = []
        self._attempts: dict[tuple[str | None, str], list[TestRecord]] = {}

    def add_phase(self, nodeid: str, worker: str | None, phase: Phase) -> None:
        """Add the report of a phase; one that cannot follow those that are there begins another attempt at the test.

        Args:
            nodeid: Of the test.
            worker: Name of pytest-xdist's worker, or None.
            phase: What was reported.
        """
        attempts = self._attempts.setdefault((worker, nodeid), [])
        begun = [test for test in attempts if test.phases]
        if begun and _may_follow(phase.when, max(begun[-1].phases, key=PHASES.index)):
            test = begun[-1]
        else:
            test = next((test for test in attempts if not test.phases), None) or self._new(attempts, nodeid, worker)
        test.phases[phase.when] = phase

    def add_figures(self, nodeid: str, worker: str | None, figures: dict[str, Any]) -> None:
        """Add what is known of a child; it may come before or after the reports of the test.

        Args:
            nodeid: Of the test.
            worker: Name of pytest-xdist's worker, or None.
            figures: See `pack_figures`.
        """
        attempts = self._attempts.setdefault((worker, nodeid), [])
        while len(attempts) <= figures["attempt"]:
            self._new(attempts, nodeid, worker)
        attempts[figures["attempt"]].figures = figures

    def _new(self, attempts: list[TestRecord], nodeid: str, worker: str | None) -> TestRecord:
        test = TestRecord(nodeid, worker, len(attempts))
        attempts.append(test)
        self.tests.append(test)
        return test


def pack_figures(figures: ChildFigures, status: Any) -> dict[str, Any]:
    """Give figures and exit status in one plain dictionary, which crosses to pytest-xdist's controller.

    Args:
        figures: Of the child.
        status: Its `forkcore.ExitStatus`.
    """
    usage = status.usage
    return {
        **dataclasses.asdict(figures),
        "exit_code": status.code,
        "signal": status.signal,
        "cpu_user": None if usage is None else usage.user_time,
        "cpu_system": None if usage is None else usage.system_time,
        "peak_bytes": None if usage is None else usage.max_rss_bytes,
    }


def describe(test: TestRecord, zero: float) -> dict[str, Any]:
    """Give what a report says of one test; see report.schema.json.

    Args:
        test: The record.
        zero: Unix time that all times are counted from.
    """
    figures = test.figures or {}
    troubled = [phase for phase in test.phases.values() if phase.message]
    return {
        "nodeid": test.nodeid,
        "attempt": test.attempt,
        "outcome": test.outcome(),
        "worker": test.worker,
        "job": figures.get("job"),
        "pid": figures.get("pid"),
        "end": figures.get("end"),
        "exit_code": figures.get("exit_code"),
        "signal": figures.get("signal"),
        "steps": {
            name: [round(start - zero, 6), round(stop - zero, 6)] for name, (start, stop) in test.steps().items()
        },
        "cpu_user": figures.get("cpu_user"),
        "cpu_system": figures.get("cpu_system"),
        "peak_bytes": figures.get("peak_bytes"),
        "private_bytes": figures.get("private_bytes"),
        "page_faults": figures.get("page_faults"),
        "leftovers": figures.get("leftovers", 0),
        "message": troubled[0].message if troubled else None,
        "details": "\n\n".join(phase.details for phase in troubled if phase.details) or None,
    }
