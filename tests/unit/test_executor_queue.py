"""The queue of a `forkcore.ForkExecutor`, and the exceptions that it brings back, without processes."""

from __future__ import annotations

import pickle
import select
from concurrent.futures import Future

import pytest

import forkcore
from forkcore import _executor_child
from forkcore._executor_calls import Call, pickle_call
from forkcore._executor_queue import CallQueue


def a_call() -> Call:
    """Give a call of its own."""
    return Call(Future(), b"")


def test_calls_come_out_in_order_and_are_running() -> None:
    """Cancelled ones do not come out."""
    queue = CallQueue()
    first, second, third = a_call(), a_call(), a_call()
    for call in (first, second, third):
        queue.put(call)
    assert second.future.cancel()
    assert queue.take() is first
    assert first.future.running()
    assert queue.take() is third
    assert queue.take() is None


def test_the_bell_rings_until_it_is_heard() -> None:
    """However often it was rung, nobody who rings is ever kept waiting."""
    queue = CallQueue()
    bell = queue.listen()
    assert not select.select([bell], [], [], 0)[0]
    for _ in range(2000):
        queue.put(a_call())
    while select.select([bell], [], [], 0)[0]:
        queue.hear()
    queue.hear()
    queue.close()
    assert select.select([bell], [], [], 0)[0]
    queue.hang_up()
    assert bell.fileno() == -1
    queue.close()


def test_a_closed_queue_takes_no_more() -> None:
    """What is in it stays, unless it is cancelled; it is done once it is empty."""
    queue = CallQueue()
    call = a_call()
    queue.put(call)
    queue.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        queue.put(a_call())
    was_done = queue.is_done
    queue.close(cancel=True)
    assert (was_done, queue.is_done) == (False, True)
    assert call.future.cancelled()


def test_needs_main_is_told_from_the_pickle() -> None:
    """A function of the main module is named in it."""
    assert not Call(Future(), pickle_call(pow, (1, 2), {})).needs_main
    assert Call(Future(), pickle_call(pow, ("__main__",), {})).needs_main


def test_a_reply_that_is_damaged_fails_the_call() -> None:
    """Nothing that a child sends can end the thread."""
    for reply in (_executor_child.RESULT + b"\x80", _executor_child.RESULT, b""):
        call = a_call()
        call.answer(reply)
        assert isinstance(call.future.exception(0), forkcore.NotPicklable)


def test_an_exception_that_exits_while_it_is_rebuilt_is_described() -> None:
    """Its own code runs in this process then, and may raise anything."""
    bad = pickle.dumps(Exiting())
    call = a_call()
    call.answer(_executor_child.RAISED + pickle.dumps((bad, "Exiting", "text", "trace", "")))
    error = call.future.exception(0)
    assert isinstance(error, forkcore.RemoteError)
    assert str(error) == "Exiting: text"


class Exiting:
    """Leaves where it is to be unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit",)
