"""What forkcore aims at, in ratios of one run, and whether this run got there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.harness import Aim, Series, ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

_AT_MOST_PRIVATE = 1.2  # MB of a child


@dataclass(frozen=True)
class Results:
    """What was measured; empty where a section was left out.

    Attributes:
        rates: By size of the parent in MB, and by contender.
        idle: By contender.
        footprint: Of all kinds of processes.
        series: By contender.
    """

    rates: Mapping[int, Mapping[str, Series]]
    idle: Mapping[str, Series]
    footprint: Series
    series: Mapping[str, Series]

    def ratio(self, above: str, below: str, metric: str) -> float | None:
        """Compare two contenders in the smallest parent."""
        if not self.rates:
            return None
        rates = self.rates[min(self.rates)]
        if above not in rates or below not in rates:
            return None
        return ratio(rates[above], rates[below], metric)

    def growth(self, metric: str) -> float | None:
        """Compare forkcore in the largest parent with itself in the smallest one."""
        if len(self.rates) < 2:
            return None
        smallest, largest = self.rates[min(self.rates)], self.rates[max(self.rates)]
        if "forkcore" not in smallest:
            return None
        return ratio(largest["forkcore"], smallest["forkcore"], metric)

    def kept_beside_idle(self) -> float | None:
        """Give the part of the rate that is left beside many idle children."""
        return self.idle["forkcore"].median("kept") if "forkcore" in self.idle else None

    def footprint_ratio(self, above: str, below: str) -> float | None:
        """Compare the private memory of two kinds of processes."""
        ours, theirs = self.footprint.median(f"{above}_private"), self.footprint.median(f"{below}_private")
        return ours / theirs if ours is not None and theirs else None

    def child_megabytes(self) -> float | None:
        """Give the private memory of a child."""
        private = self.footprint.median("child_private")
        return None if private is None else private / 1e6

    def leaked(self) -> float | None:
        """Count what a long series left: descriptors and zombies, at both ends."""
        if "forkcore" not in self.series:
            return None
        ends = [f"{end}_{what}_growth" for end in ("parent", "template") for what in ("descriptors", "zombies")]
        counts = [self.series["forkcore"].median(end) for end in ends]
        return None if None in counts else sum(count or 0 for count in counts)


def find_aims(results: Results) -> list[Aim]:
    """Give all aims, with where this run is."""

    def against(text: str, limit: float, other: str, metric: str, *, name: str = "forkcore") -> Aim:
        return Aim(text, limit, not metric.startswith("cpu"), results.ratio(name, other, metric))

    return [
        against("rate, multiprocessing forkserver at its best, 4 in flight", 6, "mp_forkserver", "rate_w4"),
        against("rate, multiprocessing forkserver as a script, 4 in flight", 18, "mp_script", "rate_w4"),
        against("rate, AnyEvent::Fork, 4 in flight", 1.4, "anyevent_fork", "rate_w4"),
        against("CPU, AnyEvent::Fork, 4 in flight", 0.7, "anyevent_fork", "cpu_w4"),
        against("rate, AnyEvent::Fork, one at a time", 1.15, "anyevent_fork", "rate_w1"),
        against("the same with children forked ahead", 1.5, "anyevent_fork", "rate_w1", name="forkcore_ahead"),
        against("CPU, fork in C in a bare Python, 4 in flight", 1.4, "c_fork", "cpu_w4"),
        against("rate, os.fork in a bare Python, one at a time", 1, "bare_fork", "rate_w1"),
        against("rate, os.fork in a bare Python, 4 in flight", 1, "bare_fork", "rate_w4"),
        Aim("rate, itself in the smallest parent, 4 in flight", 0.9, True, results.growth("rate_w4")),
        Aim("rate, itself without idle children alive", 0.9, True, results.kept_beside_idle()),
        Aim("private MB of a child", _AT_MOST_PRIVATE, False, results.child_megabytes()),
        Aim(
            "private memory, template to python -I -S",
            1.3,
            False,
            results.footprint_ratio("template", "interpreter_bare"),
        ),
        Aim("descriptors and zombies after a long series", 0, False, results.leaked()),
    ]
