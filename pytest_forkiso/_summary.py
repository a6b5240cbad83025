"""What the run's end says of the children."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_forkiso._choice import Choice
    from pytest_forkiso._losses import Loss

TIMES = 1001
"""So many times to a child are kept, the last ones; of each worker, where there are some."""
_COUNTS = ("children", "crashes", "timeouts", "leftovers", "snapshots", "files")


@dataclasses.dataclass
class Statistics:
    """Counts of one session, or of all workers of pytest-xdist's; its size does not grow with tests."""

    children: int = 0
    crashes: int = 0
    timeouts: int = 0
    leftovers: int = 0
    template_bytes: int = 0
    snapshots: int = 0
    files: int = 0
    climbs: list[tuple[str, str, str, str]] = dataclasses.field(default_factory=list)
    losses: list[Loss] = dataclasses.field(default_factory=list)
    successors: list[Choice] = dataclasses.field(default_factory=list)
    alone: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    unshared_files: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    unshared: dict[str, str] = dataclasses.field(default_factory=dict)
    fork_seconds: deque[float] = dataclasses.field(default_factory=lambda: deque(maxlen=TIMES))
    workers: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    uncounted: list[str] = dataclasses.field(default_factory=list)

    def pack(self, notes: Sequence[str]) -> dict[str, Any]:
        """Give plain data of it, in a worker of pytest-xdist.

        Args:
            notes: Lines for the terminal, to stand before the findings.
        """
        lines = [line.encode(errors="backslashreplace").decode() for line in [*notes, *self.findings()]]
        counts = {name: getattr(self, name) for name in _COUNTS}
        return {**counts, "template_bytes": self.template_bytes, "fork_seconds": [*self.fork_seconds], "lines": lines}

    def add(self, worker: str, data: dict[str, Any]) -> None:
        """Add what a worker has packed.

        Args:
            worker: Its name.
            data: Plain.
        """
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + data[name])
        self.template_bytes = max(self.template_bytes, data["template_bytes"])
        self.fork_seconds = deque([*self.fork_seconds, *data["fork_seconds"]])
        for line in data["lines"]:
            self.workers.setdefault(line, []).append(worker)

    def line(self, *, verbose: bool) -> str:
        """Give the line for the terminal."""
        parts = [
            _count(self.crashes, "crash", "crashes"),
            _count(self.timeouts, "timeout", "timeouts"),
            _count(self.leftovers, "leftover process", "leftover processes"),
        ]
        if self.snapshots:
            parts.append(_count(self.snapshots, "snapshot of fixtures", "snapshots of fixtures"))
        if self.files:
            parts.append(_count(self.files, "template of a file", "templates of files"))
        if verbose:
            if self.template_bytes:
                parts.append(f"template {self.template_bytes / 1e6:.0f} MB")
            if self.fork_seconds:
                import statistics

                parts.append(f"median time to a child {1000 * statistics.median(self.fork_seconds):.1f} ms")
        if self.uncounted:
            parts.append(f"without those of {', '.join(self.uncounted)}, which crashed")
        return f"forkiso: {_count(self.children, 'child', 'children')} forked, " + ", ".join(parts)

    def files_alone(self) -> list[str]:
        """Give lines for test files that each of their tests has loaded by itself."""
        return [
            f"forkiso: each test of {', '.join(files)} has loaded its file by itself, because {why}"
            for why, files in self.alone.items()
        ]

    def findings(self) -> list[str]:
        """Give lines for what did not go as it should: other sources, templates that were lost, fixtures not shared."""
        losses = [loss.line() for loss in self.losses]
        successors = [f"forkiso: the template after it is '{kind}', because {why}" for kind, why in self.successors]
        climbs = [
            f"forkiso: from {nodeid} on, the template is '{kind}'. {summary}. Its stacks:\n{details}"
            for nodeid, kind, summary, details in self.climbs
        ]
        return (
            [f"[{', '.join(workers)}] {line}" for line, workers in self.workers.items()]
            + climbs
            + losses
            + successors
            + [
                f"forkiso: no fixtures were shared{' in ' if files else ''}{', '.join(files)}, because {why}"
                for why, files in self.unshared_files.items()
            ]
            + [
                f"forkiso: the fixture {name!r} was set up in each test's own process, because {reason}"
                for name, reason in self.unshared.items()
            ]
        )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def resident_bytes(pid: int) -> int:
    """Give the memory of a process that is in use, shared or not; 0 where /proc does not tell."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
