"""What pages cost a forked test: ``python -m benchmarks.pages`` in the folder ``tests``.

A process that holds some memory is forked as it is, and with its memory moved into huge pages, as the
plugin's template does it: a process of each kind forks in turn. Then, what memory a test's process has
for itself at its end, by the modules that its template has loaded. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import (
    Aim,
    NotMeasured,
    Sample,
    Series,
    aims_table,
    markdown_table,
    numbers,
    ratio,
    say,
    scaled,
    show,
    take_turns,
)
from benchmarks.peers import PEERS, check_modules
from benchmarks.results import Benchmark, add_result_options
from benchmarks.suite_run import Run, adopt_orphans, end_on_sigterm, sample_suite
from benchmarks.suites import SUITES, write_suite
from pytest_forkiso import _memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KINDS = ("as it is", "in huge pages")
_SUITES = ("trivial", "heavy", "sklearn")
_TESTS = 50
_PROBED = replace(PEERS["forkiso"], plugins=(*PEERS["forkiso"].plugins, "benchmarks.private_probe"))
_LIMIT = 60  # seconds until the next fork, or until memory is taken up


# ------------------------------------------------------------------------------------------------ the forked process


def serve_forks(megabytes: int, *, uses_huge_pages: bool) -> None:
    """Hold memory, and fork once for each line on stdin; answer with seconds of wall and CPU time."""
    import pytest  # noqa: F401 - part of what a template holds

    signal.alarm(_LIMIT)  # ends this process: whoever asks finds no answer then
    ballast = bytearray(megabytes << 20)
    for offset in range(0, len(ballast), 4096):
        ballast[offset] = 1
    if uses_huge_pages:
        _memory.use_huge_pages()
    for _ in sys.stdin:
        signal.alarm(_LIMIT)
        began, before = time.monotonic(), os.times()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        after = os.times()
        cpu = sum(after[:4]) - sum(before[:4])
        print(json.dumps({"wall": time.monotonic() - began, "cpu": cpu}), flush=True)


@contextlib.contextmanager
def forking_process(kind: str, megabytes: int) -> Iterator[subprocess.Popen[str]]:
    """Have a process that forks when it is asked to."""
    command = [sys.executable, "-m", "benchmarks.pages", "--serve", kind, str(megabytes)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            ask(process)  # the first fork is none that is measured
            yield process
        finally:
            process.communicate()


def ask(process: subprocess.Popen[str]) -> Sample:
    """Have it fork once.

    Raises:
        NotMeasured: It has ended, perhaps because its time was up.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        raise NotMeasured(f"the process that forks has ended with {process.wait()}")
    answer: Sample = json.loads(line)
    return answer


def measure_forks(megabytes: int, rounds: int) -> dict[str, Series]:
    """Fork processes of both kinds in turn."""
    with contextlib.ExitStack() as stack:
        processes = {kind: stack.enter_context(forking_process(kind, megabytes)) for kind in KINDS}
        return take_turns(KINDS, rounds, lambda kind: ask(processes[kind]))


# ------------------------------------------------------------------------------------------------ memory of a child


def measure_private(name: str, folder: Path) -> Sample:
    """Run a suite forked; give the medians of what its children had for themselves, in bytes.

    Raises:
        NotMeasured: A module is missing, or the suite fails.
    """
    suite = SUITES[name].of_size(_TESTS)
    check_modules(sys.executable, suite.modules)
    arguments = write_suite(suite, folder)
    record = folder / "private"
    run = Run(sys.executable, folder, arguments, (), suite.tests, {"BENCHMARK_PRIVATE": str(record)})
    sample_suite(_PROBED, run)
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    return {key: statistics.median(row[key] for row in rows) for key in ("private", "faults")}


# ------------------------------------------------------------------------------------------------ report


def forks_table(results: dict[int, dict[str, Series]]) -> str:
    """Write the time of a fork, its child's end and the wait for it, by the memory of the process."""
    rows = []
    for megabytes, series in results.items():
        plain, huge = (series[kind] for kind in KINDS)
        row = [f"{megabytes:,} MB", *(show(scaled(one.median("wall"), 1e3)) for one in (plain, huge))]
        rows.append([*row, show(ratio(huge, plain, "wall"))])
    return markdown_table(["pytest and", *(f"{kind}, ms" for kind in KINDS), "ratio"], rows)


def private_table(series: dict[str, Series]) -> str:
    """Write what a test's process has for itself at its end."""
    rows = [
        [SUITES[name].title, show(scaled(one.median("private"), 1e-6)), show(one.median("faults"))]
        for name, one in series.items()
    ]
    return markdown_table(["", "private MB of a test's process", "its page faults"], rows)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=101, help="forks of each process (default: 101)")
    parser.add_argument("--megabytes", type=numbers, default=[0, 20, 100, 500, 2000], help="that the process holds")
    parser.add_argument("--quick", action="store_true", help="11 rounds, up to 100 MB")
    add_result_options(parser, "pages")
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "MB"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.megabytes = 11, [0, 20, 100]
    return options


def main() -> None:
    """Measure, and report."""
    options = parse_options()
    if options.serve:
        serve_forks(int(options.serve[1]), uses_huge_pages=options.serve[0] == KINDS[1])
        return
    benchmark = Benchmark("pages", options)
    adopt_orphans()
    end_on_sigterm()
    forks = {}
    for megabytes in options.megabytes:
        say(f"forks of a process with {megabytes} MB")
        forks[megabytes] = measure_forks(megabytes, options.rounds)
    with tempfile.TemporaryDirectory(prefix="forkiso-benchmark-") as folder:
        private = take_turns(_SUITES, 1, lambda name: measure_private(name, Path(folder, name)), say=say)
    hundred = forks.get(100, {})
    value = ratio(hundred[KINDS[1]], hundred[KINDS[0]], "wall") if hundred else None
    heavy = scaled(private["heavy"].median("private"), 1e-6)
    aims = [
        Aim("fork of 100 MB, in huge pages to as it is", 1 / 3, False, value),
        Aim("private MB of a test's process, numpy and pandas", 8, False, heavy),
    ]
    parts = [forks_table(forks), private_table(private), aims_table(aims, "")]
    benchmark.write(parts, {"forks": forks, "private": private})


if __name__ == "__main__":
    main()
