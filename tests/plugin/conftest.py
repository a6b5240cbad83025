"""Every test here runs pytest in a folder of its own, and is checked for processes that are left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner import Suite

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def suite(pytester: pytest.Pytester, no_leaks: None) -> Iterator[Suite]:
    """Give an empty folder for tests; afterwards no process of any run in it may be left."""
    made = Suite(pytester)
    try:
        yield made
    finally:
        made.close()
