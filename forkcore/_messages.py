"""Commands, events and their payloads: what is said on a control socket.

A payload is a row of *fields*, each a tag of one byte, a length and that many bytes. Descriptors
travel beside the payload, in the order of the fields that stand for them.

Pure code; the template loads this module, so it imports nothing.
"""

from __future__ import annotations

from forkcore.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Commands, parent -> template. The identifier in the frame's header is that of a child or request.
EVAL = 1  # CODE, then arguments
PRELOAD = 2  # one MODULE field for each
SEND = 3  # arguments and descriptors, kept in the template
FORK = 4  # a new idle process; its descriptor is the new control socket; options
FORK_RUN = 5  # a new child; descriptors: channel, then those of the arguments; options, TARGET
RUN = 6  # this process becomes the child; as FORK_RUN
PING = 7  # answered by READY or ERROR once all before it has been executed
SIGNAL = 8  # payload: the signal's number in ASCII
CLOSE = 9  # leave once the last child is reaped
CONFIGURE = 10  # options, applied to this process

# Events, template -> parent.
STARTED = 32  # payload: pid in ASCII
EXITED = 33  # pid, wait status, user and system time in microseconds, peak memory: ASCII
FAILED = 34  # the child of this identifier never ran; a failure
READY = 35
ERROR = 36  # the answer to a PING after a failure; a failure

# Tags of fields.
TARGET = 0x74  # t
CODE = 0x63  # c
MODULE = 0x6D  # m
BYTES = 0x41  # A: an argument of bytes
INTEGER = 0x49  # I: a bare descriptor
SOCKET = 0x53  # S: a socket
FILE = 0x46  # F: a file object; data: mode, encoding, errors, newline, line buffering
CATEGORY = 0x67  # g, of a failure
TEXT = 0x78  # x, of a failure
# Options of a new process.
ENVIRONMENT = 0x65  # e: NAME=value, once for each, replaces the whole environment
DIRECTORY = 0x64  # d
UMASK = 0x75  # u: ASCII decimal
SEARCH_PATH = 0x70  # p: one entry of sys.path, replaces the whole of it
TITLE = 0x6E  # n
BOUND = 0x62  # b: dies with the parent
KEEP_RANDOM = 0x72  # r: random sources are not reseeded
ALLOW_HAZARDS = 0x68  # h: names of hazards that are accepted
EMPTY_ENVIRONMENT = 0x7A  # z: replaces the environment by an empty one
SANDBOX = 0x73  # s: marshalled fields of a `forkcore.sandbox.Sandbox`

DESCRIPTOR_TAGS = frozenset((INTEGER, SOCKET, FILE))
ARGUMENT_TAGS = frozenset((BYTES, INTEGER, SOCKET, FILE))

# Categories of failures.
REMOTE = "remote"
NOT_FOUND = "target"
HAZARD = "hazard"
FORK_FAILED = "fork"
UNAVAILABLE = "sandbox"

Field = tuple[int, bytes]


def pack(fields: Iterable[Field]) -> bytes:
    """Join fields into a payload."""
    parts = []
    for tag, data in fields:
        parts.append(bytes((tag,)) + len(data).to_bytes(4, "little"))
        parts.append(data)
    return b"".join(parts)


def unpack(payload: bytes) -> list[Field]:
    """Take a payload apart.

    Raises:
        ProtocolError: A field reaches past the end.
    """
    fields = []
    position = 0
    end = len(payload)
    while position < end:
        start = position + 5
        stop = start + int.from_bytes(payload[position + 1 : start], "little")
        if stop > end or start > end:
            raise ProtocolError(f"a field of a payload of {end} bytes reaches past its end")
        fields.append((payload[position], payload[start:stop]))
        position = stop
    return fields


def pack_failure(category: str, *texts: str) -> bytes:
    """Encode a failure: a category and the texts that belong to it."""
    fields = [(CATEGORY, category.encode())]
    fields.extend((TEXT, text.encode("utf-8", "backslashreplace")) for text in texts)
    return pack(fields)


def unpack_failure(payload: bytes) -> tuple[str, list[str]]:
    """Decode what `pack_failure` made.

    Raises:
        ProtocolError: It is no failure.
    """
    fields = unpack(payload)
    if not fields or fields[0][0] != CATEGORY:
        raise ProtocolError("a failure without a category")
    return fields[0][1].decode("ascii", "replace"), [data.decode("utf-8", "replace") for _, data in fields[1:]]
