"""Fixtures for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner import Suite

from helpers import leak_check

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester"]  # here, since pytest wants it at the top


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Check that the test leaves no descriptor, child or zombie; ends the default template."""
    from forkcore._context import DEFAULT

    DEFAULT.close()
    with leak_check():
        yield
        DEFAULT.close()


@pytest.fixture
def suite(pytester: pytest.Pytester, no_leaks: None) -> Iterator[Suite]:
    """Give an empty folder for tests; afterwards no process of any run in it may be left."""
    made = Suite(pytester)
    try:
        yield made
    finally:
        made.close()
