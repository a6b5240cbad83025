"""What the benchmarks share: samples taken in turn, medians, ratios, Markdown tables."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Sample = dict[str, float]
"""What one run of one contender gave: values by the name of what was measured."""


class NotMeasured(Exception):
    """A contender cannot take part; the text says why."""


@dataclass
class Series:
    """All samples of one contender, one for each round.

    Attributes:
        samples: In the order of the rounds; None for a round in which it failed; none at all for
            who was not asked.
        reason: Why it did not take part, or no longer.
    """

    samples: list[Sample | None] = field(default_factory=list)
    reason: str | None = None

    def values(self, metric: str) -> list[float]:
        """Give what was measured under this name, round by round, failed rounds left out."""
        return [sample[metric] for sample in self.samples if sample is not None and metric in sample]

    def median(self, metric: str) -> float | None:
        """Give the median over the rounds; None where nothing was measured."""
        values = self.values(metric)
        return statistics.median(values) if values else None

    def spread(self, metric: str) -> float | None:
        """Give the width from the smallest to the largest value, in parts of the median; None for one value."""
        values = self.values(metric)
        median = self.median(metric)
        return (max(values) - min(values)) / median if median and len(values) > 1 else None


def take_turns(
    contenders: Sequence[str],
    rounds: int,
    measure: Callable[[str], Sample],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Series]:
    """Measure every contender once in each round, in the same order: A B A B.

    What else goes on in the machine then hits all of them, and a ratio within one round compares
    neighbours in time.

    Args:
        contenders: Their names.
        rounds: How often.
        measure: Takes one sample. A contender for which it raises `NotMeasured` is out.
        say: Is told how far it has come.
    """
    series = {name: Series() for name in contenders}
    for number in range(rounds):
        for name, one in series.items():
            if one.reason is not None:
                one.samples.append(None)
                continue
            say(f"round {number + 1} of {rounds}: {name}")
            try:
                one.samples.append(measure(name))
            except NotMeasured as error:
                one.samples.append(None)
                one.reason = str(error)
                say(f"{name} is out: {error}")
    return series


def ratio(above: Series, below: Series, metric: str) -> float | None:
    """Give the median of the ratios within each round; None where no round has both."""
    quotients = [
        ours[metric] / theirs[metric]
        for ours, theirs in zip(above.samples, below.samples, strict=False)
        if ours is not None and theirs is not None and metric in ours and theirs.get(metric)
    ]
    return statistics.median(quotients) if quotients else None


def difference(above: Series, below: Series, metric: str) -> float | None:
    """Give the median of the differences within each round; None where no round has both."""
    gaps = [
        ours[metric] - theirs[metric]
        for ours, theirs in zip(above.samples, below.samples, strict=False)
        if ours is not None and theirs is not None and metric in ours and metric in theirs
    ]
    return statistics.median(gaps) if gaps else None


def quantile(values: Sequence[float], part: float) -> float:
    """Give the value below which this part of the values lies; the nearest of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def scaled(value: float | None, factor: float) -> float | None:
    """Multiply, where there is anything to multiply."""
    return None if value is None else value * factor


def show(value: float | None, digits: int = 3) -> str:
    """Write a number for people: so many digits at least, thousands apart, a dash for nothing."""
    if value is None:
        return "-"
    if value and abs(value) < 10 ** (digits - 1):
        places = digits
        for power in range(digits):
            if abs(value) >= 10**power:
                places = digits - 1 - power
        return f"{value:.{places}f}"
    return f"{value:,.0f}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table: text to the left, everything else to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), f"| {' | '.join(rule)} |", *(line(row) for row in rows)])


@dataclass(frozen=True)
class Aim:
    """What a project aims at, as a figure of one run.

    Attributes:
        text: What is compared with what.
        limit: Where it should be.
        is_least: It should be there or above; otherwise there or below.
        value: Where it is; None where it was not measured.
    """

    text: str
    limit: float
    is_least: bool
    value: float | None

    @property
    def verdict(self) -> str:
        """Whether it was reached: yes, no, or not measured."""
        if self.value is None:
            return "not measured"
        is_reached = self.value >= self.limit if self.is_least else self.value <= self.limit
        return "yes" if is_reached else "no"


def aims_table(aims: Sequence[Aim], title: str) -> str:
    """Write what was aimed at beside what was reached."""
    rows = [[aim.text, f"{'≥' if aim.is_least else '≤'} {aim.limit:.3g}", show(aim.value), aim.verdict] for aim in aims]
    return markdown_table([title, "aim", "here", "reached"], rows)


def left_out(series: Mapping[str, Series]) -> str:
    """Write who did not take part, and why; empty where all did."""
    reasons = {one.reason for one in series.values()}
    if len(series) > 1 and len(reasons) == 1 and None not in reasons:
        return f"- nobody took part: {reasons.pop()}"
    return "\n".join(f"- {name}: {one.reason}" for name, one in series.items() if one.reason is not None)


def say(text: str) -> None:
    """Tell on stderr how far it has come."""
    print(text, file=sys.stderr, flush=True)


def names(text: str) -> list[str]:
    """Read a comma-separated list; a type for argparse."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str) -> list[int]:
    """Read a comma-separated list of numbers; a type for argparse."""
    return [int(name) for name in names(text)]
