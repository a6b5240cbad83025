"""Where the results of a benchmark go: printed, as JSON with every sample, and into a page of the documentation."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Series, say
from benchmarks.machine import describe_machine, machine_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def as_plain(figures: Any) -> Any:
    """Give figures as JSON knows them: samples, medians and spreads of each series, at whatever depth it stands."""
    if isinstance(figures, Mapping):
        return {str(name): as_plain(inner) for name, inner in figures.items()}
    if not isinstance(figures, Series):
        return figures
    metrics = dict.fromkeys(metric for sample in figures.samples for metric in sample or {})
    return {
        "median": {metric: figures.median(metric) for metric in metrics},
        "spread": {metric: figures.spread(metric) for metric in metrics},
        "samples": figures.samples,
        "reason": figures.reason,
    }


def add_result_options(parser: argparse.ArgumentParser, part: str) -> None:
    """Let the command line say where results go, for `Benchmark.write`; the part of a page has this name."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the Markdown there, too")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put it into this page, between two comments")
    parser.add_argument("--part", default=part, metavar="NAME", help=f"that they say (default: {part})")


class Benchmark:
    """One run of a benchmark, from now on: what it runs on, what was asked for, and where its results go.

    Args:
        name: Of the benchmark.
        options: Of the command line, with those of `add_result_options`.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        self.options = options
        self.machine = describe_machine()
        self.began = time.monotonic()
        say(machine_line(self.machine))

    def write(self, parts: Sequence[str], figures: Mapping[str, Any]) -> None:
        """Print the parts of a report that are not empty, and write what was asked for.

        Args:
            parts: Markdown; the machine is named above it.
            figures: What was measured, for the JSON.
        """
        text = "\n\n".join(part for part in (machine_line(self.machine), *parts) if part)
        print(text)
        options = self.options
        if options.json is not None:
            results = {
                "benchmark": self.name,
                "machine": self.machine,
                "options": {name: value for name, value in vars(options).items() if not isinstance(value, Path)},
                "seconds": round(time.monotonic() - self.began),
                **as_plain(figures),
            }
            options.json.write_text(json.dumps(results, indent=1) + "\n")
        if options.table is not None:
            options.table.write_text(text + "\n")
        if options.page is not None:
            options.page.write_text(fill_page(options.page.read_text(), options.part, text))


def fill_page(page: str, name: str, text: str) -> str:
    """Put a text between the two comments of a page that bear a name, instead of what is there.

    Raises:
        ValueError: The page has no such comments, or not in this order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the page does not have {begin} and, after it, {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
