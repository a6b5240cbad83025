"""syrupy: pytest's own process writes the snapshots, each file once, and reports on them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso import _private

if TYPE_CHECKING:
    from syrupy.session import SnapshotSession

KEY = "syrupy"
_RESULT = ("snapshot_location", "snapshot_name", "asserted_data", "recalled_data", "created", "updated", "success")


class Neighbour:
    """Takes assertions and queued snapshots from children to pytest's own process."""

    @pytest.hookimpl
    def pytest_forkiso_child_gathered(self, item: pytest.Item) -> tuple[str, Any] | None:
        """Give what this process has compared, and would write."""
        session = _session(item.config)
        assertions = [
            (_name(each.extension_class), [_pack(result) for result in each.executions.values()])
            for each in session._assertions
        ]
        writes = [
            (_name(extension), index, data)
            for (extension, _), queue in session._queued_snapshot_writes.items()
            for (_, index), data in queue.items()
        ]
        return (KEY, (assertions, writes)) if assertions else None

    @pytest.hookimpl
    def pytest_forkiso_gathered(self, item: pytest.Item, key: str, data: Any) -> None:
        """Let the session of pytest's own process have made these assertions, and queue what is to be written."""
        if key != KEY:
            return
        from syrupy.location import PyTestLocation

        session = _session(item.config)
        location = PyTestLocation(item)
        _private.note_xfail(item)  # what the report on snapshots asks for
        assertions, writes = data
        for extension, results in assertions:
            _assert_again(session, location, _find(extension), results)
        for extension, index, text in writes:
            session.queue_snapshot_write(extension=_find(extension)(), test_location=location, data=text, index=index)


def _session(config: pytest.Config) -> SnapshotSession:
    session: SnapshotSession = config._syrupy  # type: ignore[attr-defined]
    return session


def _assert_again(session: SnapshotSession, location: Any, extension: Any, results: list[dict[str, Any]]) -> None:
    from syrupy.assertion import AssertionResult, SnapshotAssertion

    made = SnapshotAssertion(
        session=session, extension_class=extension, test_location=location, update_snapshots=session.update_snapshots
    )
    made.executions.update(
        enumerate(AssertionResult(**result, exception=None, test_location=location) for result in results)
    )


def _pack(result: Any) -> dict[str, Any]:
    return {name: getattr(result, name) for name in _RESULT}


def _name(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _find(name: tuple[str, str]) -> Any:
    """Find a class that a test uses: its module is loaded here, or can be."""
    found: Any = importlib.import_module(name[0])
    for part in name[1].split("."):
        found = getattr(found, part)
    return found
