"""Reasons why pytest's own process must not be forked, and where they come from."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

from pytest_forkiso import _native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# Threads of other plugins that hold no lock when they wait, and that no forked test needs:
HARMLESS_MODULES = (
    "execnet",  # a worker of pytest-xdist waits there for its controller's words
    "pytest_rerunfailures",  # accepts connections of workers
)


class ThreadHazard(NamedTuple):
    """A Python thread that would not be in a fork, while the locks that it holds would.

    Attributes:
        name: Of the thread.
        module: Where the function that it runs is defined.
        place: File and line of that function.
    """

    name: str
    module: str
    place: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.place})"


def threads() -> Iterator[ThreadHazard]:
    """Find the other Python threads of this process."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            start = _first_frame(frame)
            code = start.f_code
            yield ThreadHazard(
                names.get(ident, f"thread {ident}"),
                str(start.f_globals.get("__name__")),
                f"{code.co_filename}:{code.co_firstlineno}",
            )


def hazardous_threads() -> Iterator[ThreadHazard]:
    """Find the threads that make a fork of this process unsafe."""
    return (thread for thread in threads() if not _is_harmless(thread))


def refuse_threads() -> None:
    """Check that a template is as it must be.

    Raises:
        RuntimeError: A preload, or a hook of the user's, has started a thread there.
    """
    found = ", ".join(everything_alive())
    if found:
        raise RuntimeError(
            f"no child would have these threads: {found}. What starts them must not be preloaded, nor be called "
            "in pytest_forkiso_template_ready: import it in the tests, or start it in a fixture"
        )


def everything_alive() -> list[str]:
    """Name the threads, Python's and others, that keep a template from being forked."""
    return [*map(str, threads()), *sorted({str(thread) for thread in _native.unsafe_threads()})]


def is_loop_running() -> bool:
    """Tell whether this process runs an asyncio loop, which calls pytest."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def harmless_threads() -> list[str]:
    """Give the names of threads that are known to be no hazard."""
    return [thread.name for thread in threads() if _is_harmless(thread)]


def _is_harmless(thread: ThreadHazard) -> bool:
    return thread.module.partition(".")[0] in HARMLESS_MODULES


def _first_frame(frame: FrameType) -> FrameType:
    """Find the function that a thread was started with, below those of the module `threading`.

    Plugins and tracing tools wrap what all threads run; `Thread.run` calls what this one was made for.
    """
    frames = [frame]
    while (caller := frames[-1].f_back) is not None:
        frames.append(caller)
    frames.reverse()
    names = [(each.f_globals.get("__name__"), each.f_code.co_name) for each in frames]
    start = names.index(("threading", "run")) if ("threading", "run") in names else 0
    own = [each for each in frames[start:] if each.f_globals.get("__name__") != "threading"]
    return own[0] if own else frames[0]
