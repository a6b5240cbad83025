"""One sample of one creator, in a process of its own: ``driver RUN CREATOR [options]``.

Prints one line of JSON. `benchmarks.forkcore` starts it, anew for each sample, so that no
contender inherits what another one left in memory.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.creators import CREATORS
from benchmarks.harness import Sample, numbers, quantile
from benchmarks.processes import (
    allow_many_descriptors,
    children_of,
    descendants_of,
    descriptors_of,
    memory_of,
    tree_cpu,
    zombies_of,
)

if TYPE_CHECKING:
    from benchmarks.creators import Creator, Started

_WARM_UP = 0.1
_LEAST = 3  # processes in a sample, however slow they are
_PROBED = 20  # children whose memory is read, of all that are alive
_CHECKPOINTS = 10
_IDLE_LIMIT = 30.0  # seconds until all idle children are there, once all have been asked for


def touched(megabytes: int) -> bytearray:
    """Allocate memory, and write to each page of it."""
    block = bytearray(megabytes << 20)
    for offset in range(0, len(block), 4096):
        block[offset] = 1
    return block


def create_for(creator: Creator, window: int, seconds: float) -> list[float]:
    """Create processes for a while, so many in flight at a time, and see them all end.

    Returns:
        For each, the seconds from its start to its end.
    """
    running: collections.deque[tuple[float, Started]] = collections.deque()
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    def finish_oldest() -> None:
        began, started = running.popleft()
        started.finish()
        latencies.append(time.perf_counter() - began)

    while True:
        now = time.perf_counter()
        if now > end and len(latencies) + len(running) >= _LEAST:
            break
        running.append((now, creator.start()))
        if len(running) >= window:
            finish_oldest()
    while running:
        finish_oldest()
    return latencies


def measure_rate(creator: Creator, window: int, seconds: float) -> Sample:
    """Give processes per second, CPU seconds for each, and how long each took."""
    create_for(creator, window, min(_WARM_UP, seconds))
    cpu = tree_cpu()
    began = time.perf_counter()
    latencies = create_for(creator, window, seconds)
    wall = time.perf_counter() - began
    cpu = tree_cpu() - cpu
    return {
        "count": len(latencies),
        "rate": len(latencies) / wall,
        "cpu": cpu / len(latencies),
        "latency": statistics.median(latencies),
        "latency_p95": quantile(latencies, 0.95),
    }


def run_rate(options: argparse.Namespace) -> Sample:
    """Measure the rate in each window, with a parent of the size asked for."""
    block = touched(options.memory)
    sample: Sample = {}
    for window in options.windows:
        with CREATORS[options.creator](window) as creator:
            found = measure_rate(creator, window, options.seconds)
        sample |= {f"{metric}_w{window}": value for metric, value in found.items()}
    del block
    return sample


def run_idle(options: argparse.Namespace) -> Sample:
    """Measure the rate beside many idle children, and without them; and what such a child holds."""
    allow_many_descriptors()
    window = options.windows[0]
    with CREATORS[options.creator](window) as creator:
        if creator.start_idle is None:
            raise SystemExit(f"{options.creator} is not measured with idle children")
        without = measure_rate(creator, window, options.seconds)
        before = set(descendants_of(os.getpid()))
        began = time.perf_counter()
        idle = [creator.start_idle() for _ in range(options.count)]
        alive = wait_for_descendants(options.count, before)
        start = time.perf_counter() - began
        beside = measure_rate(creator, window, options.seconds)
        probed = [memory_of(pid) for pid in sorted(alive)[-_PROBED:]]
        began = time.perf_counter()
        for one in idle:
            one.finish()
        end = time.perf_counter() - began
        again = measure_rate(creator, window, options.seconds)
    rate = (without["rate"] + again["rate"]) / 2
    return {
        "rate": rate,
        "rate_beside": beside["rate"],
        "kept": beside["rate"] / rate,
        "cpu": without["cpu"],
        "cpu_beside": beside["cpu"],
        "starts_per_second": options.count / start,
        "ends_per_second": options.count / end,
        "child_private": statistics.median(one.private for one in probed),
        "child_pss": statistics.median(one.pss for one in probed),
    }


def wait_for_descendants(count: int, before: set[int], limit: float = _IDLE_LIMIT) -> set[int]:
    """Wait until so many processes more than before are below this one; give their pids."""
    deadline = time.monotonic() + limit
    while len(alive := set(descendants_of(os.getpid())) - before) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(alive)} of {count} idle children were there after {limit:g} s")
        time.sleep(0.01)
    return alive


def run_series(options: argparse.Namespace) -> Sample:
    """Create many in a row; give what both ends hold after a tenth of them and at the end."""
    window = options.windows[0]
    per_step = max(1, options.count // _CHECKPOINTS)
    sample: Sample = {}
    with CREATORS[options.creator](window) as creator:
        began = time.perf_counter()
        for step in range(_CHECKPOINTS):
            create_count(creator, window, per_step)
            if step in (0, _CHECKPOINTS - 1):
                moment = "end" if step else "start"
                sample |= {f"{what}_{moment}": value for what, value in held().items()}
        sample["count"] = per_step * _CHECKPOINTS
        sample["rate"] = sample["count"] / (time.perf_counter() - began)
    for name in [name.removesuffix("_end") for name in sample if name.endswith("_end")]:
        sample[f"{name}_growth"] = sample[f"{name}_end"] - sample[f"{name}_start"]
    return sample


def create_count(creator: Creator, window: int, count: int) -> None:
    """Create so many processes, and see them all end."""
    running: collections.deque[Started] = collections.deque()
    for _ in range(count):
        running.append(creator.start())
        if len(running) >= window:
            running.popleft().finish()
    for started in running:
        started.finish()


def held() -> Sample:
    """Give descriptors, private memory and zombies of this process, and of its templates."""
    parent = os.getpid()
    templates = children_of(parent)
    return {
        "parent_descriptors": descriptors_of(parent),
        "parent_private": memory_of(parent).private,
        "parent_zombies": zombies_of(parent),
        "template_descriptors": sum(descriptors_of(pid) for pid in templates),
        "template_private": sum(memory_of(pid).private for pid in templates),
        "template_zombies": sum(zombies_of(pid) for pid in templates),
    }


def run_footprint(_options: argparse.Namespace) -> Sample:
    """Measure memory, of all kinds of processes in one go."""
    from benchmarks.footprint import measure_footprint

    return measure_footprint()


_RUNS = {"rate": run_rate, "idle": run_idle, "series": run_series, "footprint": run_footprint}


def main() -> None:
    """Take one sample, and print it."""
    parser = argparse.ArgumentParser(prog="benchmarks.driver")
    parser.add_argument("run", choices=_RUNS)
    parser.add_argument("creator", nargs="?")
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--windows", type=numbers, default=[1])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    print(json.dumps(_RUNS[options.run](options)))
