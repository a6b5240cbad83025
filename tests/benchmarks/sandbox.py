"""What each part of a sandbox costs a child: ``python -m benchmarks.sandbox``, in the folder ``tests``.

A child does nothing and ends. Latency is the time from asking for it to its end, as the parent sees it; CPU time is the
child's own, user and system, as the kernel counts it, and that of the parent meanwhile, which makes and removes control
groups. Rounds go through all parts in turn, so that whatever else the machine does meets all of them.
Shown are medians, less those of children without a sandbox.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import time
from typing import TYPE_CHECKING

import sandbox_runs

import forkcore
from benchmarks.group_places import Place, open_place
from benchmarks.harness import NotMeasured, Sample, Series, markdown_table, scaled, take_turns
from benchmarks.results import Benchmark, add_result_options
from forkcore import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


METRICS = {"cpu": "added CPU time, ms", "parent": "the parent's, ms", "latency": "added latency, ms"}


def measure_child(
    template: forkcore.Template, make: Callable[[], contextlib.AbstractContextManager[Sandbox | None]]
) -> Sample:
    """Give the seconds of one child: until its end, and of CPU time, its own and the parent's.

    Args:
        template: Is forked.
        make: Gives the child's sandbox, and takes away what belongs to it.

    Raises:
        NotMeasured: This system does not have what the sandbox needs.
    """
    began, used = time.perf_counter(), time.process_time()
    try:
        with make() as sandbox, template.fork().run("sandbox_targets:nothing", sandbox=sandbox) as child:
            status = child.wait(timeout=60)
    except forkcore.SandboxUnavailable as error:
        raise NotMeasured(str(error)) from error
    latency, parent = time.perf_counter() - began, time.process_time() - used
    if status.code != 0 or status.usage is None:
        raise RuntimeError(f"a child {status}")
    return {"latency": latency, "parent": parent, "cpu": status.usage.user_time + status.usage.system_time}


def measure(identity: str, rounds: int, place: Place | str) -> dict[str, Series]:
    """Measure all parts, as one kind of user, and groups where these can be had."""
    left_out = _OTHERS if identity == "root" else _ROOTS
    makers: dict[str, Callable[[], contextlib.AbstractContextManager[Sandbox | None]]] = {
        name: functools.partial(contextlib.nullcontext, sandbox)
        for name, sandbox in PARTS.items()
        if name not in left_out
    }
    if isinstance(place, Place):
        makers[f"group ({place.controllers})"] = functools.partial(place.group, identity)
    with sandbox_runs.make_template(identity, preload=["forkcore.sandbox"]) as template:
        for make in makers.values():
            with contextlib.suppress(NotMeasured):
                measure_child(template, make)  # the kernel reads what it needs for the first time
        return take_turns(list(makers), rounds, lambda name: measure_child(template, makers[name]))


def milliseconds(series: Series, metric: str) -> float:
    """Give the median in milliseconds; the part was measured in every round."""
    median = scaled(series.median(metric), 1e3)
    assert median is not None
    return median


def report(identity: str, results: Mapping[str, Series]) -> list[str]:
    """Write what each part adds, in Markdown."""
    plain = {metric: milliseconds(results["none"], metric) for metric in METRICS}
    rows = [
        [name, *(f"{milliseconds(one, metric) - plain[metric]:.2f}" for metric in METRICS)]
        for name, one in results.items()
        if name != "none" and one.reason is None
    ]
    absent = [f"Not measured: {one.reason}" for one in results.values() if one.reason is not None]
    took = "{latency:.2f} ms, {cpu:.2f} ms of CPU time, and {parent:.2f} of its parent's".format(**plain)
    head = f"As {identity}; without a sandbox a child takes {took}."
    return [head, markdown_table(["Part", *METRICS.values()], rows), *dict.fromkeys(absent)]


def main() -> None:
    """Measure as root, where this is root, and as an ordinary user."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="children of each part (default: 60)")
    add_result_options(parser, "sandbox")
    options = parser.parse_args()
    benchmark = Benchmark("sandbox", options)
    with open_place() as place:
        results = {identity: measure(identity, options.rounds, place) for identity in sandbox_runs.IDENTITIES}
    parts = [part for identity, series in results.items() for part in report(identity, series)]
    if isinstance(place, str):
        parts.append(f"No control group could be made: {place}")
    benchmark.write(parts, {"identities": results})


if __name__ == "__main__":
    main()
