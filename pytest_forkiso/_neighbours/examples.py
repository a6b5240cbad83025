"""pytest-examples: pytest's own process writes the examples that are to be updated, each file once, at the end."""

from __future__ import annotations

import dataclasses
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

KEY = "pytest-examples"
_LIST, _EXAMPLE = "_examples_to_update", "eval_example"


class Neighbour:
    """Takes examples from children to pytest's own process."""

    def __init__(self) -> None:
        self._to_update: list[Any] = []  # the plugin's own list, which it writes when this process has run its test
        self._found: list[Any] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        """Note which list that is."""
        value = yield
        if fixturedef.argname == _LIST and isinstance(value, list):
            self._to_update = value
        return value

    @pytest.hookimpl
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
        """Take what a test has put there, so that this process writes nothing."""
        if fixturedef.argname == _EXAMPLE and not _runs_here(request.config):
            self._found += self._to_update
            self._to_update.clear()

    @pytest.hookimpl
    def pytest_forkiso_child_gathered(self) -> tuple[str, Any] | None:
        """Give the examples."""
        return (KEY, [_pack(example) for example in self._found]) if self._found else None

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, key: str, data: Any) -> None:
        """Keep them for the end."""
        if key == KEY:
            self._found += [_unpack(example) for example in data]

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write them, and let the plugin say so."""
        found, self._found = self._found, []
        if found:
            module: Any = sys.modules["pytest_examples"]
            from pytest_examples.modify_files import _modify_files

            summary = _modify_files(found)
            if not session.config.getoption("update_examples_disable_summary"):
                module.summary = summary


def _runs_here(config: pytest.Config) -> bool:
    """Tell whether this is pytest's own process, which runs tests that are not forked as ever."""
    return not config.pluginmanager.hasplugin("forkiso-stream")


def _pack(example: Any) -> dict[str, Any]:
    return dataclasses.asdict(example)


def _unpack(data: dict[str, Any]) -> Any:
    """Make an example again; those of a file are one group, which each process that has collected them names anew."""
    from pytest_examples import CodeExample

    group = uuid.uuid5(uuid.NAMESPACE_URL, data["path"])
    return CodeExample(**data | {"path": Path(data["path"]), "group": group})
