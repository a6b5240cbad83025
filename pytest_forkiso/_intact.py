"""Whether pytest fails in a test's process by what the test has done to it: that costs the test, and not the run."""

from __future__ import annotations

import builtins
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_forkiso._tracebacks import describe_error, places

if TYPE_CHECKING:
    import pytest

_builtins = vars(builtins)
_MISSING = object()
_STANDARD_LIBRARY = f"{Path(os.__file__).parent}{os.sep}"
_PYTEST = ("/_pytest/", "/pluggy/", "/pytest_forkiso/")  # we call nothing here but pytest, and what it has of plugins


class Intact:
    """Knows the built-in functions, and what hangs together with pytest's configuration, as they are before a test."""

    def __init__(self, config: pytest.Config) -> None:
        self._builtins = tuple(_builtins.items())
        self._config = config
        self._attributes = tuple(vars(config).items())
        self._options = tuple(vars(config.option))
        self._plugins = config.pluginmanager.list_name_plugin()

    def blame(self, error: BaseException, path: str) -> str:
        """Say why pytest's failure is the test's doing, with the traceback; empty where it is a plugin's.

        The built-in functions are those from before the test again.

        Args:
            error: With which pytest failed.
            path: Of the test's file.
        """
        is_whole = not self._restores_builtins() and self.has_all_parts()
        if is_whole and not _passes_through(error, path) and not _is_of_pytest(error):
            return ""
        text = textwrap.indent(describe_error(error), "    ")
        return f"The test has replaced what pytest needs, and pytest failed:\n{text}"

    def has_all_parts(self) -> bool:
        """Tell whether the configuration has what it had: nothing is missing, none of its attributes is another one."""
        now = vars(self._config)
        if any(now.get(name, _MISSING) is not value for name, value in self._attributes):
            return False
        options, plugins = vars(self._config.option), dict(self._config.pluginmanager.list_name_plugin())
        return all(name in options for name in self._options) and all(
            plugins.get(name, _MISSING) is plugin for name, plugin in self._plugins
        )

    def _restores_builtins(self) -> bool:
        have_changed = any(_builtins.get(name) is not value for name, value in self._builtins)
        _builtins.update(self._builtins)
        return have_changed


def _passes_through(error: BaseException, path: str) -> bool:
    """Tell whether code of this file has run.

    While no test runs it is called where the test has put it: an audit hook, a trace function, a function in place of
    one of the standard library.
    """
    return any(place.path == path for place in places(error))


def _is_of_pytest(error: BaseException) -> bool:
    """Tell whether pytest itself has failed, or what it calls of the standard library; that has a cause."""
    paths = [place.path for place in places(error) if not _is_standard(place.path)]
    return bool(paths) and any(part in paths[-1] for part in _PYTEST)


def _is_standard(path: str) -> bool:
    return path.startswith("<") or (path.startswith(_STANDARD_LIBRARY) and "-packages" not in path)
