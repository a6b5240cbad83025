"""Tests of other plugins that live on what those before them have left in memory: none of them can be forked alone."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest


def describe(items: Iterable[pytest.Item]) -> list[str]:
    """Say which tests are not forked, and why; a line for each reason."""
    counts = Counter(reason for item in items if (reason := why(item)))
    return [
        f"forkiso: {count} {'test is' if count == 1 else 'tests are'} not forked: {reason}"
        for reason, count in counts.items()
    ]


def why(item: pytest.Item) -> str | None:
    """Say why a test needs the process of those before it; None where it does not."""
    if _is_cell(item):
        return "cells of a notebook share its kernel (nbval)"
    if _is_step(item):
        return "steps of a test share what they have made (pytest-steps)"
    return None


def _is_cell(item: pytest.Item) -> bool:
    kind = getattr(sys.modules.get("nbval.plugin"), "IPyNbCell", None)
    return kind is not None and isinstance(item, kind)


def _is_step(item: pytest.Item) -> bool:
    steps: Any = sys.modules.get("pytest_steps.steps")
    callspec = getattr(item, "callspec", None)
    if steps is None or callspec is None:
        return False
    if not {steps.GENERATOR_MODE_STEP_ARGNAME, steps.TEST_STEP_ARGNAME_DEFAULT}.isdisjoint(callspec.params):
        return True
    # Where the user has given the step another name, it has the plugin's fixture for what is shared.
    fixtures = (getattr(getattr(item, "module", None), name, None) for name in getattr(item, "fixturenames", ()))
    return any(getattr(fixture, "__module__", None) == "pytest_steps.steps_parametrizer" for fixture in fixtures)
