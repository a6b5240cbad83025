"""Measure what shared fixtures save: ``python -m benchmarks.sharing`` in the folder ``tests``.

A suite whose fixtures take time: one of the session, and one of each module. It is run plainly, forked with a
snapshot of them, one test or two at a time, and forked without. The first waits that long once, the last once for each
test.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import (
    Aim,
    Series,
    aims_table,
    left_out,
    markdown_table,
    ratio,
    say,
    scaled,
    show,
    take_turns,
)
from benchmarks.peers import PEERS
from benchmarks.results import Benchmark, add_result_options
from benchmarks.suite_run import Run, adopt_orphans, end_on_sigterm, sample_suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WAYS = {
    "plain": PEERS["plain"],
    "shared": replace(PEERS["forkiso"], arguments=("--forked", "--fork-share=session")),
    "shared, two jobs": replace(PEERS["forkiso"], arguments=("--forked", "--fork-share=session", "--fork-jobs=2")),
    "unshared": PEERS["forkiso"],
}
"""How the suite is run, by name."""

_CONFTEST = """
import time
import pytest

@pytest.fixture(scope="session")
def corpus():
    time.sleep({session})
    return list(range(10_000))

@pytest.fixture(scope="module")
def index(corpus):
    time.sleep({module})
    return dict.fromkeys(corpus)
"""
_MODULE = """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_it(index, number):
    assert number in index
    index.clear()
    index.update({{number: None for number in range({tests})}})
"""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description=__doc__)
    parser.add_argument("--tests", type=int, default=200, help="tests, all modules together (default: 200)")
    parser.add_argument("--modules", type=int, default=1, help="modules that they are in (default: 1)")
    parser.add_argument("--session", type=float, default=0.3, help="seconds of the session's fixture (default: 0.3)")
    parser.add_argument("--module", type=float, default=0.1, help="seconds of a module's fixture (default: 0.1)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind (default: 3)")
    parser.add_argument("--skip-unshared", action="store_true", help="leave out the run that takes long")
    add_result_options(parser, "sharing")
    return parser.parse_args(arguments)


def write_suite(folder: Path, options: argparse.Namespace) -> Run:
    """Write the suite; give how it is run."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(_CONFTEST.format(session=options.session, module=options.module))
    each = max(1, options.tests // options.modules)
    for number in range(options.modules):
        (folder / f"test_{number}.py").write_text(_MODULE.format(tests=each))
    return Run(sys.executable, folder, ["."], modules=(), tests=each * options.modules)


def report(tests: int, options: argparse.Namespace, series: Mapping[str, Series]) -> list[str]:
    """Write everything in Markdown, part by part."""
    rows = [
        [
            name,
            show(one.median("wall")),
            show(scaled(one.median("wall"), 1000 / tests)),
            show(ratio(one, series["plain"], "wall")),
            show(one.median("cpu")),
        ]
        for name, one in series.items()
    ]
    title = (
        f"### {tests} tests in {options.modules} module(s): "
        f"{options.session:g} s for the session, {options.module:g} s for each module"
    )
    aims = [
        Aim(f"{way} / plain", 2.0, is_least=False, value=ratio(series[way], series["plain"], "wall"))
        for way in ("shared", "shared, two jobs")
    ]
    if "unshared" in series:
        saved = ratio(series["shared"], series["unshared"], "wall")
        aims.append(Aim("shared / unshared", 0.1, is_least=False, value=saved))
    table = markdown_table(["run", "wall s", "ms a test", "/ plain", "CPU s"], rows)
    return [title, table, left_out(series), aims_table(aims, "Aims")]


def main() -> None:
    """Measure, and report."""
    options = parse_options()
    benchmark = Benchmark("sharing", options)
    adopt_orphans()
    end_on_sigterm()
    ways = [way for way in WAYS if not (way == "unshared" and options.skip_unshared)]
    with tempfile.TemporaryDirectory() as folder:
        run = write_suite(Path(folder), options)
        series = take_turns(ways, options.rounds, lambda way: sample_suite(WAYS[way], run), say=say)
    benchmark.write(report(run.tests, options, series), {"runs": series})


if __name__ == "__main__":
    main()
