"""Imports in a template, and what it looks at after each of them."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings

from pytest_forkiso import _hazards

_LEAVE_OUT = (
    "Leave it out of --fork-preload, or let it start them, and compute, in the tests and not when it is imported"
)
_FORGET = "An earlier run has found it worth preloading: have that forgotten, with --cache-clear"


class HazardousPreload(Exception):
    """A preloaded module has started threads that no child would have; the text names the remedy."""


def check(name: bytes, remedy: str = _LEAVE_OUT) -> None:
    """Check that a module has left the template fit for a fork.

    Args:
        name: Of the module that was imported last.
        remedy: For the user.

    Raises:
        HazardousPreload: It has started threads.
    """
    found = ", ".join(_hazards.everything_alive())
    if found:
        raise HazardousPreload(
            f"no child would have these threads, which importing {name.decode()} has started: {found}. {remedy}"
        )


def load(name: bytes) -> None:
    """Import a module that an earlier run has found worth it; if it is gone meanwhile, that is no error.

    Args:
        name: Of the module.

    Raises:
        HazardousPreload: It starts threads by now.
    """
    with contextlib.suppress(Exception):
        __import__(name.decode())
    check(name, _FORGET)


def load_quietly(names: bytes) -> None:
    """Import what plugins import; what cannot be imported here is left to them.

    Args:
        names: Of the modules, a line each.

    Raises:
        RuntimeError: One of them has started a thread.
    """
    quiet = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        for name in names.decode().split("\n"):
            if name not in sys.modules:
                with contextlib.suppress(Exception):
                    __import__(name)
    _hazards.refuse_threads()
