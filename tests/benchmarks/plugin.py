"""Compare ways to run a test suite: ``python -m benchmarks.plugin`` in the folder ``tests``.

Suites of several kinds, each run plainly, with ``--forked``, with jobs, and with other plugins that
isolate tests or spread them: wall time, CPU time and memory of all processes together, and how long
the first result takes. ``--venv DIR`` makes a virtual environment that has all of them; otherwise
those are measured that this interpreter has. ``--quick`` takes a minute or two.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import (
    Aim,
    NotMeasured,
    Sample,
    Series,
    aims_table,
    difference,
    left_out,
    markdown_table,
    names,
    ratio,
    say,
    scaled,
    show,
    take_turns,
)
from benchmarks.peers import PEERS, check_modules, make_environment
from benchmarks.results import Benchmark, add_result_options
from benchmarks.suite_run import Run, adopt_orphans, end_on_sigterm, peak_memory, sample_suite
from benchmarks.suites import SUITES, write_suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Results = Mapping[str, Mapping[str, Series]]

_REFERENCE = "plain"
_QUICK_TESTS = 50
_SECONDS_FOR_A_TEST = 0.05  # before a run of very many tests is given up
_HEAVY = ("heavy", "sklearn")
# pytest-isolated starts an interpreter for each test: 500 tests with pandas would take minutes each time.
_UNUSUAL_PEERS = ("forkiso_counted", "isolated")
_USUAL_PEERS = [name for name in PEERS if name not in _UNUSUAL_PEERS]
_PEERS_HELP = f"of {', '.join(PEERS)} (default: all but {' and '.join(_UNUSUAL_PEERS)})"


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plugin", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"one round, {_QUICK_TESTS} tests in each generated suite, no memory"
    )
    parser.add_argument("--rounds", type=int, help="runs of each suite by each peer (default: 5)")
    parser.add_argument("--suites", type=names, help=f"of {', '.join(SUITES)}")
    parser.add_argument("--peers", type=names, default=_USUAL_PEERS, help=_PEERS_HELP)
    parser.add_argument("--tests", type=int, help="tests in each suite (default: 500, or 200 of those that take time)")
    parser.add_argument("--ballast", type=int, default=0, metavar="MB", help="memory that a conftest touches")
    parser.add_argument("--no-memory", action="store_true", help="leave out the runs that look at the memory")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers (default: this one)")
    parser.add_argument("--venv", type=Path, metavar="DIR", help="virtual environment with all peers; made if need be")
    add_result_options(parser, "plugin")
    options = parser.parse_args(arguments)
    if options.suites is None:
        options.suites = [name for name, suite in SUITES.items() if not (options.quick and suite.pyargs)]
    unknown = [*(set(options.suites) - set(SUITES)), *(set(options.peers) - set(PEERS))]
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.quick:
        options.no_memory = True
        options.tests = options.tests or _QUICK_TESTS
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    return options


def measure_suite(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Series]:
    """Run one suite by all peers in turn, and once more by each for the memory."""
    suite = SUITES[name].of_size(options.tests)
    try:
        check_modules(options.python, suite.modules)
    except NotMeasured as error:
        return {peer: Series(reason=str(error)) for peer in options.peers}
    arguments = write_suite(suite, folder, ballast_mb=options.ballast)
    limit = max(Run.limit, suite.tests * _SECONDS_FOR_A_TEST)
    run = Run(options.python, folder, arguments, suite.modules, suite.tests, limit=limit)

    def measure(peer: str) -> Sample:
        check_modules(options.python, PEERS[peer].plugins)
        return sample_suite(PEERS[peer], run)

    series = take_turns(options.peers, options.rounds, measure, say=lambda text: say(f"{name}, {text}"))
    if not options.no_memory:
        add_peaks(name, series, run)
    return series


def add_peaks(name: str, series: Mapping[str, Series], run: Run) -> None:
    """Look at the memory of each peer that took part, in a run that is not timed."""
    for peer, one in series.items():
        first = next(iter(one.samples), None)
        if one.reason is None and first is not None:
            say(f"{name}, memory: {peer}")
            try:
                first["peak"] = peak_memory(PEERS[peer], run)
            except NotMeasured as error:
                one.reason = f"memory: {error}"


def overhead(one: Series, plain: Series, metric: str) -> float | None:
    """Give the seconds per test that a peer takes more than plain pytest."""
    tests = plain.median("tests")
    return scaled(difference(one, plain, metric), 1 / tests) if tests else None


def suite_table(series: Mapping[str, Series]) -> str:
    """Write how all peers ran one suite."""
    head = ["", "wall s", "CPU s", "wall to plain", "CPU to plain", "ms/test over plain", "CPU ms/test over plain"]
    head += ["pytest's own of it", "faults/test over plain", "first result s", "peak MB", "pytest's peak MB", "spread"]
    plain = series.get(_REFERENCE, Series())
    rows = []
    for name, one in series.items():
        if not one.values("wall"):
            continue
        row = [PEERS[name].title, *(show(one.median(metric)) for metric in ("wall", "cpu"))]
        row += [show(ratio(one, plain, metric)) for metric in ("wall", "cpu")]
        row += [show(scaled(overhead(one, plain, metric), 1e3)) for metric in ("wall", "cpu")]
        row += [show(scaled(overhead(one, plain, "own"), 1e3)), show(overhead(one, plain, "faults"))]
        row += [show(one.median("first")), *(show(scaled(one.median(peak), 1e-6)) for peak in ("peak", "own_peak"))]
        spread = one.spread("wall")
        rows.append([*row, "-" if spread is None else f"{spread:.0%}"])
    return markdown_table(head, rows)


def find_aims(results: Results) -> list[Aim]:
    """Give what the plugin aims at, with where this run is."""

    def series(suite: str, peer: str) -> Series:
        return results.get(suite, {}).get(peer, Series())

    def part(suite: str, metric: str) -> float | None:
        plain = series(suite, _REFERENCE)
        ours = overhead(series(suite, "forkiso"), plain, metric)
        theirs = overhead(series(suite, "forked"), plain, metric)
        return ours / theirs if ours is not None and theirs else None

    def against(suite: str, other: str, metric: str, peer: str) -> float | None:
        return ratio(series(suite, peer), series(suite, other), metric)

    aims = []
    for suite in ("trivial", "heavy"):
        title = SUITES[suite].title
        aims.append(Aim(f"{title}: overhead to pytest-forked's, wall", 1 / 5, False, part(suite, "wall")))
        aims.append(Aim(f"{title}: overhead to pytest-forked's, CPU", 1 / 3, False, part(suite, "cpu")))
    for suite in ("cpu", "sleep"):
        value = against(suite, _REFERENCE, "wall", "forkiso_2")
        aims.append(Aim(f"{SUITES[suite].title}: two jobs to plain, wall", 1, False, value))
    for suite in _HEAVY:
        title = SUITES[suite].title
        value = against(suite, "xdist", "wall", "forkiso_2")
        aims.append(Aim(f"{title}: two jobs to xdist -n 2, wall", 1, False, value))
        value = against(suite, _REFERENCE, "first", "forkiso")
        aims.append(Aim(f"{title}: first result to plain's", 1.1, False, value))
    return aims


def report(options: argparse.Namespace, results: Results) -> list[str]:
    """Write everything in Markdown, part by part."""
    parts = []
    ballast = f", conftest of {options.ballast:,} MB" if options.ballast else ""
    for name, series in results.items():
        tests = next((one.median("tests") for one in series.values() if one.values("tests")), None)
        heading = f"### {SUITES[name].title}, {show(tests, 1)} tests{ballast}"
        has_taken_part = any(one.values("wall") for one in series.values())
        parts += [heading, suite_table(series) if has_taken_part else "", left_out(series)]
    aims = [aim for aim in find_aims(results) if aim.value is not None]
    if aims:
        parts += ["### Aims", aims_table(aims, "")]
    return parts


def main() -> None:
    """Measure, and report."""
    options = parse_options()
    if options.venv is not None:
        options.python = make_environment(options.venv.resolve())
    benchmark = Benchmark("plugin", options)
    adopt_orphans()
    end_on_sigterm()
    results = {}
    with tempfile.TemporaryDirectory(prefix="forkiso-benchmark-") as folder:
        for name in options.suites:
            results[name] = measure_suite(name, Path(folder, name), options)
    benchmark.write(report(options, results), {"suites": results})


if __name__ == "__main__":
    main()
