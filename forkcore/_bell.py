"""A bell: any thread rings it, and it wakes the one that polls."""

from __future__ import annotations

import socket

_MANY = 4096


class Bell:
    """A pair of sockets of which one end is readable once the bell was rung."""

    def __init__(self) -> None:
        """Put it up.

        Raises:
            OSError: EMFILE.
        """
        self._heard, self._rung = socket.socketpair()
        for end in (self._heard, self._rung):
            end.setblocking(False)

    def fileno(self) -> int:
        """Give the descriptor that is readable once it was rung; borrowed."""
        return self._heard.fileno()

    def ring(self) -> None:
        """Wake whoever polls."""
        try:
            self._rung.send(b"!")
        except BlockingIOError:
            return  # it has been rung often enough

    def hear(self) -> None:
        """Take note of it."""
        try:
            # Whoever has rung more often than that is heard again.
            self._heard.recv(_MANY)
        except BlockingIOError:
            return

    def take_down(self) -> None:
        """Close both ends."""
        self._heard.close()
        self._rung.close()
