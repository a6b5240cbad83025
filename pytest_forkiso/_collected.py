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


def file_of(item: pytest.Item) -> str:
    """Give the path of what has to be collected so that there is this test: its file, for most."""
    within = item.nodeid.partition("::")[0]
    path = item.config.rootpath / within
    # Of tests outside of the root directory, node ids do not say where they are.
    return str(path if within and path.exists() else item.path)


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


def elsewhere(config: pytest.Config, items: Iterable[pytest.Item]) -> dict[int, str]:
    """Give the paths of files that node ids do not tell, those outside of the root directory, by tests' places."""
    paths = {}
    for place, item in enumerate(items):
        path = file_of(item)
        if path != str(config.rootpath / item.nodeid.partition("::")[0]):
            paths[place] = path
    return paths


def twins(config: pytest.Config, items: Iterable[pytest.Item]) -> dict[int, int]:
    """Tell tests with the same node id apart.

    Args:
        config: Of a session that has collected.
        items: Those that it runs.

    Returns:
        By place among the items, how many others with its node id were collected before from the same file, where there
        were any.
    """
    known = config.pluginmanager.get_plugin(NAME)
    found = known.found if isinstance(known, CollectedList) else []
    places = numbered([f"{item.path} {nodeid}" for nodeid, item in found])
    later = {id(item): number for (_, item), (_, number) in zip(found, places, strict=True) if number}
    return {place: later[id(item)] for place, item in enumerate(items) if id(item) in later}


def name_of(nodeid: str, *, is_elsewhere: bool) -> str:
    """Give what a test is found by where its file alone is collected.

    Args:
        nodeid: As it was collected.
        is_elsewhere: The file is outside of the root directory. What stands before the first ``::`` depends on the
            command line then.
    """
    return nodeid.partition("::")[2] if is_elsewhere else nodeid


def numbered(nodeids: list[str]) -> list[tuple[str, int]]:
    """Tell tests with the same node id apart: each is given its number among them."""
    seen: dict[str, int] = {}
    found = []
    for nodeid in nodeids:
        seen[nodeid] = seen.get(nodeid, -1) + 1
        found.append((nodeid, seen[nodeid]))
    return found
