"""Output files of children."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_forkiso._slots import SlotTable, limit_file, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def table(no_leaks: None) -> Iterator[SlotTable]:
    """Give the files of three slots; all descriptors are closed afterwards."""
    made = SlotTable.create(3)
    yield made
    made.close()


def test_files_are_separate_and_private(table: SlotTable) -> None:
    """Twelve regular files, none of which a program that a test starts would inherit."""
    fds = [fd for slot in table.slots for fd in (slot.stdout, slot.stderr, slot.faults, slot.log)]
    assert len({os.fstat(fd).st_ino for fd in fds}) == 12
    assert not any(map(os.get_inheritable, table.descriptors))
    assert set(fds) < set(table.descriptors)


def test_clear(table: SlotTable) -> None:
    """The next child finds empty files, and writes at their beginning."""
    slot = table.slots[1]
    os.write(slot.stdout, b"first test")
    os.write(slot.faults, b"trace")
    slot.clear()
    os.write(slot.stdout, b"second")
    assert read_text(slot.stdout, 100) == "second"
    assert read_text(slot.faults, 100) == ""


def test_phases(table: SlotTable) -> None:
    """Each slot has its own note; garbage there, by a test that writes everywhere, is no error."""
    table.note_phase(table.slots[0], "call")
    table.note_phase(table.slots[2], "teardown")
    assert [table.phase(slot) for slot in table.slots] == ["call", "setup", "teardown"]
    os.pwrite(table.descriptors[0], b"\xff" * 100, 0)
    assert {table.phase(slot) for slot in table.slots} == {"setup"}


@given(st.binary(max_size=300), st.integers(1, 200))
def test_the_end_of_a_file(data: bytes, limit: int) -> None:
    """At most so many bytes are read, from the end; the file's offset stays."""
    fd = os.memfd_create("test")
    try:
        os.write(fd, data)
        os.lseek(fd, 1, os.SEEK_SET)
        text = read_text(fd, limit)
        assert text.endswith(data[-limit:].decode("utf-8", "backslashreplace"))
        assert (f"{len(data) - limit} bytes left out" in text) == (len(data) > limit)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 1
    finally:
        os.close(fd)


@given(st.integers(0, 5000), st.integers(1, 2000))
def test_limit_file(size: int, limit: int) -> None:
    """A file within the limit stays; of a longer one beginning and end, within the limit, and how much is missing."""
    data = bytes(65 + place % 26 for place in range(size))
    fd = os.memfd_create("test")
    try:
        os.write(fd, data)
        limit_file(fd, limit)
        found = os.pread(fd, 10_000, 0)
        if size <= limit:
            assert found == data
            return
        before, _, rest = found.partition(b"\n[... ")
        note, _, after = rest.partition(b"\n")
        assert data.startswith(before)
        assert data.endswith(after)
        assert note.startswith(b"%d bytes left out" % (size - len(before) - len(after)))
        assert len(found) <= max(limit, 110)
        assert os.lseek(fd, 0, os.SEEK_CUR) == len(found)
    finally:
        os.close(fd)
