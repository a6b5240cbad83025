"""Compare ways to create a process: ``python -m benchmarks.forkcore`` in the folder ``tests``.

Create a process, let it exit, see its socket close and its status come: how fast, for how much CPU
time, from parents of several sizes; beside a thousand idle children; many in a row; and how much
memory each kind of process holds. ``--quick`` takes a minute, everything about half an hour.
"""

from __future__ import annotations

import argparse
import compileall
from typing import TYPE_CHECKING, Any

import forkcore
from benchmarks.aims import Results, find_aims
from benchmarks.contenders import TITLES, sample_footprint, sample_idle, sample_rate, sample_series
from benchmarks.harness import (
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
from benchmarks.results import Benchmark, add_result_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rates = Mapping[int, Mapping[str, Series]]

_QUICK = (
    "**A quick run, to see that everything works: two short samples of each. Its figures are no more than a hint.**"
)
_SECTIONS = ("rates", "idle", "series", "footprint")
_BESIDE = ("forkcore", "os_fork", "mp_forkserver")
_REFERENCE = "forkcore"
_FOOTPRINTS = {
    "template": "idle template",
    "idle_fork": "idle process forked from it",
    "child": "child that waits in its function",
    "child_exec": "the same, by new_exec",
    "interpreter_bare": "python -I -S",
    "interpreter": "python",
    "mp_forkserver": "multiprocessing's fork server",
    "mp_resource_tracker": "its resource tracker",
    "mp_child": "its child",
}


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forkcore", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds, small parents, short samples")
    parser.add_argument("--rounds", type=int, help="samples of each contender (default: 5)")
    parser.add_argument("--seconds", type=float, help="length of a sample, for each window (default: 1)")
    parser.add_argument("--memory", type=numbers, help="MB that parents touch (default: 0,20,200,2000)")
    parser.add_argument("--windows", type=numbers, default=[1, 4, 16], help="numbers in flight (default: 1,4,16)")
    parser.add_argument("--creators", type=names, default=list(TITLES), help=f"of {', '.join(TITLES)}")
    parser.add_argument("--idle", type=int, help="idle children alive at a time (default: 1000)")
    parser.add_argument("--series", type=int, help="processes in a row (default: 100000, which takes a minute or two)")
    parser.add_argument("--sections", type=names, default=list(_SECTIONS), help=f"of {', '.join(_SECTIONS)}")
    add_result_options(parser, "forkcore")
    options = parser.parse_args(arguments)
    unknown = [*(set(options.creators) - set(TITLES)), *(set(options.sections) - set(_SECTIONS))]
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    quick: dict[str, Any] = {"rounds": 2, "seconds": 0.2, "memory": [0, 200], "idle": 200, "series": 2000}
    full: dict[str, Any] = {"rounds": 5, "seconds": 1.0, "memory": [0, 20, 200, 2000], "idle": 1000, "series": 100000}
    for name, value in (quick if options.quick else full).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def measure_rates(options: argparse.Namespace) -> dict[int, dict[str, Series]]:
    """Measure every creator from every size of parent, all of them in each round."""
    places = {f"{name} at +{size} MB": (size, name) for size in sorted(options.memory) for name in options.creators}

    def measure(place: str) -> dict[str, float]:
        size, name = places[place]
        return sample_rate(name, size, options.seconds, options.windows)

    measured = take_turns(list(places), options.rounds, measure, say=say)
    rates: dict[int, dict[str, Series]] = {}
    for place, (size, name) in places.items():
        rates.setdefault(size, {})[name] = measured[place]
    return rates


def measure(options: argparse.Namespace) -> Results:
    """Measure all sections that were asked for."""
    window = 4
    beside = [name for name in _BESIDE if name in options.creators]
    rates: dict[int, dict[str, Series]] = {}
    idle: dict[str, Series] = {}
    series: dict[str, Series] = {}
    footprint = Series()
    if "rates" in options.sections:
        rates = measure_rates(options)
    if "idle" in options.sections:
        idle = take_turns(
            beside, options.rounds, lambda name: sample_idle(name, options.idle, options.seconds, window), say=say
        )
    if "series" in options.sections:
        series = take_turns(beside[:1], 1, lambda name: sample_series(name, options.series, window), say=say)
    if "footprint" in options.sections:
        footprint = take_turns(["footprint"], options.rounds, sample_footprint, say=say)["footprint"]
    return Results(rates=rates, idle=idle, footprint=footprint, series=series)


def rates_table(rates: Mapping[str, Series], windows: Sequence[int]) -> str:
    """Write rates, CPU time and latency of all creators in a parent of one size."""
    head = ["", *(f"/s, {window} in flight" for window in windows), *(f"µs CPU, {window}" for window in windows)]
    head += ["median ms", "95% ms", f"rate to {_REFERENCE}", "CPU to it", "spread"]
    last = f"w{windows[min(1, len(windows) - 1)]}"
    reference = rates.get(_REFERENCE, Series())
    rows = []
    for name, one in rates.items():
        if one.reason is not None and not one.values(f"rate_{last}"):
            continue
        row = [TITLES[name], *(show(one.median(f"rate_w{window}")) for window in windows)]
        row += [show(scaled(one.median(f"cpu_w{window}"), 1e6)) for window in windows]
        row += [show(scaled(one.median(f"{metric}_w{windows[0]}"), 1e3)) for metric in ("latency", "latency_p95")]
        row += [show(ratio(one, reference, f"rate_{last}"), 2), show(ratio(one, reference, f"cpu_{last}"), 2)]
        spread = one.spread(f"rate_{last}")
        rows.append([*row, "-" if spread is None else f"{spread:.0%}"])
    return markdown_table(head, rows)


def idle_table(idle: Mapping[str, Series]) -> str:
    """Write rates with and without idle children, and what such a child holds."""
    head = ["", "/s without", "/s beside them", "kept", "started /s", "ended /s", "private MB each", "PSS MB each"]
    metrics = ("rate", "rate_beside", "kept", "starts_per_second", "ends_per_second")
    rows = [
        [
            TITLES[name],
            *(show(one.median(metric)) for metric in metrics),
            *(show(scaled(one.median(f"child_{metric}"), 1e-6)) for metric in ("private", "pss")),
        ]
        for name, one in idle.items()
    ]
    return markdown_table(head, rows)


def series_table(series: Series) -> str:
    """Write what both ends hold after a tenth of a long series and at its end."""
    rows = []
    for end in ("parent", "template"):
        for what, unit in (("descriptors", ""), ("zombies", ""), ("private", " kB")):
            values = [series.median(f"{end}_{what}_{moment}") for moment in ("start", "end", "growth")]
            scale = 1e-3 if unit else 1.0
            rows.append([f"{end}, {what}{unit}", *(show(scaled(value, scale), 1) for value in values)])
    return markdown_table(["", "after a tenth", "at the end", "growth"], rows)


def footprint_table(footprint: Series) -> str:
    """Write the memory of each kind of process."""
    rows = [
        [title, *(show(scaled(footprint.median(f"{name}_{kind}"), 1e-6)) for kind in ("private", "pss"))]
        for name, title in _FOOTPRINTS.items()
    ]
    return markdown_table(["", "private MB", "PSS MB"], rows)


def report(options: argparse.Namespace, results: Results) -> list[str]:
    """Write everything in Markdown, part by part."""
    parts = [_QUICK if options.quick else ""]
    for size, rates in results.rates.items():
        parts += [f"### Parent at +{size:,} MB", rates_table(rates, options.windows), left_out(rates)]
    if results.idle:
        parts += [f"### Beside {options.idle:,} idle children", idle_table(results.idle), left_out(results.idle)]
    for name, one in results.series.items():
        count, rate = show(one.median("count"), 1), show(one.median("rate"))
        parts += [f"### {count} in a row ({TITLES[name]}, {rate}/s)", series_table(one)]
    if results.footprint.samples:
        parts += ["### Memory of a process", footprint_table(results.footprint), results.footprint.reason or ""]
    return [*parts, "### Aims", aims_table(find_aims(results), "forkcore against")]


def main() -> None:
    """Measure, and report."""
    options = parse_options()
    # As pip does. Without bytecode, each template would have to compile what it loads, and be larger for that.
    for folder in forkcore.__path__:
        compileall.compile_dir(folder, quiet=1)
    benchmark = Benchmark("forkcore", options)
    results = measure(options)
    benchmark.write(report(options, results), {**vars(results), "footprint": {"footprint": results.footprint}})


if __name__ == "__main__":
    main()
