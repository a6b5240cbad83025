"""Whether pytest fails in a test's process by what the test has done to it: that costs the test, and not the run."""

from __future__ import annotations

import builtins
import os
import textwrap
from pathlib import Path

from pytest_forkiso._tracebacks import describe_error, places

_builtins = vars(builtins)
_STANDARD_LIBRARY = f"{Path(os.__file__).parent}{os.sep}"
_PYTEST = ("/_pytest/", "/pluggy/")


class Intact:
    """Knows the built-in functions as they are before a test."""

    def __init__(self) -> None:
        self._builtins = tuple(_builtins.items())

    def blame(self, error: BaseException, path: str) -> str:
        """Say why pytest's failure is the test's doing, with the traceback; empty where it is a plugin's.

        The built-in functions are those from before the test again.

        Args:
            error: With which pytest failed.
            path: Of the test's file.
        """
        if not self._restores_builtins() and not _passes_through(error, path) and not _is_of_pytest(error):
            return ""
        text = textwrap.indent(describe_error(error), "    ")
        return f"The test has replaced what pytest needs, and pytest failed:\n{text}"

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
