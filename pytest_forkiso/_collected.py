"""Which tests were collected, in pytest's own process and in a template that collects by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable


NAME = "forkiso-known"
"""What the list of pytest's own process is registered as."""


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


def renamed(config: pytest.Config) -> dict[str, str]:
    """Give the node ids that tests of this process had when they were collected, where plugins have changed them.

    Args:
        config: Of a session that has collected.

    Returns:
        The former node ids by the present ones.
    """
    known = config.pluginmanager.get_plugin(NAME)
    found = known.found if isinstance(known, CollectedList) else []
    return {item.nodeid: nodeid for nodeid, item in found if item.nodeid != nodeid}


def twins(config: pytest.Config, items: Iterable[pytest.Item]) -> dict[int, int]:
    """Tell tests with the same node id apart.

    Args:
        config: Of a session that has collected.
        items: Those that it runs.

    Returns:
        By place among the items, how many others with its node id were collected before, where there were any.
    """
    known = config.pluginmanager.get_plugin(NAME)
    found = known.found if isinstance(known, CollectedList) else []
    places = numbered([nodeid for nodeid, _ in found])
    later = {id(item): number for (_, item), (_, number) in zip(found, places, strict=True) if number}
    return {place: later[id(item)] for place, item in enumerate(items) if id(item) in later}


def numbered(nodeids: list[str]) -> list[tuple[str, int]]:
    """Tell tests with the same node id apart: each is given its number among them."""
    seen: dict[str, int] = {}
    found = []
    for nodeid in nodeids:
        seen[nodeid] = seen.get(nodeid, -1) + 1
        found.append((nodeid, seen[nodeid]))
    return found
