"""What each part of a sandbox costs a child: ``python -m benchmarks.sandbox``, in the folder ``tests``.

A child does nothing and ends. Latency is the time from asking for it to its end, as the parent sees it; CPU time is the
child's own, user and system, as the kernel counts it. Rounds go through all parts in turn, so that whatever else the
machine does meets all of them. Shown are medians, less those of children without a sandbox.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox_runs

from benchmarks.machine import describe_machine, machine_line
from forkcore import Sandbox

if TYPE_CHECKING:
    import forkcore

STRICT = Sandbox(
    memory="512M",
    cpu=30,
    open_files=200,
    file_size="64M",
    core_dumps=False,
    env="clean",
    read_only=True,
    private_tmp="64M",
    network=False,
    signal_others=False,
    no_new_privs=True,
)
PARTS: dict[str, Sandbox | None] = {
    "none": None,
    "empty": Sandbox(),
    "memory": Sandbox(memory="512M"),
    "cpu, file_size, core_dumps, nice": Sandbox(cpu=30, file_size="64M", core_dumps=False, nice=1),
    "open_files": Sandbox(open_files=200),
    "processes": Sandbox(processes=10),
    "env, umask, home": Sandbox(env="clean", umask=0o77, home="/"),
    "network=False": Sandbox(network=False),
    "network='none'": Sandbox(network="none"),
    "hostname": Sandbox(hostname="box"),
    "read_only": Sandbox(read_only=True),
    "private_tmp": Sandbox(private_tmp=True),
    "hide (one folder)": Sandbox(hide=["/var/log"]),
    "signal_others=False": Sandbox(signal_others=False),
    "no_new_privs": Sandbox(no_new_privs=True),
    "capabilities=()": Sandbox(capabilities=()),
    "user": Sandbox(user="nobody"),
    "strict": STRICT,
}
_ROOTS = ("user",)
_OTHERS = ("processes",)


def measure_child(template: forkcore.Template, sandbox: Sandbox | None) -> tuple[float, float]:
    """Give the seconds of one child: until its end, and of CPU time."""
    began = time.perf_counter()
    with template.fork().run("sandbox_targets:nothing", sandbox=sandbox) as child:
        status = child.wait(timeout=60)
    latency = time.perf_counter() - began
    if status.code != 0 or status.usage is None:
        raise RuntimeError(f"a child {status}")
    return latency, status.usage.user_time + status.usage.system_time


def measure(identity: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Give the median milliseconds of each part, as one kind of user."""
    left_out = _OTHERS if identity == "root" else _ROOTS
    parts = {name: sandbox for name, sandbox in PARTS.items() if name not in left_out}
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    with sandbox_runs.make_template(identity, preload=["forkcore.sandbox"]) as template:
        for sandbox in parts.values():
            measure_child(template, sandbox)  # the kernel reads what it needs for the first time
        for _ in range(rounds):
            for name, sandbox in parts.items():
                samples[name].append(measure_child(template, sandbox))
    return {
        name: (
            1000 * statistics.median(latency for latency, _ in values),
            1000 * statistics.median(cpu for _, cpu in values),
        )
        for name, values in samples.items()
    }


def table(identity: str, results: dict[str, tuple[float, float]]) -> list[str]:
    """Give the lines of a table."""
    latency, cpu = results["none"]
    lines = [f"As {identity}; without a sandbox a child takes {latency:.2f} ms, and {cpu:.2f} ms of CPU time.", ""]
    lines += ["| Part | added latency, ms | added CPU time, ms |", "|---|---|---|"]
    for name, (own_latency, own_cpu) in results.items():
        if name != "none":
            lines.append(f"| {name} | {own_latency - latency:.2f} | {own_cpu - cpu:.2f} |")
    return [*lines, ""]


def main() -> None:
    """Measure as root, where this is root, and as an ordinary user; print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="children of each part")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    print(machine_line(describe_machine()))
    results = {identity: measure(identity, arguments.rounds) for identity in sandbox_runs.IDENTITIES}
    for identity, figures in results.items():
        print("\n".join(["", *table(identity, figures)]))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
