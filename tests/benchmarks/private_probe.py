"""A pytest plugin: each test's process notes at its end what memory it has for itself."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.processes import memory_of

if TYPE_CHECKING:
    from collections.abc import Generator

_PARENT = os.getpid()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Note it after the last phase of a test that runs in a child."""
    result = yield
    if os.getpid() != _PARENT:
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        row = {"private": memory_of(os.getpid()).private, "faults": faults}
        with Path(os.environ["BENCHMARK_PRIVATE"]).open("a", encoding="ascii") as file:
            file.write(json.dumps(row) + "\n")
    return result
