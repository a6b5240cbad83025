"""Who takes part in `benchmarks.forkcore`, and how a sample of each is taken."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import NotMeasured, Sample
from benchmarks.machine import available_mb

_HERE = Path(__file__).resolve().parent
_DRIVER = [sys.executable, "-c", "from benchmarks.driver import main; main()"]
_SPARE_MB = 1000  # that must be left beside the memory that a parent touches

TITLES = {
    "forkcore": "forkcore.new().run()",
    "forkcore_ahead": "the same, children forked ahead",
    "forkcore_idle": "the same, idle processes forked ahead",
    "os_fork": "os.fork in this process",
    "bare_fork": "os.fork in python -I -S",
    "c_fork": "fork in C in python -I -S",
    "anyevent_fork": "AnyEvent::Fork (Perl)",
    "mp_forkserver": "multiprocessing forkserver, best case",
    "mp_script": "multiprocessing forkserver, as a script",
    "mp_fork": "multiprocessing fork",
    "forkcore_executor": "forkcore.ForkExecutor",
    "pool_executor": "ProcessPoolExecutor, one task per child",
    "forkcore_exec": "forkcore.new_exec().run()",
    "anyevent_exec": "AnyEvent::Fork, new_exec (Perl)",
    "subprocess": "subprocess, python -I -S -c ''",
    "mp_spawn": "multiprocessing spawn",
}


def sample_rate(name: str, megabytes: int, seconds: float, windows: list[int]) -> Sample:
    """Measure how fast processes are created.

    Args:
        name: One of `TITLES`.
        megabytes: Of memory that the parent touches before.
        seconds: For each window.
        windows: Numbers of processes in flight.

    Raises:
        NotMeasured: Something is missing here, or it failed.
    """
    if megabytes and available_mb() < megabytes + _SPARE_MB:
        raise NotMeasured(f"needs {megabytes + _SPARE_MB} MB of memory")
    joined = ",".join(str(window) for window in windows)
    positional = [str(megabytes), str(seconds), joined]
    options = ["--memory", str(megabytes), "--seconds", str(seconds), "--windows", joined]
    if name.startswith("anyevent"):
        method = "new_exec" if name == "anyevent_exec" else "new"
        command = [*_find_perl(), str(_HERE / "anyevent_fork.pl"), method, *positional]
    elif name in {"bare_fork", "c_fork"}:
        library = [str(_c_library())] if name == "c_fork" else []
        command = [sys.executable, "-I", "-S", str(_HERE / "bare_fork.py"), *positional, *library]
    elif name == "mp_script":
        command = [sys.executable, str(_HERE / "forkserver_script.py"), "rate", "mp_forkserver", *options]
    else:
        command = [*_DRIVER, "rate", name, *options]
    return run_json(command, timeout=60 + 10 * seconds * len(windows))


def sample_idle(name: str, count: int, seconds: float, window: int) -> Sample:
    """Measure the rate beside many idle children; arguments and exceptions as for `sample_rate`."""
    options = ["--count", str(count), "--seconds", str(seconds), "--windows", str(window)]
    return run_json([*_DRIVER, "idle", name, *options], timeout=60 + count / 10)


def sample_series(name: str, count: int, window: int) -> Sample:
    """Create many in a row; arguments and exceptions as for `sample_rate`."""
    command = [*_DRIVER, "series", name, "--count", str(count), "--windows", str(window)]
    return run_json(command, timeout=60 + count / 50)


def sample_footprint(_name: str) -> Sample:
    """Measure memory; exceptions as for `sample_rate`."""
    return run_json([*_DRIVER, "footprint"], timeout=60)


def run_json(command: list[str], *, timeout: float) -> Sample:
    """Run a command in the folder of the package, and read the JSON object that it prints.

    Raises:
        NotMeasured: It failed, or took too long; it and all that it started is ended then.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=_HERE.parent, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise NotMeasured(f"did not end within {timeout:.0f} s") from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise NotMeasured(f"exit code {process.returncode}: {err.strip().rpartition(chr(10))[2]}")
    sample: Sample = json.loads(out)
    return sample


@functools.cache
def _find_perl() -> tuple[str, ...]:
    perl = shutil.which("perl")
    if perl is None or subprocess.run([perl, "-MAnyEvent::Fork", "-e1"], capture_output=True, check=False).returncode:
        raise NotMeasured("not installed; Debian has it in libanyevent-fork-perl")
    return (perl,)


@functools.cache
def _c_library() -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise NotMeasured("there is no C compiler")
    library = Path(_build_folder().name) / "c_fork.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, _HERE / "c_fork.c"], check=True)
    return library


@functools.cache
def _build_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="forkcore-benchmark-")
