"""Which tests were collected, in pytest's own process and in a template that collects by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


class CollectedList:
    """A plugin that remembers the tests as they were collected, before plugins deselect, sort or rename them."""

    def __init__(self) -> None:
        self.found: list[tuple[str, pytest.Item]] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, object, object]:
        """Remember them."""
        self.found = [(item.nodeid, item) for item in items]
        return (yield)

    def nodeids(self) -> list[str]:
        """Give the node ids that they had then."""
        return [nodeid for nodeid, _ in self.found]
