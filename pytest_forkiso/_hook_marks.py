"""What hooks of conftest files open before collection, told apart from what those of other plugins open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_forkiso._judgement import Watch

_HOOKS = ("pytest_configure", "pytest_sessionstart")


class HookMarks:
    """Plugins that are registered before and after conftest files: they are called right after and before these.

    pluggy calls what was registered last first, and the other way round among those that want to be last.
    """

    def __init__(self, watch: Watch, manager: pytest.PytestPluginManager) -> None:
        """Register what comes before conftest files.

        Args:
            watch: Is told when to look.
            manager: Conftest files have not been loaded.
        """
        self._watch = watch
        self._manager = manager
        self._is_on = False
        self._known = set(map(id, manager.get_plugins()))
        self._register("outer", first=self._pause, last=self._resume)

    def finish(self) -> None:
        """Register what comes after conftest files, where they have such hooks."""
        loaded = [plugin for plugin in self._manager.get_plugins() if id(plugin) not in self._known]
        if any(hasattr(plugin, name) for plugin in loaded for name in _HOOKS):
            self._is_on = True
            self._register("inner", first=self._resume, last=self._pause)

    def _register(self, name: str, *, first: Callable[[], None], last: Callable[[], None]) -> None:
        marks = (_mark(first, tryfirst=True), _mark(first), _mark(last, trylast=True))
        for number, mark in enumerate(marks):
            self._manager.register(mark, f"forkiso-{name}-mark-{number}")
            self._known.add(id(mark))

    def _pause(self) -> None:
        if self._is_on:
            self._watch.pause()

    def _resume(self) -> None:
        if self._is_on:
            self._watch.resume()


def _mark(action: Callable[[], None], *, tryfirst: bool = False, trylast: bool = False) -> object:
    class Mark:
        @pytest.hookimpl(tryfirst=tryfirst, trylast=trylast)
        def pytest_configure(self) -> None:
            action()

        @pytest.hookimpl(tryfirst=tryfirst, trylast=trylast)
        def pytest_sessionstart(self) -> None:
            action()

    return Mark()
