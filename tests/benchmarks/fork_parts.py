"""What a fork of a process like pytest's is made of: ``python -m benchmarks.fork_parts`` in the folder ``tests``.

One process forks in several ways, in turn: each child ends at once and is waited for. What differs from one way to the
next is a part of the price. CPU time is that of parent and child. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import mmap
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Sample, difference, markdown_table, ratio, scaled, show, take_turns
from benchmarks.processes import memory_of
from benchmarks.results import Benchmark, add_result_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.harness import Series

_MAPPINGS = 400
_MEGABYTES = 16
_PAGE = mmap.PAGESIZE
_C = "fork of C"
_LIBRARY = ctypes.PyDLL(None)  # keeps the interpreter's lock: no thread could take it meanwhile


def fork_with_python() -> int:
    """Fork as `os.fork` does it, with what Python and libraries have registered to be done at a fork."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return pid


def fork_with_c() -> int:
    """Fork the bare process: neither Python nor a library of Python hears of it."""
    pid: int = _LIBRARY.fork()
    if pid == 0:
        _LIBRARY._exit(0)
    return pid


def fork_and_kill() -> int:
    """Fork, and end the child in the middle of a system call."""
    pid: int = _LIBRARY.fork()
    if pid == 0:
        _LIBRARY.pause()
    os.kill(pid, signal.SIGKILL)
    return pid


@contextlib.contextmanager
def more_mappings() -> Iterator[None]:
    """Map a file many times, in pieces that the kernel does not join."""
    with Path(__file__).open("rb") as file, contextlib.ExitStack() as stack:
        for _ in range(_MAPPINGS):
            mapping = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            stack.enter_context(mapping)
        yield


@contextlib.contextmanager
def more_memory(*, for_children: bool) -> Iterator[None]:
    """Hold memory in small pages, all of which are in use."""
    with mmap.mmap(-1, _MEGABYTES << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for offset in range(0, len(memory), _PAGE):
            memory[offset] = 1
        if not for_children:
            memory.madvise(mmap.MADV_DONTFORK)
        yield


# Each way of forking, and what there is beside.
WAYS: dict[str, tuple[Callable[[], int], Callable[[], contextlib.AbstractContextManager[None]]]] = {
    _C: (fork_with_c, contextlib.nullcontext),
    "the child killed": (fork_and_kill, contextlib.nullcontext),
    f"{_MAPPINGS} mappings of a file more": (fork_with_c, more_mappings),
    f"{_MEGABYTES} MB more": (fork_with_c, lambda: more_memory(for_children=True)),
    f"{_MEGABYTES} MB more, not for children": (fork_with_c, lambda: more_memory(for_children=False)),
    "os.fork": (fork_with_python, contextlib.nullcontext),
}


def measure(name: str, forks: int) -> Sample:
    """Fork so many times; give the means of CPU seconds and page faults."""
    fork, surroundings = WAYS[name]
    with surroundings():
        os.waitpid(fork(), 0)  # the first one after a change copies pages of this process
        before = _used()
        for _ in range(forks):
            os.waitpid(fork(), 0)
        after = _used()
    return {key: (after[key] - before[key]) / forks for key in before}


def _used() -> Sample:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cpu": sum(one.ru_utime + one.ru_stime for one in used),
        "faults": float(sum(one.ru_minflt for one in used)),
    }


def table(series: dict[str, Series]) -> str:
    """Write what each way takes, and how much more than the first."""
    rows = []
    for name, one in series.items():
        more, times = difference(one, series[_C], "cpu"), ratio(one, series[_C], "cpu")
        figures = (scaled(one.median("cpu"), 1e3), one.median("faults"), scaled(more, 1e3), times)
        rows.append([name, *map(show, figures)])
    return markdown_table(["", "CPU, ms", "page faults", "ms more", "ratio"], rows)


def process_line() -> str:
    """Say what this process has."""
    mappings = len(Path("/proc/self/maps").read_text(encoding="ascii").splitlines())
    return f"The process has {mappings} mappings, and {memory_of(os.getpid()).private / 1e6:.1f} MB for itself."


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fork_parts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="samples of each way (default: 21)")
    parser.add_argument("--forks", type=int, default=50, help="forks in each sample (default: 50)")
    parser.add_argument("--modules", default="", help="comma-separated; loaded beside pytest")
    add_result_options(parser, "fork-parts")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, and report."""
    options = parse_options()
    for name in ("pytest", "pytest_forkiso._inchild", *filter(None, options.modules.split(","))):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    benchmark = Benchmark("fork_parts", options)
    series = take_turns(list(WAYS), options.rounds, lambda name: measure(name, options.forks))
    benchmark.write([process_line(), table(series)], series)


if __name__ == "__main__":
    main()
