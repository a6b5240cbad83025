"""Measure whether a test costs the same in suites of any size: ``python -m benchmarks.growth`` in the folder ``tests``.

Suites of trivial tests, smaller and larger ones, each run plainly and forked: what a test costs, and how much memory
pytest's own process has held at the most. A hundred thousand tests take some six minutes on an idle machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import (
    Aim,
    Series,
    aims_table,
    difference,
    left_out,
    markdown_table,
    numbers,
    say,
    scaled,
    show,
    take_turns,
)
from benchmarks.peers import PEERS
from benchmarks.plugin import overhead
from benchmarks.results import Benchmark, add_result_options
from benchmarks.suite_run import Run, adopt_orphans, end_on_sigterm, sample_suite
from benchmarks.suites import SUITES, write_suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Results = Mapping[int, Mapping[str, Series]]

_PEERS = ("plain", "forkiso")
_SIZES = "100,1000,10000,100000"
_SECONDS_FOR_A_TEST = 0.05  # before a run is given up
_MOST = 1.1
"""A test of the largest suite may cost so many times what one of the smallest with a thousand tests or more does."""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument(
        "--sizes", type=numbers, default=numbers(_SIZES), help=f"tests in each suite (default: {_SIZES})"
    )
    parser.add_argument("--rounds", type=int, default=1, help="runs of each kind (default: 1)")
    add_result_options(parser, "growth")
    options = parser.parse_args(arguments)
    options.sizes.sort()
    return options


def measure(tests: int, folder: Path, rounds: int) -> dict[str, Series]:
    """Run a suite of one size plainly and forked, in turn."""
    suite = SUITES["trivial"].of_size(tests)
    limit = max(Run.limit, tests * _SECONDS_FOR_A_TEST)
    run = Run(sys.executable, folder, write_suite(suite, folder), suite.modules, tests, limit=limit)
    return take_turns(
        _PEERS, rounds, lambda peer: sample_suite(PEERS[peer], run), say=lambda text: say(f"{tests}, {text}")
    )


def table(results: Results) -> str:
    """Write a row for each size."""
    head = [
        "tests",
        "plain, s",
        "--forked, s",
        "ms/test over plain",
        "CPU ms/test over plain",
        "faults/test over plain",
    ]
    head += ["pytest's peak MB, plain", "--forked", "more bytes/test"]
    rows = []
    for tests, series in results.items():
        plain, forked = (series[peer] for peer in _PEERS)
        row = [f"{tests:,}", show(plain.median("wall")), show(forked.median("wall"))]
        row += [show(scaled(overhead(forked, plain, metric), 1e3)) for metric in ("wall", "cpu")]
        row.append(show(overhead(forked, plain, "faults")))
        row += [show(scaled(one.median("own_peak"), 1e-6)) for one in (plain, forked)]
        rows.append([*row, show(scaled(difference(forked, plain, "own_peak"), 1 / tests))])
    return markdown_table(head, rows)


def find_aims(results: Results) -> list[Aim]:
    """Tell whether the cost of a test stays the same; a hundred tests are few beside what a run costs as a whole."""
    large = [tests for tests in results if tests >= 1000]
    if len(large) < 2:
        return []
    aims = []
    for metric, title in (("wall", "wall time"), ("cpu", "CPU time"), ("faults", "page faults")):
        least, most = (
            overhead(results[size]["forkiso"], results[size]["plain"], metric) for size in (large[0], large[-1])
        )
        value = most / least if least and most is not None else None
        aims.append(Aim(f"overhead per test, {large[-1]:,} to {large[0]:,} tests, {title}", _MOST, False, value))
    return aims


def report(results: Results) -> list[str]:
    """Write everything in Markdown, part by part."""
    reasons = [left_out(series) for series in results.values()]
    aims = find_aims(results)
    return [table(results), *reasons, aims_table(aims, "Aims") if aims else ""]


def main() -> None:
    """Measure, and report."""
    options = parse_options()
    benchmark = Benchmark("growth", options)
    adopt_orphans()
    end_on_sigterm()
    results = {}
    with tempfile.TemporaryDirectory(prefix="forkiso-benchmark-") as folder:
        for tests in options.sizes:
            results[tests] = measure(tests, Path(folder, str(tests)), options.rounds)
    benchmark.write(report(results), {"sizes": results})


if __name__ == "__main__":
    main()
