"""What the parent knows: transitions of a connection, with no process at the other end."""

from __future__ import annotations

import errno
import itertools
import os
import pickle
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkcore import _messages as m
from forkcore import errors
from forkcore._state import Connection, decode_failure
from forkcore._status import UNKNOWN_STATUS, ExitStatus, ResourceUsage, decode_status
from forkcore._wire import Decoder, encode


def drain(connection: Connection) -> list[int]:
    """Take all that is queued as sent, and give the kinds of the frames."""
    decoder = Decoder()
    while connection.outgoing:
        message = connection.outgoing[0]
        decoder.feed(bytes(message.data), message.fds)
        send(connection, len(message.data))
    kinds = []
    while (frame := decoder.next_frame()) is not None:
        kinds.append(frame.kind)
    assert decoder.is_empty
    return kinds


def send(connection: Connection, count: int) -> None:
    """Attempt to send the first message, of which so many bytes go."""
    message = connection.outgoing[0]
    message.sent.extend(count for _ in message.attempt)
    connection.conclude(message)


def receive(connection: Connection, data: bytes) -> None:
    """Take what one receive call gave."""
    connection.arrived.append(data)
    connection.handle_arrived()


def test_a_child_from_start_to_exit() -> None:
    """Its pid, then its status; the record leaves the connection's list."""
    connection = Connection()
    record = connection.new_child()
    assert not record.is_started
    receive(connection, encode(m.STARTED, record.identifier, b"123"))
    assert (record.pid, record.is_started, record.is_ended) == (123, True, False)
    exited = encode(m.EXITED, record.identifier, b"123 256 1500000 20000 1000")
    for position in range(len(exited)):
        receive(connection, exited[position : position + 1])
    assert record.status == ExitStatus(1, None, ResourceUsage(1.5, 0.02, 1000 * 1024))
    assert record.is_ended
    assert not connection.children


def test_a_child_that_never_was() -> None:
    """A failed fork ends the record at once; nobody waits for an exit."""
    connection = Connection()
    record = connection.new_child()
    failure = m.pack_failure(m.FORK_FAILED, str(errno.EAGAIN), "Try again")
    receive(connection, encode(m.FAILED, record.identifier, failure))
    assert record.is_ended
    assert isinstance(record.failure, errors.ForkFailed)
    assert record.failure.errno == errno.EAGAIN
    assert not connection.children


def test_a_child_whose_function_is_missing_has_an_exit_too() -> None:
    """After STARTED and FAILED the exit status still comes."""
    connection = Connection()
    record = connection.new_child()
    receive(connection, encode(m.STARTED, record.identifier, b"5"))
    failure = m.pack_failure(m.NOT_FOUND, "no x", "T", "trace")
    receive(connection, encode(m.FAILED, record.identifier, failure))
    ended_before = record.is_ended
    receive(connection, encode(m.EXITED, record.identifier, b"5 256 0 0 0"))
    assert (ended_before, record.is_ended) == (False, True)
    assert isinstance(record.failure, errors.TargetNotFound)


def test_a_lost_connection_wakes_everybody() -> None:
    """Children are lost, requests are answered, and what was not sent is dropped, with its descriptors."""
    connection = Connection()
    record = connection.new_child()
    request = connection.ping()
    connection.queue(m.SEND, 0, b"", [7, 8])
    connection.lose()
    assert not connection.outgoing
    assert record.is_ended
    assert record.status is None
    assert connection.is_answered(request)
    assert connection.is_lost


def test_partial_sends() -> None:
    """Descriptors leave with the first byte; the rest of the bytes follow without them."""
    connection = Connection()
    connection.queue(m.SEND, 0, b"abc", [7])
    assert connection.outgoing[0].fds == [7]
    send(connection, 1)
    (message,) = connection.outgoing
    assert (len(message.data), message.fds) == (13, [])
    send(connection, 13)
    assert not connection.outgoing


def test_an_attempt_to_send_is_made_once() -> None:
    """Whoever was interrupted before it noted that, and whoever comes next, neither sends twice nor forgets."""
    connection = Connection()
    connection.queue(m.SEND, 0, b"abc", [7])
    message = connection.outgoing[0]
    next(message.attempt)  # and nothing was sent
    connection.conclude(message)
    again = connection.outgoing[0]
    assert (again.data, again.fds) == (message.data, [7])
    again.sent.extend(5 for _ in again.attempt)
    for _ in range(2):  # by the one that was interrupted, too
        connection.conclude(again)
    assert [len(one.data) for one in connection.outgoing] == [9]


@given(st.lists(st.integers(0, 120), max_size=6))
def test_however_a_stream_is_cut_it_says_the_same(cuts: list[int]) -> None:
    """And however often a part of it is looked at."""
    connection = Connection()
    records = [connection.new_child() for _ in range(3)]
    stream = b"".join(
        encode(m.STARTED, one.identifier, b"%d" % (one.identifier + 10))
        + encode(m.EXITED, one.identifier, b"%d 256 0 0 0" % (one.identifier + 10))
        for one in records
    )
    positions = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(positions):
        if start < end:
            receive(connection, stream[start:end])
        connection.handle_arrived()
    assert [(one.pid, one.status is not None) for one in records] == [(11, True), (12, True), (13, True)]
    assert not connection.arrived


def test_a_ping_confirms_what_was_queued_before() -> None:
    """Code is unconfirmed until it is asked for, and may run until the answer is there."""
    connection = Connection()
    connection.queue(m.EVAL, 0, b"")
    assert connection.is_unconfirmed
    request = connection.ping()
    assert drain(connection) == [m.EVAL, m.PING]
    assert not connection.is_answered(request)
    ran_before = connection.may_run_code
    receive(connection, encode(m.READY, request))
    assert connection.is_answered(request)
    assert (ran_before, connection.may_run_code) == (True, False)
    assert connection.failure is None


def test_a_failure_is_remembered() -> None:
    """The first error stays."""
    connection = Connection()
    for text in ("one", "two"):
        request = connection.ping()
        failure = m.pack_failure(m.REMOTE, text, "ValueError", "trace")
        receive(connection, encode(m.ERROR, request, failure))
    assert str(connection.failure) == "ValueError: one"


def test_identifiers_skip_those_in_use() -> None:
    """After four thousand million requests they start again, past children that still run."""
    connection = Connection()
    first = connection.new_child()
    connection._last_identifier = 0xFFFFFFFF
    assert connection.new_child().identifier == first.identifier + 1


@pytest.mark.parametrize(
    "data",
    [
        encode(99, 1),
        encode(m.STARTED, 1, b"x"),
        encode(m.EXITED, 1, b"1 2"),
        encode(m.FAILED, 1, b"x"),
        encode(m.FAILED, 1, m.pack_failure("nonsense")),
        encode(m.FAILED, 1, m.pack_failure(m.FORK_FAILED, "x", "y")),
        encode(m.READY, 1, b"", 1),
        b"\xff" * 11,
    ],
)
def test_what_no_template_says_is_refused(data: bytes) -> None:
    """Each of these is a ProtocolError."""
    connection = Connection()
    connection.new_child()
    with pytest.raises(errors.ProtocolError):
        receive(connection, data)
    connection.lose()
    assert connection.is_lost


@given(st.binary(max_size=400))
def test_no_bytes_crash_a_connection(data: bytes) -> None:
    """Anything is understood or refused."""
    connection = Connection()
    connection.new_child()
    try:
        receive(connection, data)
    except errors.ProtocolError:
        connection.lose()


def test_status_words() -> None:
    """Codes, signals, and what is unknown."""
    assert decode_status(3 << 8, None) == ExitStatus(3)
    killed = decode_status(signal.SIGKILL, None)
    assert (killed.signal, killed.returncode, killed.code) == (9, -9, None)
    assert str(killed) == "died with signal 9 (SIGKILL)"
    assert decode_status(signal.SIGSEGV | 0x80, None).core_dumped
    assert decode_status(-1, None) is UNKNOWN_STATUS
    assert not UNKNOWN_STATUS.is_known
    assert UNKNOWN_STATUS.returncode is None
    assert str(UNKNOWN_STATUS) == "ended in an unknown way"
    assert str(ExitStatus(0)) == "exited with code 0"
    assert str(ExitStatus(None, 40)) == "died with signal 40 (unknown)"
    assert os.WIFEXITED(3 << 8)


def test_hazards_carry_their_names() -> None:
    """The names of the threads arrive."""
    error = decode_failure(m.pack_failure(m.HAZARD, "text", "one", "two"))
    assert isinstance(error, errors.ForkHazard)
    assert error.hazards == ("one", "two")


@pytest.mark.parametrize(
    "error",
    [
        errors.RemoteError("text", "ValueError", "trace"),
        errors.TargetNotFound("text", "X", "trace"),
        errors.ForkHazard("text", ["a"]),
        errors.ForkFailed(errno.EAGAIN, "text"),
        errors.TemplateDied("text", 5, ExitStatus(None, 9)),
        errors.TimeoutExpired("waiting", 2.0),
        errors.ObjectSpent("text"),
    ],
)
def test_errors_can_be_pickled(error: Exception) -> None:
    """They cross processes with all that they carry."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__


def test_a_remote_error_shows_the_remote_traceback() -> None:
    """It is the cause, in quotes, as concurrent.futures shows it."""
    error = errors.RemoteError("text", "ValueError", "Traceback: x\n")
    assert str(error.__cause__) == '\n"""\nTraceback: x\n"""'
