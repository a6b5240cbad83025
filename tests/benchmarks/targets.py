"""Functions that children run; it imports nothing, lest that be measured."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Channel(Protocol):
        """A socket of either kind."""

        def recv(self, size: int, /) -> bytes:
            """Read."""

        def send(self, data: bytes, /) -> int:
            """Write."""


def linger(channel: Channel) -> None:
    """Live until the other end of the channel closes."""
    channel.recv(1)


def greet_and_linger(channel: Channel) -> None:
    """Say that it runs, and go on until the other end closes."""
    channel.send(b".")
    channel.recv(1)
