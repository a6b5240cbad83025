"""Global variables of a project's modules that a test changes."""

from __future__ import annotations

import collections
import os
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SEQUENCES = (list, collections.deque, bytearray)
_MAPPINGS = (dict, collections.OrderedDict, collections.defaultdict, collections.Counter)
# What is not the project's, even where it lies in its folder.
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class Globals:
    """The global variables of modules.

    Attributes:
        modules: By name: the value of each variable, and a shallow copy where it is a container.
    """

    def __init__(self, root: Path) -> None:
        prefix = str(root) + os.sep
        self.modules = {
            name: {key: (value, _copy(value)) for key, value in vars(module).items() if _counts(key, value)}
            for name, module in list(sys.modules.items())
            if _is_own(module, prefix)
        }


def _is_own(module: object, prefix: str) -> bool:
    path = getattr(module, "__file__", None)
    if not isinstance(module, types.ModuleType) or not isinstance(path, str) or not path.startswith(prefix):
        return False  # anybody may put anything into sys.modules
    return not any(part in path for part in _INSTALLED) and not path.startswith(os.path.join(sys.prefix, "lib"))  # noqa: PTH118 - for each module


def _counts(key: str, value: Any) -> bool:
    """Leave out what Python and pytest keep there, and modules that were imported meanwhile."""
    return not (key.startswith(("__", "@")) or isinstance(value, types.ModuleType))


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind in _SEQUENCES:
        return list(value)
    if kind in _MAPPINGS:
        return list(value.items())
    if kind is set:
        return set(value)
    return None


def _is_same(copy: Any, value: Any) -> bool:
    """Compare the contents of a container by identity: comparing by value would run code of the project."""
    if copy is None:
        return True
    if type(value) is set:
        return bool(copy == value)
    now = _copy(value)
    if len(copy) != len(now):
        return False
    if type(value) in _MAPPINGS:
        return all(a is c and b is d for (a, b), (c, d) in zip(copy, now, strict=True))
    return all(a is b for a, b in zip(copy, now, strict=True))


def compare_globals(before: Globals, after: Globals) -> Iterator[str]:
    """Name variables that were added, removed, bound to another object, or whose contents are others."""
    for name, old in before.modules.items():
        new = after.modules.get(name)
        if new is None:
            yield f"module {name} is gone from sys.modules"
            continue
        for key in sorted(old.keys() | new.keys()):
            if key not in old:
                yield f"{name}.{key} was added"
            elif key not in new:
                yield f"{name}.{key} was removed"
            elif old[key][0] is not new[key][0]:
                yield f"{name}.{key} is another object"
            elif not _is_same(old[key][1], new[key][0]):
                yield f"{name}.{key} has other contents"
