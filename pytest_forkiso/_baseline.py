"""What pytest's own process was before conftest files and test modules were loaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

import forkcore
from forkcore import early
from pytest_forkiso import _config, _hazards

if TYPE_CHECKING:
    from pytest_forkiso._hazards import ThreadHazard

_KEY = pytest.StashKey["Baseline"]()


class Baseline(NamedTuple):
    """The state of this process when plugins were loaded, and nothing of the project.

    Attributes:
        search_path: ``sys.path``.
        threads: That are a hazard, and were there already: a plugin's, or those of a program that calls pytest.
        early: A template that was forked then, if the user has asked for it; owned by the session.
    """

    search_path: list[str]
    threads: frozenset[ThreadHazard]
    early: forkcore.Template | None


def note(config: pytest.Config) -> None:
    """Take note of this process, and fork it where the user wants an early template.

    Args:
        config: Before conftest files are loaded.

    Raises:
        pytest.UsageError: This process cannot be forked.
    """
    threads = frozenset(_hazards.hazardous_threads())
    template = None
    if _config.read_template_early(config) == "early" and not early.is_installed():
        template = _fork_early()
    config.stash[_KEY] = Baseline(list(sys.path), threads, template)


def of(config: pytest.Config) -> Baseline:
    """Give what was noted; where this plugin was loaded too late for that, what can be said now."""
    return config.stash.get(_KEY, Baseline(list(sys.path), frozenset(), None))


def forget(config: pytest.Config) -> None:
    """End an early template that nobody has used."""
    template = of(config).early
    if template is not None and template.is_usable:
        template.close()


def _fork_early() -> forkcore.Template:
    try:
        return forkcore.fork_here(allow_hazards=_hazards.harmless_threads(), title="forkiso early template")
    except forkcore.ForkHazard as error:
        raise pytest.UsageError(f"pytest cannot be forked: {error}; try --fork-template=exec") from error
