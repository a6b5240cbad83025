"""Control groups of tests whose memory, or number of processes, is limited: where pytest may make such groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_forkiso._profiles import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from forkcore.groups import ControlGroup, ControlGroups


def open_groups(items: Iterable[pytest.Item]) -> ControlGroups | None:
    """Have groups for those tests that need one.

    Args:
        items: All tests that may run.

    Returns:
        To be closed by the caller; None where no test needs one, or there can be none: limits hold for each process
        alone, then.
    """
    if not any(_needs_group(item) for item in items):
        return None
    from forkcore import SandboxUnavailable
    from forkcore.groups import ControlGroups

    try:
        return ControlGroups()
    except SandboxUnavailable:
        return None


def make_group(groups: ControlGroups | None, item: pytest.Item) -> ControlGroup | None:
    """Make the group of a test; None where it needs none.

    Raises:
        OSError: It cannot be made.
    """
    if groups is None or not _needs_group(item):
        return None
    return groups.make(item.stash[BOUNDS].sandbox)


def _needs_group(item: pytest.Item) -> bool:
    bounds = item.stash.get(BOUNDS, None)
    return bounds is not None and (bounds.sandbox.memory is not None or bounds.sandbox.processes is not None)
