"""Settings of the interpreter and of the process that a test changes, beside those that have a name of their own."""

from __future__ import annotations

import builtins
import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMERS = {
    "ITIMER_REAL": signal.ITIMER_REAL,
    "ITIMER_VIRTUAL": signal.ITIMER_VIRTUAL,
    "ITIMER_PROF": signal.ITIMER_PROF,
}
_OF_PROMPT = "_"
"""Name that the interactive interpreter binds."""


def take_settings() -> dict[str, Any]:
    """Take them, by the names that a finding calls them by.

    Not those that a mere import changes, as import hooks and exit handlers; nor what pytest sets anew for each phase,
    as the standard streams.
    """
    found: dict[str, Any] = {
        "sys.argv": list(sys.argv),
        "sys.excepthook": sys.excepthook,
        "the recursion limit": sys.getrecursionlimit(),
        "the switch interval": sys.getswitchinterval(),
        "the limit of digits": sys.get_int_max_str_digits(),
        "gc.isenabled()": gc.isenabled(),
        "gc.get_threshold()": gc.get_threshold(),
        "the priority": os.getpriority(os.PRIO_PROCESS, 0),
        "time.tzname": time.tzname,
        "names in builtins": frozenset(vars(builtins)) - {_OF_PROMPT},
    }
    for name, number in _TIMERS.items():
        found[f"timer {name}"] = "on" if any(signal.getitimer(number)) else "off"
    socket: Any = sys.modules.get("_socket")
    if socket is not None:
        found["the default timeout of sockets"] = socket.getdefaulttimeout()
    return found


def compare_settings(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Name them; those of a module that was imported meanwhile have no state before."""
    for name, old in before.items():
        new = after[name]
        if old is new or old == new:
            continue
        if isinstance(old, frozenset):
            yield f"{name}: {', '.join(sorted(old ^ new))}"
        elif callable(new):
            yield f"{name} is {getattr(new, '__qualname__', type(new).__qualname__)}"
        else:
            yield f"{name} is {new}, and was {old}"
