"""The template is pytest itself, forked after collection: everything that was collected is there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import forkcore
from pytest_forkiso import _baseline, _hazards, _memory
from pytest_forkiso._inchild import InChild
from pytest_forkiso._judgement import warned_in_vain
from pytest_forkiso._source import check_alive, prepare
from pytest_forkiso._stream import flush_streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_forkiso._source import Request

TARGET = ":run"


@contextlib.contextmanager
def forking(request: Request) -> Iterator[dict[str, Any]]:
    """Have this process forked: give the arguments for `forkcore.fork_here`, which the caller calls.

    Raises:
        pytest.UsageError: It cannot be forked.
    """
    in_child = InChild(request.session, request.table, request.settings.output_limit)
    _memory.spare_forks(request.forks, at_least=_memory.LARGE)  # here, so that the template shares it with this process
    flush_streams()
    verdict = _baseline.of(request.session.config).watch.verdict
    is_safe = verdict is not None and not verdict.reasons
    try:
        with warned_in_vain() if is_safe else contextlib.nullcontext():
            yield {
                "namespace": {name: getattr(in_child, name) for name in ("prepare", "spare", "run", "snapshot")},
                "allow_hazards": _hazards.harmless_threads(),
            }
    except forkcore.ForkHazard as error:
        raise pytest.UsageError(f"pytest cannot be forked: {error}; try --fork-template=bare") from error
    except OSError as error:
        raise pytest.UsageError(
            f"pytest cannot be forked: {error}; the limits of processes (ulimit -u) and of memory have to leave room"
        ) from error


def make_template(request: Request) -> forkcore.Template:
    """Prepare the fork of this process.

    Raises:
        pytest.UsageError: It could not be prepared.
    """
    if request.forked is None:
        raise RuntimeError("nobody has forked this process")
    check_alive(request.forked, request.settings.alive_timeout)
    return prepare(request.forked, request, "prepare()")
