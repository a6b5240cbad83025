"""From one source of templates to the next, where processes that it has forked show no life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_forkiso._choice import Choice
from pytest_forkiso._source import NotAlive, Request, Source
from pytest_forkiso._sources import begin_collecting, make_source

if TYPE_CHECKING:
    from pytest_forkiso._collected import CollectedList

RUNGS = ("fork", "exec", "bare")
"""From cheap to certain."""


def make_living_source(choice: Choice, request: Request, known: CollectedList) -> Source:
    """Make a template; the next one of the ladder where its process shows no life.

    Args:
        choice: Where the template is to come from.
        request: See there.
        known: The tests of this process.

    Raises:
        pytest.UsageError: The template could not be prepared, or shows no life and the user wants no other.
        pytest.Session.Interrupted: The template has collected other tests; that is reported.
    """
    try:
        return make_source(choice, request)
    except NotAlive as error:
        following = next_source(choice, request, known, str(error))
        if following is None:
            raise pytest.UsageError(str(error)) from error
        return following


def next_source(choice: Choice, request: Request, known: CollectedList, why: str) -> Source | None:
    """Make a template of another source, if the choice was ours and there is one.

    Args:
        choice: The source that has failed.
        request: See `make_living_source`.
        known: The tests of this process.
        why: What is wrong with the former source.
    """
    settings, session = request.settings, request.session
    if settings.template != "auto" or choice.kind not in RUNGS:
        return None
    for kind in RUNGS[RUNGS.index(choice.kind) + 1 :]:
        collecting = None
        if kind == "exec":
            collecting = begin_collecting(session.config, settings, known)
            if not collecting.is_usable():
                collecting.close()
                continue
        return make_source(Choice(kind, why), request._replace(collecting=collecting))
    return None
