"""The codec of events: what goes in comes out, whatever the bytes are split into; nothing else ever comes out."""

from __future__ import annotations

import contextlib
import decimal
import enum
import io
import pathlib
import pickle
import struct
import threading
import types
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_forkiso._events import DEPTH_LIMIT, EVENT_LIMIT, Event, EventDecoder, EventError, Plain, encode

ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary() | st.text(st.characters())
HASHABLE = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
PLAIN = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(HASHABLE, inner),
    max_leaves=20,
)
EVENTS = st.tuples(st.text(), PLAIN, PLAIN) | st.tuples(st.text())


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    """Split data at these places, taken modulo its length."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.lists(EVENTS, max_size=5), st.lists(st.integers(0), max_size=20))
def test_events_survive_any_split(events: list[Event], cuts: list[int]) -> None:
    """Equal values of equal types come out, in order, each as soon as its last byte is there."""
    decoder = EventDecoder()
    data = b"".join(map(encode, events))
    found = [event for chunk in chunks(data, cuts) for event in decoder.feed(chunk)]
    assert repr(found) == repr(events)


@given(EVENTS)
def test_no_event_before_its_last_byte(event: Event) -> None:
    """A crash in the middle of an event leaves nothing of it."""
    data = encode(event)
    decoder = EventDecoder()
    assert decoder.feed(data[:-1]) == []
    assert repr(decoder.feed(data[-1:])) == repr([event])


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_garbage_is_an_event_error_or_waits_for_more(pieces: list[bytes]) -> None:
    """No other exception, and nothing that is no event."""
    decoder = EventDecoder()
    try:
        found = [event for piece in pieces for event in decoder.feed(piece)]
    except EventError:
        return
    assert all(isinstance(event[0], str) for event in found)


@given(EVENTS, st.data())
def test_a_changed_byte_is_never_another_error(event: Event, data: st.DataObject) -> None:
    """Memory of the child may be corrupted in any way."""
    message = bytearray(encode(event))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(EventError):
        EventDecoder().feed(bytes(message))


def framed(body: bytes) -> bytes:
    """Put a length before a body."""
    return struct.pack("!I", len(body)) + body


class Reduces:
    """A pickle of it calls a function where it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.answer = (function, arguments)

    def __reduce__(self) -> Any:
        return self.answer


@pytest.mark.parametrize(
    "value",
    [Reduces(print, "called"), Reduces(pathlib.Path), decimal.Decimal(1), print, ValueError("x"), pathlib.Path],
    ids=lambda value: type(value).__name__,
)
def test_only_plain_data_is_read(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    """A child that a test has taken over cannot make pytest's own process import or call anything."""
    with pytest.raises(EventError, match="no plain data"):
        EventDecoder().feed(framed(pickle.dumps(("report", value))))
    assert not capsys.readouterr().out


@pytest.mark.parametrize("value", [[], {}, None, 1, (), (1, "a"), [("report",)]])
def test_an_event_is_a_tuple_with_a_name(value: object) -> None:
    """Other plain data is an error."""
    with pytest.raises(EventError, match="an event of a child is a"):
        EventDecoder().feed(framed(pickle.dumps(value)))


def test_a_length_over_the_limit_is_refused_at_once() -> None:
    """Nobody waits for, or allocates, what a random length promises."""
    with pytest.raises(EventError, match="over the limit"):
        EventDecoder().feed(struct.pack("!I", EVENT_LIMIT + 1))


class Own(Exception):
    """An exception of a test."""


class BadRepr:
    """Raises, whatever is asked of it."""

    def __repr__(self) -> str:
        raise Own

    __str__ = __int__ = __float__ = __bool__ = __repr__

    def __getattribute__(self, name: str) -> Any:
        raise Own


class BadMapping(Mapping[str, int]):
    """A mapping that does not give its items."""

    def __getitem__(self, key: str) -> int:
        raise Own

    def __iter__(self) -> Iterator[str]:
        raise Own

    def __len__(self) -> int:
        return 1


class Text(str):
    """A text of the user's own."""

    __slots__ = ()


class Colour(enum.IntEnum):
    """A number of the user's own."""

    RED = 1


ODD = st.sampled_from([object(), Text("x"), Colour.RED, threading.Lock(), Own("x"), print, {1}, frozenset((2,))]) | (
    st.builds(BadRepr) | st.builds(BadMapping)
)
ANYTHING = st.recursive(
    ATOMS | ODD, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(HASHABLE, inner)
)


@given(ANYTHING)
def test_everything_gets_a_plain_form(value: object) -> None:
    """The form can be encoded, and has a plain form that is itself."""
    plain = Plain()
    form = plain.of(value, "key")
    ((_, found),) = EventDecoder().feed(encode(("x", form)))
    assert repr(found) == repr(form)
    again = Plain()
    assert repr(again.of(form, "key")) == repr(form)
    assert not again.replaced


@given(PLAIN)
def test_plain_values_stay_as_they_are(value: object) -> None:
    """Nothing is replaced, no type changes."""
    plain = Plain()
    assert repr(plain.of(value, "key")) == repr(value)
    assert not plain.replaced


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Text("x"), "x"),
        (Colour.RED, 1),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        ({1}, [1]),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        ({"a": Text("b")}, {"a": "b"}),
    ],
)
def test_equivalents(value: object, wanted: object) -> None:
    """What has an obvious plain form gets it, without a note."""
    plain = Plain()
    form = plain.of(value, "key")
    assert form == wanted
    assert type(form) is type(wanted)
    assert not plain.replaced


@pytest.mark.parametrize(
    ("value", "note"),
    [
        ({"a": [0, io.BytesIO()]}, "key['a'][1]: <_io.BytesIO"),
        (BadMapping(), "key: a BadMapping (Own when it was read)"),
        ([BadRepr()], "key[0]: "),
        ({frozenset((1,)): 2}, "key: frozenset({1})"),
    ],
)
def test_notes_name_the_key(value: object, note: str) -> None:
    """What is replaced is named with the place where it stood."""
    plain = Plain()
    plain.of(value, "key")
    (line,) = plain.replaced
    assert line.startswith(note)


def test_values_that_contain_themselves() -> None:
    """A cycle ends at its first repetition; what is deeper than anybody looks is cut."""
    cycle: list[Any] = [1]
    cycle.append(cycle)
    plain = Plain()
    assert plain.of(cycle, "key") == [1, "[1, [...]]"]
    assert plain.replaced == ["key[1]: [1, [...]]"]
    deep: list[Any] = []
    for _ in range(DEPTH_LIMIT + 10):
        deep = [deep]
    plain = Plain()
    encode(("x", plain.of(deep, "key")))
    assert len(plain.replaced) == 1
    shared = [1]
    assert Plain().of([shared, shared], "key") == [[1], [1]]


def test_a_scalar_of_numpy_is_its_number() -> None:
    """A property that was recorded as numpy.float64 is a float."""
    numpy = pytest.importorskip("numpy")
    plain = Plain()
    assert plain.of([numpy.float32(0.5), numpy.int64(3), numpy.bool_(True)], "key") == [0.5, 3, True]
    assert not plain.replaced
