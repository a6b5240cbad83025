"""What ``auto`` jobs are in a worker of pytest-xdist: a part of the machine that it shares with others."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_forkiso import _xdist
from pytest_forkiso._config import read_settings
from pytest_forkiso._summary import Statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

execnet = pytest.importorskip("execnet")


def worker(**given: object) -> pytest.Config:
    """Give what is asked of a worker's configuration."""
    return cast("pytest.Config", SimpleNamespace(workerinput=given))


@pytest.mark.parametrize(
    ("specs", "counts"),
    [
        (["popen", "popen", "popen"], [3, 3, 3]),
        (["popen//python=python3.13", "ssh=one", "ssh=two//chdir=x", "ssh=one//id=other"], [1, 2, 1, 2]),
        (["socket=10.0.0.1:8888", "socket=10.0.0.1:8889", "socket=10.0.0.2:8888"], [2, 2, 1]),
    ],
)
def test_workers_of_a_machine(specs: Sequence[str], counts: Sequence[int]) -> None:
    """Those of one host are counted together, whatever else their gateways say."""
    controller = _xdist.Controller(Statistics())
    parsed = [execnet.XSpec(spec) for spec in specs]
    controller.pytest_xdist_setupnodes(parsed)
    told = []
    for spec in parsed:
        node: Any = SimpleNamespace(workerinput={}, gateway=SimpleNamespace(spec=spec))
        controller.pytest_configure_node(node)
        told.append(_xdist.workers_here(worker(**node.workerinput)))
    assert told == counts


def test_a_controller_without_this_plugin() -> None:
    """All workers may be on one machine."""
    assert _xdist.workers_here(worker(workercount=4)) == 4


@pytest.mark.parametrize(("workers", "jobs"), [(1, 6), (2, 3), (4, 1), (12, 1)])
def test_auto(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: int, jobs: int) -> None:
    """As many as the worker's part of the processors; one at least."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    config = pytester.parseconfig("-p", "forkiso", "--fork-jobs=auto")
    config.workerinput = {"forkiso_workers_here": workers}  # type: ignore[attr-defined] # as pytest-xdist does
    assert read_settings(config).jobs == jobs
