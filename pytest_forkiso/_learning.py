"""``--fork-preload auto``: what tests import late is preloaded in the next run, if it is worth it and no hazard."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import forkcore
from pytest_forkiso._events import EventDecoder
from pytest_forkiso._late_imports import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE_KEY = "forkiso/preload"
WORTH_IT = 0.005
"""Seconds of processor time; an import that takes less stays where it is."""
_SEVERAL = 2  # tests that have imported a module; for one, preloading gains nothing
_LIMIT = 120.0
"""Seconds for importing all candidates once more, to see what they cost."""


def learned(config: pytest.Config) -> list[str]:
    """Give the modules that earlier runs have found worth preloading."""
    cache: Any = getattr(config, "cache", None)
    kept = None if cache is None else cache.get(CACHE_KEY, None)
    return [name for name in kept if isinstance(name, str)] if isinstance(kept, list) else []


class Learning:
    """A plugin of pytest's own process: hears what tests have imported.

    Attributes:
        lines: For the end of the run.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._counts: Counter[str] = Counter()

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, key: str, data: Any) -> None:
        """Count the modules of a test."""
        if key == KEY:
            self._counts.update(name for name in data if isinstance(name, str))

    def conclude(self, config: pytest.Config, template: forkcore.Template) -> None:
        """Measure the candidates in a fork of the template, and keep those that are worth preloading.

        Args:
            config: Of the session.
            template: That the tests were forked from, borrowed.
        """
        candidates = [name for name, count in self._counts.items() if count >= _SEVERAL]
        if not candidates:
            return
        worth = []
        try:
            measured = list(_measure(template, candidates))
        except forkcore.ForkcoreError as error:
            self.lines.append(f"forkiso: what tests import late was not measured, and is not learned: {error}")
            return
        for name, seconds, is_hazard in measured:
            if seconds >= WORTH_IT:
                words = "makes a hazard, and is not preloaded" if is_hazard else "is preloaded from now on"
                cost = f"{1000 * seconds:.0f} ms in each of {self._counts[name]} tests"
                self.lines.append(f"forkiso: importing {name} cost {cost}; it {words}")
                worth += [] if is_hazard else [name]
        cache: Any = getattr(config, "cache", None)
        if worth and cache is not None and not hasattr(config, "workerinput"):
            cache.set(CACHE_KEY, [*learned(config), *worth])

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was found."""
        for line in self.lines:
            terminalreporter.write_line(line)


def _measure(template: forkcore.Template, names: list[str]) -> Iterator[tuple[str, float, bool]]:
    """Import modules in a process of their own; give name, seconds, and whether the import makes a hazard."""
    probe = template.fork().send_arg(",".join(names))
    decoder = EventDecoder()
    with probe.run("pytest_forkiso._late_imports:measure", die_with_parent=True, reseed=False) as child:
        child.channel.settimeout(_LIMIT)
        with contextlib.suppress(OSError):  # it takes too long, or has crashed: what has come is known
            while data := child.channel.recv(1 << 16):
                for _, name, seconds, is_hazard in decoder.feed(data):
                    yield name, seconds, is_hazard
        child.kill()
