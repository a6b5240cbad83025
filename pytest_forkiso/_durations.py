"""How long tests took, kept in pytest's cache from run to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

KEY = "forkiso/durations"
SHORT = 0.05
"""Seconds; what takes less is remembered as an average only."""
_MOST = 10_000  # are kept, so that the file stays small


class Durations:
    """What tests took in earlier runs, and in this one.

    Attributes:
        seconds: Of each long test, by node id.
        short: Seconds that other tests took on average.
    """

    def __init__(self, config: pytest.Config) -> None:
        """Read what was kept; nothing where the cache is switched off, or in a worker of pytest-xdist."""
        self._cache: Any = None if hasattr(config, "workerinput") else getattr(config, "cache", None)
        kept: Any = None if self._cache is None else self._cache.get(KEY, None)
        try:
            self.seconds = {str(nodeid): float(value) for nodeid, value in kept["long"].items()}
            self.short = float(kept["short"])
        except (TypeError, KeyError, AttributeError, ValueError):
            self.seconds, self.short = {}, 0.0  # there is none yet, or somebody else has written it
        self._count, self._sum, self._noted = 0, 0.0, False

    def note(self, nodeid: str, seconds: float) -> None:
        """Note what a test took."""
        self._noted = True
        if seconds >= SHORT:
            self.seconds[nodeid] = round(seconds, 3)
        else:
            self.seconds.pop(nodeid, None)
            self._count += 1
            self._sum += seconds

    def save(self) -> None:
        """Keep the longest for the next run."""
        if self._cache is None or not self._noted:
            return
        longest = sorted(self.seconds.items(), key=lambda pair: -pair[1])[:_MOST]
        short = self._sum / self._count if self._count else self.short
        self._cache.set(KEY, {"long": dict(sorted(longest)), "short": round(short, 6)})
