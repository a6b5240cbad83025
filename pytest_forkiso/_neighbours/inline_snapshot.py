"""inline-snapshot: what it would write is found in tests' processes, and does not leave them.

Private: ``inline_snapshot._global_state.state()``, for the flags that hold in this run. Whether they are those of the
command line, of ``INLINE_SNAPSHOT_DEFAULT_FLAGS``, of pyproject.toml (one list for terminals, another one elsewhere) or
of the plugin itself, and that there are none in CI and beside pytest-xdist, is decided there.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

# With these it is to write.
_WRITING = frozenset(("create", "fix", "review", "trim", "update"))
_VARIABLE = "INLINE_SNAPSHOT_DEFAULT_FLAGS"
_WHY = "what it finds does not leave the processes of forked tests; run it with -p no:forkiso"


def check(config: pytest.Config, items: Iterable[pytest.Item]) -> list[str]:
    """Look whether it is to write; give what is to be said where nobody has asked for that.

    Args:
        config: Of the session.
        items: The tests that are forked.

    Raises:
        pytest.UsageError: It was asked to: on the command line, in the environment or in pyproject.toml.
    """
    asked = config.getoption("inline_snapshot", None)
    if asked:
        if not _WRITING.isdisjoint(asked.split(",")):
            raise pytest.UsageError(f"--inline-snapshot={asked} would write nothing: {_WHY}")
        return []
    flags = _flags()
    if _WRITING.isdisjoint(flags):
        return []
    place = _place(config)
    if place is not None:
        text = f"inline-snapshot's default flags {','.join(sorted(flags))} ({place}) would write nothing: {_WHY}"
        raise pytest.UsageError(f"{text}, or with --inline-snapshot=short-report")
    return [f"forkiso: inline-snapshot writes nothing: {_WHY}"] if _is_used(items) else []


def _flags() -> frozenset[str]:
    module: Any = sys.modules.get("inline_snapshot._global_state")
    if module is None:
        return frozenset()
    state = module.state()
    return frozenset(state.flags) if state.active else frozenset()


def _place(config: pytest.Config) -> str | None:
    """Say where the defaults were set; None where they are the plugin's own."""
    if _VARIABLE in os.environ:
        return _VARIABLE
    here, root = Path.cwd(), config.rootpath
    start = here if root.is_relative_to(here) else root
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if path.exists():
            options = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("inline-snapshot", {})
            return str(path) if any(name.startswith("default-flags") for name in options) else None
    return None


def _is_used(items: Iterable[pytest.Item]) -> bool:
    """Tell whether a module of these tests has something of it."""
    package: Any = sys.modules["inline_snapshot"]
    signs = [package, package.snapshot, getattr(package, "external", package)]
    modules = {id(module): module for item in items if (module := getattr(item, "module", None)) is not None}
    return any(value is sign for module in modules.values() for value in vars(module).values() for sign in signs)
