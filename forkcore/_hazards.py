"""Reasons why forking this process now is unsafe.

Loaded by templates, and asked before each fork: what it looks at must cost next to nothing.
"""

from __future__ import annotations

import sys

from forkcore.errors import ForkHazard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

RUNNING_LOOP = "asyncio loop"
ALL = "*"


def find_hazards() -> list[str]:
    """Name what makes a fork unsafe: threads by their names, and `RUNNING_LOOP`."""
    found = []
    if len(sys._current_frames()) > 1:
        found.extend(_other_threads())
    events = sys.modules.get("asyncio.events")
    # asyncio.get_running_loop raises where there is none, which costs more.
    if events is not None and events._get_running_loop() is not None:  # noqa: SLF001 - get_running_loop() raises, which costs more
        found.append(RUNNING_LOOP)
    return found


def may_run_loop() -> bool:
    """Whether asyncio is loaded at all: only code that is run here can change this."""
    return "asyncio.events" in sys.modules


def _other_threads() -> list[str]:
    import _thread

    own = _thread.get_ident()
    threading = sys.modules.get("threading")
    known = {} if threading is None else threading._active  # noqa: SLF001 - enumerate() takes a lock
    names = []
    for ident in sys._current_frames():
        if ident != own:
            thread = known.get(ident)
            names.append(f"thread {ident}" if thread is None else thread.name)
    return names


def refused(hazards: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """Give those hazards that nobody has allowed.

    Args:
        hazards: As `find_hazards` gives them.
        allowed: Their names, with ``*`` at the end for any ending.
    """
    return [name for name in hazards if not any(_matches(name, one) for one in allowed)]


def _matches(name: str, pattern: str) -> bool:
    if pattern.endswith(ALL):
        return name.startswith(pattern[:-1])
    return name == pattern


def describe(hazards: list[str]) -> str:
    """Say in one sentence why the fork was refused."""
    return "forking now is unsafe, because these are alive: " + ", ".join(hazards)


def check(allowed: Iterable[str]) -> None:
    """Refuse to go on where a fork is unsafe.

    Raises:
        ForkHazard: It names the hazards.
    """
    found = find_hazards()
    if found:
        found = refused(found, allowed)
    if found:
        raise ForkHazard(describe(found), found)
