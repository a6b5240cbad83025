"""Waiting for many children at once, the same for both drivers."""

from __future__ import annotations

import time
from typing import Generic, NamedTuple, TypeVar

from forkcore import _steps
from forkcore._base_child import ChildBase
from forkcore._proc import DirectProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forkcore._running import ChildCore
    from forkcore._steps import Steps
    from forkcore._sync_link import SyncLink

    Cores = Sequence[ChildCore[SyncLink]]

ChildT = TypeVar("ChildT", bound=ChildBase)

# As concurrent.futures and asyncio call them.
ALL_COMPLETED = "ALL_COMPLETED"
FIRST_COMPLETED = "FIRST_COMPLETED"


class Waited(NamedTuple, Generic[ChildT]):
    """What `forkcore.wait` gives.

    Attributes:
        done: Children that have ended: `poll` and `wait` give their exit status at once, or raise
            what went wrong.
        not_done: Those that still run.
    """

    done: set[ChildT]
    not_done: set[ChildT]


def wait_steps(children: Iterable[ChildT], timeout: float | None, return_when: str) -> Steps[Waited[ChildT]]:
    """Wait for all children, or for the first of them, to end; see `forkcore.wait`."""
    if return_when not in {ALL_COMPLETED, FIRST_COMPLETED}:
        raise ValueError(f"return_when is {ALL_COMPLETED!r} or {FIRST_COMPLETED!r}, not {return_when!r}")
    _steps.checked(timeout)
    children = list(dict.fromkeys(children))
    cores = [child._core for child in children]  # noqa: SLF001 - of this package
    running = [core for core in cores if not core.is_ended]
    if return_when == ALL_COMPLETED:
        yield from _all(running, timeout)
    elif running and len(running) == len(cores):
        yield from _first(running, timeout)
    _take_news([core for core in running if not core.is_ended])
    done = {child for child in children if child.has_ended}
    return Waited(done, set(children) - done)


def _all(cores: Cores, timeout: float | None) -> Steps[None]:
    deadline = None if timeout is None else time.monotonic() + timeout
    for core in cores:
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not (yield from _steps.child_end(core, remaining)):
            return


def _first(cores: Cores, timeout: float | None) -> Steps[None]:
    def is_done() -> bool:
        return any(core.is_ended for core in cores)

    yield _steps.AnyOf(_links(cores), _processes(cores), is_done, timeout)


def _take_news(cores: Cores) -> None:
    """Look what has come meanwhile, without waiting."""
    for process in _processes(cores):
        process.poll()
    for link in _links(cores):
        link.poll()


def _links(cores: Cores) -> list[SyncLink]:
    return list(dict.fromkeys(link for core in cores for link in core.links))


def _processes(cores: Cores) -> list[DirectProcess]:
    return [core.process for core in cores if isinstance(core.process, DirectProcess)]
