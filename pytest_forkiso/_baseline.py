"""What pytest's own process was before conftest files and test modules were loaded."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_forkiso import _config, _hazards
from pytest_forkiso._judgement import Watch, is_unsafe, warned_in_vain

if TYPE_CHECKING:
    import forkcore

_KEY = pytest.StashKey["Baseline"]()


class Baseline(NamedTuple):
    """The state of this process when plugins were loaded, and nothing of the project.

    Attributes:
        search_path: ``sys.path``.
        modules: Names of those that were imported, in that order.
        watch: Looks at what has come since.
        early: A template that was forked then, if the user has asked for it; owned by the session.
    """

    search_path: list[str]
    modules: list[str]
    watch: Watch
    early: forkcore.Template | None


def note(config: pytest.Config) -> Baseline:
    """Take note of this process, and fork it where the user wants an early template.

    Args:
        config: Before conftest files are loaded.

    Raises:
        pytest.UsageError: This process cannot be forked.
    """
    template = _fork_early() if _config.read_template_early(config) == "early" else None
    config.stash[_KEY] = Baseline(list(sys.path), list(sys.modules), Watch(config.rootpath), template)
    return config.stash[_KEY]


def of(config: pytest.Config) -> Baseline:
    """Give what was noted; where this plugin was loaded too late for that, what can be said now."""
    if _KEY not in config.stash:
        config.stash[_KEY] = Baseline(list(sys.path), [], Watch(config.rootpath), None)
    return config.stash[_KEY]


def forget(config: pytest.Config) -> None:
    """End an early template that nobody has used, and whatever still watches this process."""
    if _KEY not in config.stash:
        return
    baseline = config.stash[_KEY]
    baseline.watch.finish()
    template = baseline.early
    if template is not None and template.is_usable:
        template.close()


def _fork_early() -> forkcore.Template | None:
    """Fork this process, unless the program has had forkcore do so before."""
    import forkcore
    from forkcore import early

    if early.is_installed():
        return None
    try:
        with contextlib.nullcontext() if is_unsafe() else warned_in_vain():
            return forkcore.fork_here(allow_hazards=_hazards.harmless_threads(), title="forkiso early template")
    except forkcore.ForkHazard as error:
        raise pytest.UsageError(f"pytest cannot be forked: {error}; try --fork-template=exec") from error
