"""Measure what shared fixtures save: ``python -m benchmarks.sharing`` in the folder ``tests``.

A suite whose fixtures take time: one of the session, and one of each module. It is run plainly, forked with a
snapshot of them, and forked without. The first waits that long once, the last once for each test.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import (
    Aim,
    NotMeasured,
    Sample,
    Series,
    aims_table,
    as_json,
    markdown_table,
    ratio,
    say,
    scaled,
    show,
    take_turns,
    write_results,
)
from benchmarks.machine import describe_machine, machine_line
from benchmarks.processes import own_cpu
from benchmarks.suite_run import adopt_orphans

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS = {
    "plain": ("-p", "no:forkiso"),
    "shared": ("-p", "forkiso", "--forked", "--fork-share=session"),
    "unshared": ("-p", "forkiso", "--forked"),
}
"""How the suite is run, by name: arguments for pytest."""
_LIMIT = 900.0  # seconds for one run

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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the Markdown there, too")
    return parser.parse_args(arguments)


def write_suite(folder: Path, options: argparse.Namespace) -> None:
    """Write the suite."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(_CONFTEST.format(session=options.session, module=options.module))
    each = max(1, options.tests // options.modules)
    for number in range(options.modules):
        (folder / f"test_{number}.py").write_text(_MODULE.format(tests=each))


def run_once(folder: Path, way: str) -> Sample:
    """Run the suite once, and give its seconds: on the clock, and of CPU time of all its processes.

    Raises:
        NotMeasured: Not all tests have passed.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *WAYS[way]]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    began, cpu = time.perf_counter(), own_cpu()
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=_LIMIT
    )
    wall = time.perf_counter() - began
    if done.returncode != 0:
        raise NotMeasured(f"exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()  # templates that outlived pytest for a moment, with what they have reaped
    return {"wall": wall, "cpu": own_cpu() - cpu}


def make_table(series: dict[str, Series], options: argparse.Namespace) -> str:
    """Write what was measured, and how it stands with the aims."""
    rows = [
        [
            name,
            show(one.median("wall")),
            show(scaled(one.median("wall"), 1000 / options.tests)),
            show(ratio(one, series["plain"], "wall")),
            show(one.median("cpu")),
        ]
        for name, one in series.items()
    ]
    title = (
        f"### {options.tests} tests in {options.modules} module(s): "
        f"{options.session:g} s for the session, {options.module:g} s for each module"
    )
    aims = [Aim("shared / plain", 2.0, is_least=False, value=ratio(series["shared"], series["plain"], "wall"))]
    if "unshared" in series:
        saved = ratio(series["shared"], series["unshared"], "wall")
        aims.append(Aim("shared / unshared", 0.1, is_least=False, value=saved))
    table = markdown_table(["run", "wall s", "ms a test", "/ plain", "CPU s"], rows)
    return f"{title}\n\n{table}\n\n{aims_table(aims, 'Aims')}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the tables."""
    options = parse_options(arguments)
    adopt_orphans()
    ways = [way for way in WAYS if not (way == "unshared" and options.skip_unshared)]
    with tempfile.TemporaryDirectory() as folder:
        write_suite(Path(folder), options)
        series = take_turns(ways, options.rounds, lambda way: run_once(Path(folder), way), say=say)
    machine = describe_machine()
    table = f"{machine_line(machine)}\n\n{make_table(series, options)}"
    results = {"machine": machine, "options": {"tests": options.tests}, "runs": as_json(series)}
    write_results(results, table, json_path=options.json, table_path=options.table)


if __name__ == "__main__":
    main()
