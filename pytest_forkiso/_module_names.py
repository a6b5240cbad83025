"""The names under which ``--pyargs`` finds the files of tests.

A file that is looked up by its path belongs to all folders above it, up to the root directory. One that is looked up as
a module belongs to its packages only, and that is in the keywords of each report.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_forkiso._collected import file_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest


def module_names(config: pytest.Config, items: Iterable[pytest.Item]) -> dict[str, str]:
    """Give names of modules by paths of files, as far as modules were named on the command line.

    Args:
        config: Of a session that has collected, so that the packages of these modules are imported.
        items: Its tests.
    """
    if not config.getoption("pyargs"):
        return {}
    places = [(name, _path_of(name)) for name in (argument.partition("::")[0] for argument in config.args)]
    names = {}
    for file in {file_of(item) for item in items}:
        for name, path in places:
            found = None if path is None else _name_of(Path(file), name, path)
            if found is not None:
                names[file] = found
                break
    return names


def _name_of(file: Path, name: str, path: Path) -> str | None:
    """Give the name of a file that is a module, or is in a package; None where it is not found under that."""
    if file == path:
        return name
    if path not in file.parents or file.suffix != ".py":
        return None
    below = ".".join([name, *file.relative_to(path).with_suffix("").parts])
    return below if _path_of(below) == file else None


def _path_of(name: str) -> Path | None:
    """Find a module's file or a package's folder as pytest does; None where it is not one of these."""
    try:
        spec = importlib.util.find_spec(name)
    except (AttributeError, ImportError, ValueError):  # a path, for example
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return None if spec.origin is None else Path(spec.origin)
