"""What FORK_RUN and RUN ask for, and how a failure of it is reported.

Loaded by templates: it imports next to nothing.
"""

from __future__ import annotations

import posix
import select

from forkcore import _child
from forkcore import _messages as m
from forkcore._fds import close_all
from forkcore._title import name_of
from forkcore._wire import HEADER_SIZE, encode_identifier
from forkcore.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from forkcore._messages import Field
    from forkcore._title import Titler
    from forkcore._wire import Frame


class Call:
    """What FORK_RUN and RUN ask for; all that can be done about it before the fork."""

    __slots__ = (
        "_size",
        "arguments",
        "channel",
        "function",
        "identifier",
        "is_bound",
        "is_plain",
        "keep_random",
        "name",
        "options",
        "target",
        "title",
    )

    def __init__(self, frame: Frame, namespace: dict[str, Any], titler: Titler) -> None:
        """Take the frame apart.

        Args:
            frame: Its descriptors belong to this object from now on.
            namespace: Of the template.
            titler: Makes the bytes of the title.
        """
        # As it stands in the header.
        self.identifier = encode_identifier(frame.identifier)
        self._size = HEADER_SIZE + len(frame.payload)
        self.target = title = ""
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
                title = data.decode("utf-8", "surrogateescape")
            elif tag == m.BOUND:
                self.is_bound = True
            elif tag == m.KEEP_RANDOM:
                self.keep_random = True
            else:
                self.options.append(field)
        # A descriptor: the object that wraps it is the same for all children.
        self.channel, *fds = frame.fds
        self.arguments = pair(arguments, fds)
        self.title = titler.encode(title or f"forkcore: {self.target}")
        self.name = name_of(self.title)
        # A search path that is set first may make it another function.
        self.function: Callable[..., object] | None = None
        if not self.options:
            self.function = _child.find_loaded(self.target, namespace)
        # Nothing can fail, and no code of the user runs, before the function is called.
        self.is_plain = self.function is not None and (self.keep_random or not _child.needs_seed())

    def is_repeatable(self, data: bytes) -> bool:
        """Whether a frame that differs from this one in its identifier and descriptor alone asks for the same.

        Args:
            data: What the frame was found in: it may hold nothing else.
        """
        return len(data) == self._size and all(fd is None for _, fd in self.arguments)

    def close(self) -> None:
        """In the template, close what the child has got."""
        posix.close(self.channel)
        close_all([fd for _, fd in self.arguments if fd is not None])


def pair(fields: list[Field], fds: list[int]) -> list[tuple[Field, int | None]]:
    """Put descriptors beside the arguments that stand for them.

    Raises:
        ProtocolError: There are more, or fewer.
    """
    if len(fds) != sum(tag in m.DESCRIPTOR_TAGS for tag, _ in fields):
        raise ProtocolError("arguments and descriptors do not match")
    rest = iter(fds)
    return [(field, next(rest) if field[0] in m.DESCRIPTOR_TAGS else None) for field in fields]


def pack_fork_failure(error: OSError) -> bytes:
    """Encode that the template could not fork."""
    return m.pack_failure(m.FORK_FAILED, str(error.errno), str(error.strerror))


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
