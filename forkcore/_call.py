"""What FORK_RUN and RUN ask for, and how a failure of it is reported.

Loaded by templates: it imports next to nothing.
"""

from __future__ import annotations

import posix
import select

from forkcore import _child
from forkcore import _messages as m
from forkcore._fds import close_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from forkcore._messages import Field
    from forkcore._wire import Frame


class Call:
    """What FORK_RUN and RUN ask for; all that can be done about it before the fork."""

    __slots__ = (
        "arguments",
        "channel",
        "function",
        "identifier",
        "is_bound",
        "keep_random",
        "options",
        "target",
        "title",
    )

    def __init__(self, frame: Frame, namespace: dict[str, Any]) -> None:
        """Take the frame apart; its descriptors belong to this object."""
        self.identifier = frame.identifier
        self.target = self.title = ""
        self.is_bound = self.keep_random = False
        # Whatever is to be set in the child before the function is looked for.
        self.options: list[Field] = []
        arguments = []
        for field in m.unpack(frame.payload):
            tag, data = field
            if tag in m.ARGUMENT_TAGS:
                arguments.append(field)
            elif tag == m.TARGET:
                self.target = data.decode()
            elif tag == m.TITLE:
                self.title = data.decode("utf-8", "surrogateescape")
            elif tag == m.BOUND:
                self.is_bound = True
            elif tag == m.KEEP_RANDOM:
                self.keep_random = True
            else:
                self.options.append(field)
        channel, *fds = frame.fds
        self.arguments = pair(arguments, fds)
        self.channel = _child.make_channel(channel)
        self.title = self.title or f"forkcore: {self.target}"
        # A search path that is set first may make it another function.
        self.function = None if self.options else _child.find_loaded(self.target, namespace)

    def close(self) -> None:
        """In the template, close what the child has got."""
        self.channel.close()
        close_all([fd for _, fd in self.arguments if fd is not None])


def pair(fields: list[Field], fds: list[int]) -> list[tuple[Field, int | None]]:
    """Put descriptors beside the arguments that stand for them."""
    rest = iter(fds)
    return [(field, next(rest) if field[0] in m.DESCRIPTOR_TAGS else None) for field in fields]


def send_report(fd: int, data: bytes) -> None:
    """Write one frame, waiting as long as it takes; a reader that is gone needs no report."""
    while True:
        try:
            sent = posix.write(fd, data)
        except BlockingIOError:
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll()
        except OSError:
            return
        else:
            data = data[sent:]
            if not data:
                return
