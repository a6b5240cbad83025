"""``--fork-preload auto``: what tests import late is preloaded in the next run, if it is worth it and no hazard."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import forkcore
from pytest_forkiso._events import EventDecoder
from pytest_forkiso._late_imports import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE_KEY = "forkiso/preload"
WORTH_IT = 0.005
"""Seconds of processor time; an import that takes less stays where it is."""
_SEVERAL = 2  # processes that have imported a module; for one, preloading gains nothing
_LIMIT = 120.0
"""Seconds for importing all candidates once more, to see what they cost."""


def learned(config: pytest.Config) -> list[str]:
    """Give the modules that earlier runs have found worth preloading."""
    cache: Any = getattr(config, "cache", None)
    kept = None if cache is None else cache.get(CACHE_KEY, None)
    return [name for name in kept if isinstance(name, str)] if isinstance(kept, list) else []


class Cost(NamedTuple):
    """What importing a module costs.

    Attributes:
        seconds: Of processor time.
        processes: Processes of tests that have imported it, and templates of test files.
        is_hazard: It must not be preloaded.
    """

    seconds: float
    processes: int
    is_hazard: bool


class Learning:
    """A plugin of pytest's own process, a worker of pytest-xdist or its controller: hears what tests have imported."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._costs: dict[str, Cost] = {}
        self._notes: list[str] = []

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, key: str, data: Any) -> None:
        """Count the modules of a test."""
        if key == KEY:
            self._counts.update(name for name in data if isinstance(name, str))

    def conclude(self, template: forkcore.Template) -> None:
        """Measure the candidates in a fork of the template.

        Args:
            template: That the tests were forked from, borrowed.
        """
        candidates = [name for name, count in self._counts.items() if count >= _SEVERAL]
        if not candidates:
            return
        try:
            for name, seconds, is_hazard in _measure(template, candidates):
                if seconds >= WORTH_IT:
                    self._costs[name] = Cost(seconds, self._counts[name], is_hazard)
        except forkcore.ForkcoreError as error:
            self._notes.append(f"forkiso: what tests import late was not measured, and is not learned: {error}")

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep what is worth preloading; a worker tells its controller."""
        config: Any = session.config
        if hasattr(config, "workeroutput"):
            config.workeroutput[CACHE_KEY] = {name: list(cost) for name, cost in self._costs.items()}, self._notes
            return
        worth = [name for name, cost in self._costs.items() if not cost.is_hazard]
        cache: Any = getattr(config, "cache", None)
        if worth and cache is not None:
            cache.set(CACHE_KEY, [*learned(config), *worth])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear what a worker has found; one that has crashed says nothing."""
        costs, notes = getattr(node, "workeroutput", {}).pop(CACHE_KEY, ({}, []))
        self._notes += [f"[{node.gateway.id}] {note}" for note in notes]
        for name, values in costs.items():
            cost = Cost(*values)
            known = self._costs.get(name, cost._replace(processes=0))
            self._costs[name] = Cost(
                max(known.seconds, cost.seconds), known.processes + cost.processes, known.is_hazard or cost.is_hazard
            )

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was found."""
        for note in self._notes:
            terminalreporter.write_line(note)
        for name, (seconds, processes, is_hazard) in self._costs.items():
            words = "makes a hazard, and is not preloaded" if is_hazard else "is preloaded from now on"
            cost = f"{1000 * seconds:.0f} ms in each of {processes} processes"
            terminalreporter.write_line(f"forkiso: importing {name} cost {cost}; it {words}")


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
