"""A pytest plugin that notes the first result, how many tests were called, and CPU time and memory of pytest itself.

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
            # Of this process alone; children are counted by whoever waits for it.
            seen = {"first": self.first, "tests": self.tests, "own": time.process_time(), "own_peak": own_peak()}
            self.path.write_text(json.dumps(seen))


def own_peak() -> int:
    """Give the most memory that this process has held, in bytes, shared pages included, without its children."""
    lines = Path("/proc/self/status").read_text(errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def pytest_configure(config: pytest.Config) -> None:
    """Watch, unless this is a worker of pytest-xdist."""
    # Taken away, so that a pytest that this one starts for a test writes nothing over its figures.
    path = os.environ.pop("BENCHMARK_PROBE", None)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Probe(Path(path)))
