"""Compare ways to get workers of pytest-xdist: ``python -m benchmarks.workers`` in the folder ``tests``.

Workers that start an interpreter each, and workers forked from one template (``--fork-workers``), with modules that the
test file imports. Measured is when the last worker has begun its first test, counted from the start of pytest, the CPU
time until then, and the memory of all processes at that moment, with shared pages counted once.
"""

from __future__ import annotations

import argparse
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
    left_out,
    markdown_table,
    names,
    numbers,
    ratio,
    say,
    scaled,
    show,
    take_turns,
)
from benchmarks.peers import check_modules
from benchmarks.processes import descendants_of, stat_of, tree_memory
from benchmarks.results import Benchmark, add_result_options
from benchmarks.suite_run import adopt_orphans, end_all, end_on_sigterm, reap_orphans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODULES = ["numpy", "pandas", "sklearn.linear_model"]
_LIMIT = 300.0  # seconds for one run
_LOOK_EVERY = 0.002
_SUITE = """
{imports}
import os
import pathlib
import time
import pytest

@pytest.mark.parametrize("n", range({tests}))
def test_waits(n, worker_id):
    here = pathlib.Path(__file__).parent
    (here / "begun").mkdir(exist_ok=True)
    (here / "begun" / worker_id).touch()
    deadline = time.monotonic() + {limit}  # whoever should write it may have been killed
    while not (here / "go").exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)
"""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--workers", type=numbers, default=[4], help="how many, several counts by commas (default: 4)")
    parser.add_argument(
        "--modules", type=names, default=MODULES, help=f"that tests import (default: {','.join(MODULES)})"
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender (default: 5)")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has all (default: this one)")
    add_result_options(parser, "workers")
    return parser.parse_args(arguments)


def write_suite(folder: Path, modules: Sequence[str], workers: int) -> None:
    """Write a test file with two tests for each worker."""
    imports = "\n".join(f"import {module}" for module in modules)
    (folder / "test_waits.py").write_text(_SUITE.format(imports=imports, tests=2 * workers, limit=_LIMIT))
    (folder / "pytest.ini").write_text("[pytest]\n")


def measure(folder: Path, workers: int, arguments: Sequence[str], python: str) -> Sample:
    """Run the suite once.

    Raises:
        NotMeasured: It failed, or took too long.
    """
    _clear(folder)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"-n{workers}", *arguments]
    # As for users: what was compiled once is not compiled again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as run:
        try:
            ready = _wait_until_ready(run, folder, workers) - began
            sample = {"ready": ready, "cpu": _tree_cpu(run.pid), "memory": float(tree_memory(run.pid))}
            (folder / "go").touch()
            output, _ = run.communicate(timeout=_LIMIT)
        except subprocess.TimeoutExpired:
            end_all(run)
            raise NotMeasured(f"did not end within {_LIMIT:g} s") from None
        except BaseException:
            end_all(run)
            raise
    reap_orphans()
    if run.returncode:
        raise NotMeasured(f"pytest ended with {run.returncode}:\n{output.decode(errors='replace')[-2000:]}")
    return sample


def _clear(folder: Path) -> None:
    (folder / "go").unlink(missing_ok=True)
    for path in (folder / "begun").glob("*"):
        path.unlink()


def _wait_until_ready(run: subprocess.Popen[bytes], folder: Path, workers: int) -> float:
    """Wait until each worker has begun a test; give the time on the monotonic clock."""
    deadline = time.monotonic() + _LIMIT
    while len(list((folder / "begun").glob("*"))) < workers:
        if run.poll() is not None:
            raise NotMeasured(f"pytest ended with {run.returncode} before all workers had begun")
        if time.monotonic() > deadline:
            raise NotMeasured(f"not all workers had begun after {_LIMIT:g} s")
        time.sleep(_LOOK_EVERY)
    return time.monotonic()


def _tree_cpu(pid: int) -> float:
    stats = [stat_of(one) for one in (pid, *descendants_of(pid))]
    return sum(stat.cpu for stat in stats if stat is not None)


def report(options: argparse.Namespace, results: Mapping[int, Mapping[str, Series]]) -> list[str]:
    """Write everything in Markdown, part by part."""
    parts = [f"Modules: {', '.join(options.modules)}"]
    aims = []
    for workers, series in results.items():
        stock, ours = series["xdist"], series["xdist --fork-workers"]
        rows = []
        for name, one in series.items():
            figures = [show(one.median("ready")), show(one.median("cpu")), show(scaled(one.median("memory"), 1e-6))]
            shares = [show(ratio(one, stock, metric)) for metric in ("ready", "cpu", "memory")]
            rows.append([name, *figures, *shares])
        head = ["", "ready s", "CPU s", "memory MB", "ready to xdist", "CPU to xdist", "memory to xdist"]
        parts += [f"### {workers} workers", markdown_table(head, rows), left_out(series)]
        aims += [
            Aim(f"{workers} workers: {title} to xdist", 0.5, False, ratio(ours, stock, metric))
            for title, metric in (("time until ready", "ready"), ("memory", "memory"))
        ]
    return [*parts, "### Aims", aims_table(aims, "")]


def main() -> None:
    """Measure, and report."""
    options = parse_options()
    check_modules(options.python, [*options.modules, "xdist", "pytest_forkiso"])
    benchmark = Benchmark("workers", options)
    adopt_orphans()
    end_on_sigterm()
    contenders = {
        "xdist": [],
        "xdist --fork-workers": ["--fork-workers", f"--fork-preload={','.join(options.modules)}"],
    }
    results = {}
    with tempfile.TemporaryDirectory(prefix="forkiso-benchmark-") as name:
        folder = Path(name)
        for workers in options.workers:
            write_suite(folder, options.modules, workers)
            measure(folder, workers, [], options.python)  # compiles what is compiled once
            results[workers] = take_turns(
                list(contenders),
                options.rounds,
                lambda name, workers=workers: measure(folder, workers, contenders[name], options.python),  # type: ignore[misc]
                say=say,
            )
    benchmark.write(report(options, results), {"workers": results})


if __name__ == "__main__":
    main()
