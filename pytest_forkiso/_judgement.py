"""Whether pytest's own process may be forked: what was there before the project was loaded, and what has come since."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, NamedTuple

from pytest_forkiso import _hazards, _native
from pytest_forkiso._descriptors import describe_shared, open_descriptors
from pytest_forkiso._imports import ImportWatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_forkiso._hazards import ThreadHazard


class Verdict(NamedTuple):
    """What speaks against a fork.

    Attributes:
        reasons: Ends of a sentence; none where nothing does.
        is_projects: Conftest files or test modules have made some of it.
    """

    reasons: list[str]
    is_projects: bool

    def __str__(self) -> str:
        return "; ".join(self.reasons)


class Watch:
    """Follows this process from before the first conftest file to the end of collection.

    Attributes:
        verdict: The last one; None before there was any.
    """

    def __init__(self, root: Path) -> None:
        """Begin.

        Args:
            root: Folder of the project.
        """
        self._root = root
        self._own_threads: frozenset[ThreadHazard] = frozenset(_hazards.hazardous_threads())
        self._own_natives = _identifiers(_native.unsafe_threads())
        self._imports = ImportWatch(root)
        self._before: dict[int, str] = open_descriptors()
        self._opened: dict[int, str] = {}
        self.verdict: Verdict | None = None

    @property
    def is_unsafe_from_the_start(self) -> bool:
        """What speaks against a fork was there before the project was loaded: a plugin's, or that of a program."""
        return bool(self._own_threads or self._own_natives or _hazards.is_loop_running())

    def pause(self) -> None:
        """Pass over what other plugins open from now on, for themselves."""
        self._opened |= self._new_descriptors()

    def resume(self) -> None:
        """Look again at what is opened."""
        self._before = open_descriptors()

    def finish(self) -> None:
        """End."""
        self._imports.stop()
        self._opened |= self._new_descriptors()

    def _new_descriptors(self) -> dict[int, str]:
        return dict(open_descriptors().items() - self._before.items())

    def judge(self) -> Verdict:
        """Say what speaks against a fork of this process, now."""
        threads = list(_hazards.hazardous_threads())
        natives = _native.unsafe_threads()
        shared = self._shared()
        reasons = []
        if threads or natives:
            names = ", ".join([*map(str, threads), *self._describe(natives)])
            reasons.append(f"a fork would not have these threads: {names}")
        if shared:
            reasons.append(f"tests would share {', '.join(shared)}")
        if _hazards.is_loop_running():
            reasons.append("an asyncio loop is running, and would be in a fork as well")
        is_projects = not (
            set(threads) <= self._own_threads and _identifiers(natives) <= self._own_natives and not shared
        )
        self.verdict = Verdict(reasons, is_projects)
        return self.verdict

    def _shared(self) -> list[str]:
        now = open_descriptors()
        still = sorted(fd for fd, target in self._opened.items() if now.get(fd) == target)
        return [text for fd in still if (text := describe_shared(fd, now[fd])) is not None]

    def _describe(self, natives: list[_native.Thread]) -> list[str]:
        """Name native threads, and the import that has started them."""
        found: dict[str, set[str]] = {}
        for thread in natives:
            found.setdefault(self._origin(thread), set()).add(str(thread))
        return [", ".join(sorted(names)) + origin for origin, names in found.items()]

    def _origin(self, thread: _native.Thread) -> str:
        start = self._imports.start_of(thread.identifier)
        if start is None:
            return ""
        return f" ({'' if start.is_inside else 'after '}{start.place.describe(self._root)})"


def _identifiers(threads: list[_native.Thread]) -> frozenset[int]:
    return frozenset(thread.identifier for thread in threads)


def is_unsafe() -> bool:
    """Tell whether threads or a loop speak against a fork of this process, now."""
    return bool([*_hazards.hazardous_threads(), *_native.unsafe_threads()]) or _hazards.is_loop_running()


@contextlib.contextmanager
def warned_in_vain() -> Iterator[None]:
    """Keep CPython 3.12 and newer from warning of a fork of this process, which a `Verdict` has nothing against.

    It counts threads, and cannot know which they are: those of jemalloc, or of an xdist worker's connection. Here each
    one is accounted for. Where one is not, the verdict speaks against the fork, and the warning is shown.
    """
    if _native.count_threads() == 1:
        yield  # the filter would stay in the fork, where nobody needs it
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .*is multi-threaded, use of fork", DeprecationWarning)
        yield
