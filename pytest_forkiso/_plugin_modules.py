"""What plugins have imported before the project was loaded: a bare template imports it too, so that no child has to."""

from __future__ import annotations

import site
import sysconfig
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

_USUAL_LOADERS = (SourceFileLoader, ExtensionFileLoader, SourcelessFileLoader)


def importable(names: Iterable[str], modules: Mapping[str, ModuleType]) -> list[str]:
    """Choose what a fresh interpreter can import as this one did.

    Left out is what pytest has loaded by a loader of its own, which rewrites assertions: a plugin that is there already
    keeps its plain ones. So is what is not installed: it belongs to a program that calls pytest.

    Args:
        names: Of modules, in the order in which they were imported.
        modules: As `sys.modules`.
    """
    places = _installed_places()
    chosen: dict[str, None] = {}
    for name in names:
        package = name.rpartition(".")[0]
        if (not package or package in chosen) and _is_usual(name, modules.get(name), places):
            chosen[name] = None
    return list(chosen)


def _is_usual(name: str, module: ModuleType | None, places: Iterable[Path]) -> bool:
    spec = getattr(module, "__spec__", None)
    if spec is None or spec.name != name or not isinstance(spec.loader, _USUAL_LOADERS) or not spec.origin:
        return False
    return any(Path(spec.origin).is_relative_to(place) for place in places)


def _installed_places() -> list[Path]:
    paths = sysconfig.get_paths()
    own = [paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [Path(place) for place in [*own, *site.getsitepackages(), site.getusersitepackages()]]
