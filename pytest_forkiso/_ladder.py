"""From one source of templates to the next, where processes that it has forked show no life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_forkiso._choice import Choice
from pytest_forkiso._source import NotAlive, Request, Source
from pytest_forkiso._sources import begin_collecting, fork_again, make_source

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    if request.settings.template != "auto" or choice.kind not in RUNGS:
        return None
    return _first_of(RUNGS[RUNGS.index(choice.kind) + 1 :], request, known, why)


def source_again(choice: Choice, request: Request, known: CollectedList) -> Source:
    """Make a template in place of one that is gone: of the same source, or else of the next that the user bears.

    Args:
        choice: The source of the one that is gone.
        request: See `make_living_source`.
        known: The tests of this process.

    Raises:
        pytest.UsageError: There can be none.
    """
    kinds: Sequence[str]
    if choice.kind == "early":
        kinds = RUNGS[1:]  # nothing of this process is early any more
    else:
        first = RUNGS.index(choice.kind)
        kinds = RUNGS[first:] if request.settings.template == "auto" else RUNGS[first : first + 1]
    source = _first_of(kinds, request, known, "the one before is gone")
    if source is None:
        raise pytest.UsageError(
            f"the template is gone, and there can be no other one from {' or '.join(map(repr, kinds))} in the middle "
            "of the run; try --fork-template=bare"
        )
    return source


def _first_of(kinds: Sequence[str], request: Request, known: CollectedList, why: str) -> Source | None:
    """Make a template of the first source that can have one now."""
    for kind in kinds:
        collecting = forked = None
        if kind == "fork":
            forked = fork_again(request)
            if forked is None:
                continue
        if kind == "exec":
            collecting = begin_collecting(request.session.config, request.settings, known)
            if not collecting.is_usable():
                collecting.close()
                continue
        try:
            return make_source(Choice(kind, why), request._replace(collecting=collecting, forked=forked))
        except NotAlive:
            continue
    return None
