"""pytest's own end of a channel: events are received as they come, and answers sent, and nothing ever waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_forkiso._events import Event, EventDecoder, EventError, encode

if TYPE_CHECKING:
    import socket


class Conversation:
    """Events that cross a channel.

    Attributes:
        channel: Borrowed, and made non-blocking.
        is_closed: Nothing more will come.
        garbage: What is wrong with what has come, if it was no event; nothing is received after that.
    """

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self.channel = channel
        self.is_closed = False
        self.garbage: str | None = None
        self._decoder = EventDecoder()

    def answer(self, event: Event) -> None:
        """Send an event. It is small: it fits into the socket's buffer, or nobody listens any more."""
        try:
            self.channel.send(encode(event))
        except OSError:
            self.is_closed = True

    def receive(self) -> list[Event]:
        """Give the events that are complete by now."""
        events: list[Event] = []
        while not self.is_closed:
            try:
                data = self.channel.recv(1 << 18)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.is_closed = True
                break
            try:
                events += self._decoder.feed(data)
            except EventError as error:
                self.garbage = str(error)
                self.is_closed = True
        return events
