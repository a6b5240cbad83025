"""A plugin that writes down what pytest reports in its own process, a line of JSON for each, for our tests to read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import warnings

    import pytest

RECORD_FILE = "REPORT_RECORDER_FILE"


class Recorder:
    """Records reports, warnings, starts and ends of tests, and internal errors."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._path = path
        self._pid = os.getpid()

    def _write(self, kind: str, values: dict[str, Any]) -> None:
        if os.getpid() == self._pid:
            with self._path.open("a") as file:
                file.write(json.dumps({"kind": kind} | values, default=repr) + "\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a phase."""
        status = self._config.hook.pytest_report_teststatus(report=report, config=self._config)
        longrepr: Any = report.longrepr
        values = {
            "nodeid": report.nodeid,
            "location": report.location,
            "when": report.when,
            "type": type(report).__name__,
            "outcome": report.outcome,
            "category": status[0] if status else "",
            "wasxfail": getattr(report, "wasxfail", None),
            "text": report.longreprtext,
            "message": getattr(getattr(longrepr, "reprcrash", None), "message", None),
            "sections": report.sections,
            "properties": report.user_properties,
            "keywords": sorted(report.keywords),
            "has_times": report.duration >= 0 and 0 < report.start <= report.stop,
        }
        self._write("report", values)

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: Any
    ) -> None:
        """Record a warning."""
        values = {
            "category": warning_message.category.__qualname__,
            "text": str(warning_message.message),
            "arguments": [repr(argument) for argument in getattr(warning_message.message, "args", ())],
            "filename": warning_message.filename,
            "lineno": warning_message.lineno,
            "when": when,
            "nodeid": nodeid,
            "location": location,
        }
        self._write("warning", values)

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        """Record that a test begins."""
        self._write("start", {"nodeid": nodeid, "location": location})

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        """Record that a test has ended."""
        self._write("finish", {"nodeid": nodeid, "location": location})

    def pytest_internalerror(self, excrepr: object) -> None:
        """Record that pytest, or a plugin, failed."""
        self._write("internal error", {"text": str(excrepr)})


def pytest_configure(config: pytest.Config) -> None:
    """Record, but not in pytest-xdist's workers: their reports come to the controller."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config, Path(os.environ[RECORD_FILE])), "report-recorder")
