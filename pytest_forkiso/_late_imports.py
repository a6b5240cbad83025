"""In tests' processes, for ``--fork-preload auto``: which modules were imported that the template did not have."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso import _hazards
from pytest_forkiso._descriptors import describe_shared, open_descriptors
from pytest_forkiso._events import encode

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

KEY = "forkiso/imports"


class LateImports:
    """A plugin of a child: tells what its test has imported."""

    def __init__(self, known: frozenset[str] | None = None) -> None:
        """Make the plugin.

        Args:
            known: Names of the modules that the template had; None for those that are there when the test begins.
        """
        self._known = known

    @pytest.hookimpl(tryfirst=True)
    def pytest_forkiso_child_started(self) -> None:
        """Look at what is there."""
        if self._known is None:
            self._known = frozenset(sys.modules)

    @pytest.hookimpl
    def pytest_forkiso_child_gathered(self) -> tuple[str, Any] | None:
        """Give the names of what has come."""
        found = outermost(name for name in list(sys.modules) if name not in (self._known or ()))
        return (KEY, found) if found else None


def outermost(names: Iterable[str]) -> list[str]:
    """Leave out what is part of a package that is named as well, and what pytest has imported by itself.

    Args:
        names: Of modules, in the order in which their imports began.
    """
    found: dict[str, None] = {}
    for name in names:
        parents = [name[:end] for end, letter in enumerate(name) if letter == "."]
        is_plain = all(part.isidentifier() for part in name.split("."))
        if is_plain and not any(parent in found for parent in parents) and not _is_pytests(name):
            found[name] = None
    return list(found)


def _is_pytests(name: str) -> bool:
    """Tell whether pytest has rewritten a module's assertions: it is a test module, a conftest file or a plugin."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is None or type(spec.loader).__module__.startswith("_pytest.")


def measure(channel: socket.socket, *sent: bytes) -> None:
    """In a process that is forked for this: import modules, and say what that costs, and which of them are hazards.

    Args:
        channel: To pytest's own process; borrowed.
        sent: Names of the modules, with commas, after what was sent to the template before.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    for name in sent[-1].decode().split(","):
        before, opened = set(_hazards.everything_alive()), open_descriptors()
        began = time.thread_time()
        try:
            __import__(name)
        except BaseException:  # noqa: BLE001, S112 - whatever it is, such a module is no candidate
            continue
        seconds = time.thread_time() - began
        new = dict(open_descriptors().items() - opened.items())
        shared = any(describe_shared(fd, target) for fd, target in new.items())
        is_hazard = shared or not before.issuperset(_hazards.everything_alive())
        channel.sendall(encode(("measured", name, seconds, is_hazard)))
