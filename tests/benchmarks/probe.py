"""A pytest plugin that notes when the first result is known and how many tests were called.

Loaded with ``-p benchmarks.probe``; writes to the file that ``BENCHMARK_PROBE`` names, in the
process that reports to the user and in no other one.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


class Probe:
    """Counts the reports of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pid = os.getpid()
        self.first: float | None = None
        self.tests = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the moment of the first report of a call, on the clock that all processes share."""
        if report.when == "call" and os.getpid() == self.pid:
            if self.first is None:
                self.first = time.monotonic()
            self.tests += 1

    def pytest_unconfigure(self) -> None:
        """Write down what was seen."""
        if os.getpid() == self.pid:
            self.path.write_text(json.dumps({"first": self.first, "tests": self.tests}))


def pytest_configure(config: pytest.Config) -> None:
    """Watch, unless this is a worker of pytest-xdist."""
    path = os.environ.get("BENCHMARK_PROBE")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Probe(Path(path)))
