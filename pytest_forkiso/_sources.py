"""All sources of templates, and the choice between them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pytest_forkiso import _hazards, _source_bare, _source_fork
from pytest_forkiso._source import Choice, Request, Source

if TYPE_CHECKING:
    import pytest

    from pytest_forkiso._config import Settings
    from pytest_forkiso._slots import SlotTable

_SOURCES = {
    "fork": (_source_fork.make_template, _source_fork.TARGET),
    "bare": (_source_bare.make_template, _source_bare.TARGET),
}


def can_fork() -> bool:
    """Tell whether this platform has what a template needs."""
    return sys.platform != "win32" and hasattr(os, "fork")


def choose_source(settings: Settings) -> Choice:
    """Choose where the template comes from."""
    if settings.template != "auto":
        return Choice(settings.template, "the user asked for it")
    if sys.platform == "darwin":
        return Choice("bare", "system libraries of macOS do not survive a fork")
    found = list(_hazards.hazardous_threads())
    if found:
        return Choice("bare", f"a fork would not have these threads: {', '.join(map(str, found))}")
    return Choice("fork", "nothing speaks against it")


def make_source(choice: Choice, session: pytest.Session, settings: Settings, table: SlotTable, forks: int) -> Source:
    """Make a template; see `Request` for the arguments.

    Raises:
        pytest.UsageError: This process cannot be forked, or the template could not be prepared.
    """
    make_template, target = _SOURCES[choice.kind]
    return Source(make_template(Request(session, settings, table, forks)), target, choice)
