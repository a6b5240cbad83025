"""The modules for other plugins are all there."""

from __future__ import annotations

import importlib
import pkgutil

from pytest_forkiso import _neighbours


def test_each_has_its_module() -> None:
    """What would be loaded beside a plugin can be, whether or not the plugin is installed."""
    names = {*_neighbours._IN_BOTH.values(), *_neighbours._IN_CHILDREN.values()}
    names |= {"growing", "inline_snapshot", "together"}
    assert names == {module.name for module in pkgutil.iter_modules(_neighbours.__path__)}
    from pytest_forkiso._neighbours import growing

    assert set(growing.PLACES) == set(_neighbours._GROWING)
    for name in names - {"inline_snapshot", "together"}:
        assert importlib.import_module(f"pytest_forkiso._neighbours.{name}").Neighbour
