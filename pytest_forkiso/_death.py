"""Why the process of a test is gone before it had said all: phase by phase and word by word. Pure, no I/O."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_forkiso import _failures

if TYPE_CHECKING:
    import pytest

    import forkcore
    from pytest_forkiso._losses import Loss
    from pytest_forkiso._reports import Sections


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of a test's process, and those that have passed.

    Attributes:
        timeout: Seconds that the user gives the test; None for ever.
        alive_timeout: Seconds after which the test must have begun.
        has_passed: A limit has passed, and the process was ended for it.
        is_stillborn: It was the second.
        words: How another plugin says that its limit has passed, where it was that one; else empty.
        silence: Why there is no traceback; empty where there is one, or nobody asked.
    """

    timeout: float | None = None
    alive_timeout: float = 0.0
    has_passed: bool = False
    is_stillborn: bool = False
    words: str = ""
    silence: str = ""


@dataclasses.dataclass(frozen=True)
class Death:
    """What is known of a process that did not end as it should.

    Attributes:
        nodeid: Of its test.
        noted: The phase that it had begun last, by its own note.
        last_report: Of the phase that was reported last.
        status: Its exit status, where it is known.
        limits: And whether they have passed.
        garbage: What it has sent that nobody understands; None for nothing.
        loss: Where its template is gone as well, what is known of that.
        bounds: Which limit of its sandbox explains the status, as the end of a sentence; empty for none.
        trace: Written by faulthandler.
        shows_all: The user wants the frames of pytest, too.
        output: Captured in its last phase, by the names of what was captured.
        duration: Seconds from the begin of that phase.
        stop: Unix time of its end.
    """

    nodeid: str
    noted: str
    last_report: pytest.TestReport | None
    status: forkcore.ExitStatus | None
    limits: Limits = Limits()
    garbage: str | None = None
    loss: Loss | None = None
    bounds: str = ""
    trace: str = ""
    shows_all: bool = False
    output: Sections = dataclasses.field(default_factory=list)
    duration: float = 0.0
    stop: float = 0.0

    def evidence(self) -> _failures.Evidence:
        """Give what the report of this death says."""
        return _failures.Evidence(
            phase=self.phase(),
            summary=self.summary(),
            details=self.details(),
            output=self.output,
            duration=self.duration,
            stop=self.stop,
            last=self.last_report,
        )

    def phase(self) -> _failures.Phase:
        """Tell in which phase it was."""
        return _failures.phase_of_death(self.noted, self.last_report)

    def summary(self) -> str:
        """Say in a line what has happened."""
        phase, limits = self.phase(), self.limits
        if limits.is_stillborn:
            return f"Timeout: the test's process was not alive {limits.alive_timeout:g} s after its fork"
        if limits.has_passed and limits.words:
            return limits.words
        if limits.has_passed:
            return f"Timeout: {phase} was ended, since the test took longer than {limits.timeout:g} s"
        if self.garbage is not None:
            return f"Crash in {phase}: the test's process was ended: {self.garbage}"
        if self.loss is not None:
            return f"Crash in {phase}: {self.loss.describe()}"
        return f"Crash in {phase}: {_failures.describe_end(self.status)}{self.bounds}"

    def details(self) -> str:
        """Give what is known beside that: the traceback above all."""
        if self.trace:
            return self.trace if self.shows_all else _failures.users_frames(self.trace)
        if self.limits.has_passed:
            return self.limits.silence
        return "" if self.loss is None else self.loss.explain(self.nodeid)
