"""Frames: bytes, and the descriptors that belong to them, as one value.

A frame is a header of 11 bytes (length of the payload, kind, number of descriptors, identifier;
little-endian) and the payload. Its descriptors arrive no later than its last byte: the kernel
passes at most 253 with one message, so `split_frame` spreads more of them over the first bytes of
the header. Both streams are first in, first out; how either of them is cut on the way makes no
difference.

Pure code, no I/O. The template loads this module.
"""

from __future__ import annotations

from forkcore.errors import FrameTooLarge, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

HEADER_SIZE = 11
HEAD_SIZE = 7  # of a header: what comes before the identifier
MAX_ARGUMENT = 64 * 1024 * 1024
# Room for the other fields of the frame that carries the largest argument.
MAX_PAYLOAD = MAX_ARGUMENT + 64 * 1024
MAX_FDS_PER_MESSAGE = 253  # SCM_MAX_FD of Linux; one more gives EINVAL
MAX_FDS = MAX_FDS_PER_MESSAGE * 8


class Frame:
    """One message with its descriptors.

    Who holds a frame owns its descriptors.
    """

    __slots__ = ("fds", "identifier", "kind", "payload")

    def __init__(self, kind: int, identifier: int, payload: bytes, fds: list[int]) -> None:
        self.kind = kind
        self.identifier = identifier
        self.payload = payload
        self.fds = fds

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return (
            self.kind == other.kind
            and self.identifier == other.identifier
            and self.payload == other.payload
            and self.fds == other.fds
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"<Frame kind={self.kind} identifier={self.identifier} payload={len(self.payload)} bytes, fds={self.fds}>"
        )


def encode(kind: int, identifier: int, payload: bytes = b"", fd_count: int = 0) -> bytes:
    """Give the bytes of a frame.

    Raises:
        FrameTooLarge: The payload is above `MAX_PAYLOAD`, or there are more than `MAX_FDS`.
    """
    length = len(payload)
    if length > MAX_PAYLOAD or fd_count > MAX_FDS:
        raise FrameTooLarge(f"a frame of {length} bytes and {fd_count} descriptors")
    header = length | kind << 32 | fd_count << 40 | identifier << 56
    return header.to_bytes(HEADER_SIZE, "little") + payload


def encode_identifier(identifier: int) -> bytes:
    """Give an identifier as it stands in a header."""
    return identifier.to_bytes(HEADER_SIZE - HEAD_SIZE, "little")


def decode_identifier(data: bytes) -> int:
    """Read an identifier as it stands in a header."""
    return int.from_bytes(data, "little")


def split_frame(data: bytes, fds: list[int]) -> list[tuple[bytes, list[int]]]:
    """Cut a frame into messages of at most `MAX_FDS_PER_MESSAGE` descriptors each."""
    parts = []
    position = 0
    while len(fds) > MAX_FDS_PER_MESSAGE:
        parts.append((data[position : position + 1], fds[:MAX_FDS_PER_MESSAGE]))
        fds = fds[MAX_FDS_PER_MESSAGE:]
        position += 1
    parts.append((data[position:] if position else data, fds))
    return parts


def read_frame(data: bytes, start: int) -> tuple[Frame, int] | None:
    """Find the frame that begins somewhere in a stream without descriptors.

    Returns:
        The frame and where it ends; None where it is not complete.

    Raises:
        ProtocolError: A header announces more than a frame may have, or descriptors.
    """
    body = start + HEADER_SIZE
    if len(data) < body:
        return None
    length, kind, fd_count, identifier = _take_apart(data[start:body])
    if fd_count:
        raise ProtocolError(f"a frame lacks {fd_count} descriptors")
    end = body + length
    if len(data) < end:
        return None
    return Frame(kind, identifier, data[body:end], []), end


def _take_apart(data: bytes | bytearray) -> tuple[int, int, int, int]:
    """Read a header: length of the payload, kind, number of descriptors, identifier."""
    header = int.from_bytes(data, "little")
    length = header & 0xFFFFFFFF
    fd_count = header >> 40 & 0xFFFF
    # Checked before anything of that size is waited for.
    if length > MAX_PAYLOAD or fd_count > MAX_FDS:
        raise ProtocolError(f"a header announces {length} bytes and {fd_count} descriptors")
    return length, header >> 32 & 0xFF, fd_count, header >> 56


class Decoder:
    """Turns what was received back into frames.

    The decoder owns the descriptors that it was fed until they leave in a frame, or by
    `take_leftovers`.
    """

    __slots__ = ("_buffer", "_fds", "_head")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fds: list[int] = []
        self._head: tuple[int, int, int, int] | None = None

    def feed(self, data: bytes, fds: Collection[int] = ()) -> None:
        """Take what one receive call gave; the descriptors are consumed."""
        self._buffer += data
        if fds:
            self._fds.extend(fds)

    def next_frame(self) -> Frame | None:
        """Give the next complete frame, or None.

        Raises:
            ProtocolError: A header announces more than a frame may have, or the descriptors came
                later than the bytes that they belong to. The stream cannot be used any more.
        """
        head = self._head
        if head is None:
            if len(self._buffer) < HEADER_SIZE:
                return None
            head = self._head = _take_apart(self._buffer[:HEADER_SIZE])
        length, kind, fd_count, identifier = head
        end = HEADER_SIZE + length
        if len(self._buffer) < end:
            return None
        if fd_count > len(self._fds):
            raise ProtocolError(f"a frame lacks {fd_count - len(self._fds)} descriptors")
        payload = bytes(self._buffer[HEADER_SIZE:end])
        del self._buffer[:end]
        fds = self._fds[:fd_count]
        if fd_count:
            del self._fds[:fd_count]
        self._head = None
        return Frame(kind, identifier, payload, fds)

    @property
    def missing(self) -> int:
        """How many bytes the frame that has begun still needs; 0 between frames."""
        if self._head is None:
            return 0
        return HEADER_SIZE + self._head[0] - len(self._buffer)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left over: the stream may end here."""
        return not self._buffer and not self._fds

    def take_leftovers(self) -> list[int]:
        """Hand over the descriptors that belong to no complete frame; the caller closes them."""
        fds, self._fds = self._fds, []
        return fds
