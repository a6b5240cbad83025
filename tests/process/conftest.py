"""Every test here makes processes, and so is checked for leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_runs import IDENTITIES, make_template, require_namespaces

import forkcore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_leaks(no_leaks: None) -> None:
    """Apply the leak check to all tests of this folder."""


@pytest.fixture
def template(_no_leaks: None) -> Iterator[forkcore.Template]:
    """Give a template of its own, closed after the test."""
    with forkcore.new() as own:
        yield own


@pytest.fixture(params=IDENTITIES)
def with_namespaces(request: pytest.FixtureRequest, _no_leaks: None) -> Iterator[forkcore.Template]:
    """Give a template of each kind of user where the system allows namespaces."""
    require_namespaces(request.param)
    with make_template(request.param) as made:
        yield made


@pytest.fixture(params=IDENTITIES)
def without_namespaces(request: pytest.FixtureRequest, _no_leaks: None) -> Iterator[forkcore.Template]:
    """Give a template of each kind of user where the system allows no namespaces."""
    with make_template(request.param, "namespaces") as made:
        yield made
