"""Templates that are gone while their tests run, or that do not answer: found, told of, and made up for."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, NamedTuple

import pytest

import forkcore
from pytest_forkiso._failures import signal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_forkiso._child_source import ChildSource
    from pytest_forkiso._file_templates import FileTemplates
    from pytest_forkiso._run import ForkedRun
    from pytest_forkiso._sharing import Sharing
    from pytest_forkiso._snapshot import Snapshot
    from pytest_forkiso._summary import Statistics

LIMIT = 3
"""Templates that a run may lose; at the last of them it ends."""
FIRST_ANSWER = 1.0
"""Seconds that a template has to answer: it is idle, and takes less than a millisecond."""
LAST_ANSWER = 5.0
"""Seconds that it has to answer once it was told to go on, before it is ended."""
STATUS_TIME = 5.0
"""Seconds after which the exit status of a template that is gone is not waited for any longer."""


class Loss(NamedTuple):
    """A template that is gone.

    Attributes:
        status: How it ended, where that is known.
        was_silent: It did not answer, and was ended by us.
        tests: Node ids of those that had begun in a child of it which had not ended, as far as is known.
        fixtures: Names of those that were set up in it, and have not been torn down.
    """

    status: forkcore.ExitStatus | None
    was_silent: bool
    tests: Sequence[str]
    fixtures: str

    def describe(self) -> str:
        """Say what has happened, in a line for one of its tests."""
        return f"the template of this test's process {self._end()}"

    def explain(self, nodeid: str) -> str:
        """Say where that may come from.

        Args:
            nodeid: Of the test whose report this is for.
        """
        others = ", ".join(each for each in self.tests if each != nodeid)
        beside = f", by another one that had not ended yet ({others})" if others else ""
        what = "stopped" if self.was_silent else "ended"
        text = (
            f"It may have been {what} by this test itself, as by os.kill(os.getppid(), …){beside}, "
            "or for a lack of memory. The tests after this one have a new template."
        )
        return f"{text}\n{self._untorn()}" if self.fixtures else text

    def line(self) -> str:
        """Say what has happened, for the end of the run."""
        untorn = f" {self._untorn()}" if self.fixtures else ""
        tests = f"{' or '.join(self.tests)}, or " if self.tests else ""
        return f"forkiso: a template {self._end()}; it may have been {tests}a lack of memory.{untorn}"

    def _end(self) -> str:
        if self.was_silent:
            return f"did not answer for {LAST_ANSWER:g} s, and was ended"
        if self.status is None or not self.status.is_known:
            return "is gone; how it ended is not known"
        if self.status.signal is not None:
            return f"was ended by {signal_name(self.status.signal)}"
        return f"exited with status {self.status.code}"

    def _untorn(self) -> str:
        return f"What was set up in it has not been torn down: {self.fixtures}."


class Losses:
    """Finds templates that are gone."""

    def __init__(self, source: ChildSource, sharing: Sharing, files: FileTemplates, statistics: Statistics) -> None:
        self._source = source
        self._sharing = sharing
        self._files = files
        self._found = statistics.losses
        self._noted: list[forkcore.Template] = []
        self._silenced: list[forkcore.Template] = []

    def note(self, running: Iterable[ForkedRun]) -> None:
        """Look for templates that are gone, and let the tests know that ran from them.

        Args:
            running: Tests whose processes are not reaped.
        """
        runs = list(running)
        for template in [self._source.template, *(run.template for run in runs)]:
            self._note(template, runs, None)
        for template in self._files.lost():
            self._note(template, runs, None)
            self._files.drop_lost(template)
        for snapshot in self._sharing.lost():
            self._note(snapshot.template, runs, snapshot)
            self._sharing.drop_lost(snapshot)

    def _note(self, template: forkcore.Template, runs: Sequence[ForkedRun], snapshot: Snapshot | None) -> None:
        if template.is_usable or template in self._noted:
            return
        base = next((run.base for run in runs if run.template is template), None) if snapshot is None else snapshot
        own = [run for run in runs if run.template is template]
        loss = Loss(
            status=_status(template),
            was_silent=template in self._silenced,
            tests=[run.test.nodeid for run in own if run.has_begun],
            fixtures="" if base is None else base.names(),
        )
        for run in own:
            run.loss = loss
        self._noted.append(template)
        self._found.append(loss)
        self._source.forget(template)

    def holds_up(self, template: forkcore.Template) -> bool:
        """Tell whether it was for its template that a child did not do what was expected of it.

        A template that was stopped goes on from here. One that does not answer then is ended.

        Args:
            template: That should have forked the child, or told of its end.
        """
        if _answers(template, FIRST_ANSWER):
            return False
        with contextlib.suppress(ProcessLookupError, forkcore.ForkcoreError):
            os.kill(template.pid, signal.SIGCONT)
            if not _answers(template, LAST_ANSWER):
                self._silenced.append(template)
                os.kill(template.pid, signal.SIGKILL)
        return True

    @property
    def are_too_many(self) -> bool:
        """No other template is to be made."""
        return len(self._found) >= LIMIT

    def too_many(self, left_out: int) -> pytest.UsageError:
        """Make the error that ends the run.

        Args:
            left_out: Tests that have not been run.
        """
        return pytest.UsageError(
            f"{len(self._found)} templates were lost, as said above, and {left_out} tests have not been run. Let tests "
            "not signal their parent process (os.getppid()); where memory is short, run fewer at a time (--fork-jobs), "
            "or limit each of them (memory= of the marker forked)"
        )


def _answers(template: forkcore.Template, seconds: float) -> bool:
    """Tell whether a template answers in time; one that is gone keeps nobody waiting."""
    try:
        template.ready(seconds)
    except forkcore.TimeoutExpired:
        return False
    except forkcore.ForkcoreError:
        return True
    return True


def _status(template: forkcore.Template) -> forkcore.ExitStatus | None:
    try:
        template.ready(STATUS_TIME)
    except forkcore.TemplateDied as error:
        return error.status
    except forkcore.ForkcoreError:
        return None
    return None
