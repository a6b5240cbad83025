"""One run of a suite under one peer: seconds, CPU time and memory of the whole tree of processes."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks.harness import NotMeasured, Sample
from benchmarks.processes import descendants_of, tree_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from resource import struct_rusage

    from benchmarks.peers import Peer

_HERE = Path(__file__).resolve().parent
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY = 0.02  # seconds between two looks at the memory
_GRACE = 5.0  # seconds for processes that outlive pytest


@dataclass(frozen=True)
class Run:
    """How to run one suite.

    Attributes:
        python: The interpreter.
        folder: Of the suite.
        arguments: That name its tests.
        modules: What it imports.
        tests: How many there are; 0 where that is not known before.
        environment: Variables beside those that this process has.
        limit: Seconds for it.
    """

    python: str
    folder: Path
    arguments: Sequence[str]
    modules: Sequence[str]
    tests: int
    environment: Mapping[str, str] = field(default_factory=dict)
    limit: float = 900.0


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends, so that their CPU time is counted."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def end_on_sigterm() -> None:
    """Let SIGTERM end all that this process has started before it ends the process itself; after `adopt_orphans`."""
    signal.signal(signal.SIGTERM, _end_all_and_exit)


def _end_all_and_exit(number: int, _: object) -> NoReturn:
    _end_descendants()
    sys.exit(128 + number)


def sample_suite(peer: Peer, run: Run) -> Sample:
    """Run a suite once; give wall and CPU seconds, and when the first result of a test was known.

    Raises:
        NotMeasured: It failed, took too long, or ran another number of tests.
    """
    sample, _ = _measure(peer, run, look_every=None)
    return sample


def peak_memory(peer: Peer, run: Run) -> float:
    """Run a suite once more, and look at the memory of all its processes all the time.

    Returns:
        The most that was seen, in bytes; pages that processes share count once.

    Raises:
        NotMeasured: As for `sample_suite`.
    """
    _, peak = _measure(peer, run, look_every=_LOOK_EVERY)
    return peak


def _measure(peer: Peer, run: Run, *, look_every: float | None) -> tuple[Sample, float]:
    with tempfile.TemporaryDirectory(prefix="forkiso-benchmark-") as scratch:
        probe, output = Path(scratch, "probe.json"), Path(scratch, "output")
        with output.open("wb") as file:
            began = time.monotonic()
            process = _start(peer, run, probe, file.fileno())
            try:
                usage, peak = _wait(process, run.limit, look_every)
            except BaseException:
                end_all(process)
                raise
            wall = time.monotonic() - began
        cpu, faults = (sum(pair) for pair in zip(usage, reap_orphans(), strict=True))
        seen = _check(process.returncode, output, probe, run)
    sample = {"wall": wall, "cpu": cpu, "faults": faults, "first": seen["first"] - began}
    return {**sample, **{name: float(seen[name]) for name in ("own", "own_peak", "tests")}}, peak


def _start(peer: Peer, run: Run, probe: Path, output: int) -> subprocess.Popen[bytes]:
    command = [run.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "benchmarks.probe"]
    for plugin in peer.plugins:
        command += ["-p", plugin]
    command += peer.arguments
    if peer.preloads and run.modules:
        command += ["--fork-preload", ",".join(run.modules)]
    path = os.pathsep.join(filter(None, [str(_HERE.parent), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ,
        **run.environment,
        "PYTHONPATH": path,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "BENCHMARK_PROBE": str(probe),
    }
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.Popen(
        [*command, *run.arguments],
        cwd=run.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


Usage = tuple[float, float]
"""CPU seconds and page faults of a process, and of all that it has reaped."""


def _usage_of(usage: struct_rusage) -> Usage:
    return usage.ru_utime + usage.ru_stime, usage.ru_minflt + usage.ru_majflt


def _wait(process: subprocess.Popen[bytes], limit: float, look_every: float | None) -> tuple[Usage, float]:
    """Wait for the end of pytest; give what all that it has reaped has used, and the peak of memory."""
    deadline = time.monotonic() + limit
    peak = 0
    with os.fdopen(os.pidfd_open(process.pid)) as pidfd:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        while not poller.poll(1000 * (max(0, deadline - time.monotonic()) if look_every is None else look_every)):
            if time.monotonic() > deadline:
                raise NotMeasured(f"did not end within {limit:g} s")
            peak = max(peak, tree_memory(process.pid))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return _usage_of(usage), float(peak)


def end_all(process: subprocess.Popen[bytes]) -> None:
    """End pytest, and every process that it or its children have started; needs `adopt_orphans` before."""
    process.kill()
    process.wait()
    _end_descendants()


def _end_descendants() -> None:
    # Those of sessions of their own too: as orphans they are this process's children now.
    while left := descendants_of(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.wait()


def reap_orphans() -> Usage:
    """Wait for what outlived pytest, as a template may for a moment; give what it has used.

    Raises:
        NotMeasured: Something lived on, and was ended.
    """
    deadline = time.monotonic() + _GRACE
    cpu = faults = 0.0
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu, faults
        if pid:
            cpu, faults = (sum(pair) for pair in zip((cpu, faults), _usage_of(usage), strict=True))
        elif time.monotonic() > deadline:
            _end_descendants()
            raise NotMeasured(f"processes were left, {_GRACE:.0f} s after its end")
        else:
            time.sleep(0.005)


def _check(returncode: int, output: Path, probe: Path, run: Run) -> dict[str, Any]:
    if returncode != 0:
        text = output.read_text(errors="replace").strip()
        raise NotMeasured(f"exit code {returncode}: {text.rpartition(chr(10))[2]}")
    seen: dict[str, Any] = json.loads(probe.read_text())
    if seen["first"] is None or (run.tests and seen["tests"] != run.tests):
        raise NotMeasured(f"{seen['tests']} results instead of {run.tests}")
    return seen
