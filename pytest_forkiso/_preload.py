"""What a template looks at after each module that it has preloaded."""

from __future__ import annotations

import contextlib

from pytest_forkiso import _hazards


class HazardousPreload(Exception):
    """A preloaded module has started threads that no child would have. Leave it out of ``--fork-preload``."""


def check(name: bytes) -> None:
    """Check that a module has left the template fit for a fork.

    Args:
        name: Of the module that was imported last.

    Raises:
        HazardousPreload: It has started threads.
    """
    found = ", ".join(_hazards.everything_alive())
    if found:
        raise HazardousPreload(
            f"no child would have these threads, which importing {name.decode()} has started: {found}. Leave it out of "
            "--fork-preload, or let it start them, and compute, in the tests and not when it is imported"
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
    check(name)
