"""The codec: any split of the bytes and any grouping of the descriptors gives the same frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkcore import _messages as m
from forkcore._wire import (
    HEADER_SIZE,
    MAX_FDS,
    MAX_FDS_PER_MESSAGE,
    MAX_PAYLOAD,
    Decoder,
    Frame,
    encode,
    split_frame,
)
from forkcore.errors import ForkcoreError, FrameTooLarge, ProtocolError

frames = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=60),
    st.one_of(st.integers(0, 6), st.integers(250, 800)).map(lambda count: list(range(count))),
)
fields = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50)))


def messages_of(sent: list[Frame]) -> list[tuple[bytes, list[int]]]:
    """Give what a driver would send, each part with the descriptors that go with it."""
    messages = []
    for frame in sent:
        data = encode(frame.kind, frame.identifier, frame.payload, len(frame.fds))
        messages += split_frame(data, frame.fds)
    return messages


@given(st.lists(frames, max_size=4), st.data())
def test_any_split_decodes_to_the_same_frames(sent: list[Frame], data: st.DataObject) -> None:
    """Cut and join messages as a stream socket may: descriptors come with or before their byte."""
    decoder = Decoder()
    received = []
    pending: list[int] = []
    stream = b""
    for part, fds in messages_of(sent):
        assert len(fds) <= MAX_FDS_PER_MESSAGE
        stream += part
        pending += fds
        # The kernel may keep bytes back, never descriptors beyond the bytes that are out.
        count = data.draw(st.integers(0, len(stream)))
        decoder.feed(stream[:count], pending)
        stream, pending = stream[count:], []
        while (frame := decoder.next_frame()) is not None:
            received.append(frame)
    for position in range(0, len(stream), 7):
        decoder.feed(stream[position : position + 7])
        while (frame := decoder.next_frame()) is not None:
            received.append(frame)
    assert received == sent
    assert decoder.is_empty
    assert decoder.missing == 0


@given(st.lists(st.tuples(st.binary(max_size=300), st.lists(st.integers(3, 9), max_size=5))))
def test_no_input_crashes_the_decoder(chunks: list[tuple[bytes, list[int]]]) -> None:
    """Garbage gives frames, nothing, or ProtocolError; no descriptor is lost."""
    decoder = Decoder()
    given_fds: list[int] = []
    got_fds: list[int] = []
    try:
        for data, fds in chunks:
            given_fds += fds
            decoder.feed(data, fds)
            while (frame := decoder.next_frame()) is not None:
                got_fds += frame.fds
    except ProtocolError:
        pass
    assert got_fds + decoder.take_leftovers() == given_fds


@given(fields)
def test_fields_survive_packing(some: list[tuple[int, bytes]]) -> None:
    """Unpacking is the inverse of packing."""
    assert m.unpack(m.pack(some)) == some


@given(st.binary(max_size=200))
def test_no_payload_crashes_unpacking(payload: bytes) -> None:
    """Garbage gives fields that make it up again, or ProtocolError."""
    try:
        some = m.unpack(payload)
    except ProtocolError:
        return
    assert m.pack(some) == payload


@given(st.text(), st.lists(st.text()))
def test_failures_survive(category: str, texts: list[str]) -> None:
    """Texts of a failure arrive, whatever is in them."""
    category = category.encode("ascii", "ignore").decode()
    assert m.unpack_failure(m.pack_failure(category, *texts)) == (category, texts)


@pytest.mark.parametrize("payload", [b"", m.pack([(m.TEXT, b"x")])])
def test_a_failure_has_a_category(payload: bytes) -> None:
    """What is no failure is refused."""
    with pytest.raises(ProtocolError):
        m.unpack_failure(payload)


def test_the_limit_is_checked_on_the_header() -> None:
    """A header that announces too much is refused before anything of it has come."""
    decoder = Decoder()
    decoder.feed((MAX_PAYLOAD + 1).to_bytes(HEADER_SIZE, "little"))
    with pytest.raises(ProtocolError):
        decoder.next_frame()
    decoder = Decoder()
    decoder.feed(((MAX_FDS + 1) << 40).to_bytes(HEADER_SIZE, "little"))
    with pytest.raises(ProtocolError):
        decoder.next_frame()
    decoder = Decoder()
    decoder.feed(MAX_PAYLOAD.to_bytes(HEADER_SIZE, "little") + b"some")
    assert decoder.next_frame() is None
    assert decoder.missing == MAX_PAYLOAD - 4


def test_too_much_is_not_encoded() -> None:
    """The sender refuses what the receiver would."""
    with pytest.raises(FrameTooLarge):
        encode(1, 1, bytes(MAX_PAYLOAD + 1))
    with pytest.raises(FrameTooLarge):
        encode(1, 1, b"", MAX_FDS + 1)
    assert issubclass(FrameTooLarge, ForkcoreError)


def test_descriptors_that_come_too_late_are_refused() -> None:
    """A frame whose bytes are all there but not its descriptors breaks the stream."""
    decoder = Decoder()
    decoder.feed(encode(1, 1, b"x", 2), [5])
    with pytest.raises(ProtocolError):
        decoder.next_frame()
    assert decoder.take_leftovers() == [5]


def test_a_frame_shows_itself() -> None:
    """The repr names all but the payload's bytes; equality is by value."""
    frame = Frame(1, 2, b"abc", [3])
    assert repr(frame) == "<Frame kind=1 identifier=2 payload=3 bytes, fds=[3]>"
    assert frame == Frame(1, 2, b"abc", [3])
    assert frame != (1, 2, b"abc", [3])
