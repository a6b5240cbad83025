"""What the terminal says of an audit, in pytest's own process, or in the controller of pytest-xdist."""

from __future__ import annotations

import pytest

ATTRIBUTE = "forkiso_audit"
"""Of the report of a teardown: pairs of an aspect and a finding."""
SECTION = "Audit (teardown)"
"""Name of a section of the same report; pytest shows those of a teardown that have the word in their name."""


class AuditSummary:
    """A plugin that collects the findings of a run, and lists them at its end."""

    def __init__(self) -> None:
        self._audited = 0
        self._findings: dict[str, list[tuple[str, str]]] = {}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a report says, if it says anything of it."""
        findings = getattr(report, ATTRIBUTE, None)
        if findings is None:
            return
        self._audited += 1
        if findings:
            self._findings[report.nodeid] = [(aspect, text) for aspect, text in findings]

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write a list of the tests that left something, and what that was."""
        if not self._audited:
            return
        terminalreporter.section("forkiso audit")
        for nodeid, findings in self._findings.items():
            terminalreporter.write_line(nodeid)
            for aspect, text in findings:
                terminalreporter.write_line(f"  {aspect}: {text}")
        terminalreporter.write_line(f"{len(self._findings)} of {self._audited} tests left something behind")
