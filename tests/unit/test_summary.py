"""The line at the end of a run."""

from __future__ import annotations

import os

from pytest_forkiso._summary import Statistics, resident_bytes


def test_counts() -> None:
    """Singular and plural; more under -v."""
    statistics = Statistics(children=1, crashes=1, timeouts=0, leftovers=2)
    assert statistics.line(verbose=False) == "forkiso: 1 child forked, 1 crash, 0 timeouts, 2 leftover processes"
    statistics = Statistics(children=2, template_bytes=12_400_000)
    statistics.fork_seconds.extend((0.001, 0.0025, 0.5))
    assert statistics.line(verbose=True).endswith(", template 12 MB, median time to a child 2.5 ms")
    assert Statistics().line(verbose=True) == Statistics().line(verbose=False)


def test_of_constant_size() -> None:
    """However many tests there are."""
    statistics = Statistics()
    statistics.fork_seconds.extend(float(number) for number in range(100_000))
    assert len(statistics.fork_seconds) < 2000


def test_memory_of_a_process() -> None:
    """A number of bytes for a living process, 0 for another."""
    assert 1_000_000 < resident_bytes(os.getpid()) < 1 << 40
    assert resident_bytes(2**22 + 1) == 0
