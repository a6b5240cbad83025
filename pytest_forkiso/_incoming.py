"""What the scheduler asks of those who hand out tests one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pytest


class Incoming(Protocol):
    """Tests that are handed out one by one, by somebody who may think better of those that are left."""

    def fileno(self) -> int:
        """Give a descriptor that can be read when something has changed."""

    def note_change(self) -> None:
        """Have the descriptor unreadable until something changes again."""

    def take(self, most: int) -> list[pytest.Item]:
        """Hand out tests that are to be started now, ``most`` at the most."""

    @property
    def following(self) -> pytest.Item | None:
        """The first test that is not handed out; None where there is none."""

    @property
    def is_exhausted(self) -> bool:
        """There is none to be handed out, and there will be none for now."""

    def done(self, item: pytest.Item) -> None:
        """Hear that a test is over, and all is reported of it."""
