"""What crosses the channel between pytest and a child: length-prefixed pickles of plain data."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping
from typing import Any, NoReturn

Event = tuple[Any, ...]
"""A name and its values, all of them plain data."""

_HEADER = struct.Struct("!I")
# Bound now: a test may replace names of the modules `pickle` and `struct`, and is reported all the same.
_dumps = pickle.dumps
_pack_length = _HEADER.pack
EVENT_LIMIT = 1 << 30
DEPTH_LIMIT = 100


class EventError(Exception):
    """The bytes are no event: a test wrote to a descriptor that it does not own, or memory was corrupted."""


class PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts, bytes and containers of them; never imports or calls anything."""

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise EventError(f"an event of a child names {module_name}.{global_name}, which is no plain data")


def encode(event: Event) -> bytes:
    """Turn an event of plain data into bytes."""
    body = _dumps(event, 5)
    return _pack_length(len(body)) + body


class EventDecoder:
    """Turns the bytes of a channel, however they are split, into events."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, and give the events that are complete by now.

        Raises:
            EventError: The bytes are no events; the decoder is of no more use.
        """
        self._buffer += data
        events = []
        while (end := self._end_of_first()) is not None:
            events.append(_decode(bytes(self._buffer[_HEADER.size : end])))
            del self._buffer[:end]
        return events

    def _end_of_first(self) -> int | None:
        if len(self._buffer) < _HEADER.size:
            return None
        length = _HEADER.unpack_from(self._buffer)[0]
        if length > EVENT_LIMIT:
            raise EventError(f"an event of {length} bytes is over the limit of {EVENT_LIMIT}")
        end: int = _HEADER.size + length
        return end if len(self._buffer) >= end else None


def _decode(body: bytes) -> Event:
    try:
        event = PlainUnpickler(io.BytesIO(body)).load()
    except EventError:
        raise
    except Exception as error:
        raise EventError(f"an event of a child cannot be read: {error!r}") from error
    if not isinstance(event, tuple) or not event or not isinstance(event[0], str):
        raise EventError(f"an event of a child is a {type(event).__name__}")
    return event


class Plain:
    """Makes plain data of any value, and notes what it had to put in its place.

    Attributes:
        replaced: A line for each value that had no plain form, with the key where it stood.
    """

    def __init__(self) -> None:
        self.replaced: list[str] = []
        self._open: set[int] = set()  # containers around the value

    def of(self, value: Any, key: str) -> Any:
        """Give a plain equivalent of a value.

        Args:
            value: Anything.
            key: Where it stands, for the line in `replaced`.
        """
        kind = type(value)
        if value is None or kind in _ATOMS:
            return value
        if kind not in _CONTAINERS:
            return self._of_other(value, key)
        if id(value) in self._open or len(self._open) >= DEPTH_LIMIT:
            return self._replace(value, key)  # it contains itself, or ends where nobody can look
        self._open.add(id(value))
        try:
            return self._of_container(value, key)
        finally:
            self._open.discard(id(value))

    def _of_container(self, value: Any, key: str) -> Any:
        if type(value) is dict:
            return {self._of_key(k, key): self.of(v, f"{key}[{_safe_repr(k)}]") for k, v in value.items()}
        elements = [self.of(element, f"{key}[{index}]") for index, element in enumerate(value)]
        return elements if type(value) is list else tuple(elements)

    def _of_key(self, value: Any, key: str) -> Any:
        plain = self.of(value, key)
        try:
            hash(plain)
        except TypeError:  # of a frozenset a list was made
            return self._replace(value, key)
        return plain

    def _of_other(self, value: Any, key: str) -> Any:  # noqa: PLR0911 - one for each kind of value
        try:
            for kind in _COERCED:
                if isinstance(value, kind):
                    return kind(value)
            if hasattr(value, "__fspath__"):
                return str(value)
            if isinstance(value, Mapping):
                return self.of(dict(value), key)
            if isinstance(value, (list, tuple, set, frozenset)):
                return self.of(list(value), key)
            if callable(getattr(value, "item", None)) and getattr(value, "shape", None) == ():
                return self.of(value.item(), key)  # a scalar of numpy
        except Exception as error:  # noqa: BLE001 - the user's own conversions
            self.replaced.append(f"{key}: a {type(value).__name__} ({type(error).__name__} when it was read)")
            return f"<{type(value).__name__}>"
        return self._replace(value, key)

    def _replace(self, value: Any, key: str) -> str:
        text = _safe_repr(value)
        self.replaced.append(f"{key}: {text}")
        return text


_CONTAINERS = frozenset((list, tuple, dict))
_ATOMS = frozenset((str, int, float, bool, bytes))
# bool before int, whose subclass it is; an enumeration's member of these types gives its value.
_COERCED: tuple[type, ...] = (bool, int, float, str, bytes)


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)[:1000]
    except Exception as error:  # noqa: BLE001 - the user's own __repr__
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
