"""`forkcore.ForkExecutor` with functions, callbacks and users that do what they should not."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from forkcore import ForkExecutor, NotPicklable, RemoteError
from forkcore import _executor_child as child_side
from forkcore._executor_queue import CallQueue
from forkcore._executor_thread import CallThread

import calls
from helpers import PATIENCE, wait_for

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from forkcore._bell import Bell


@pytest.fixture
def executor(_no_leaks: None) -> Iterator[ForkExecutor]:
    """Give an executor with one child, which stays; afterwards it must still work."""
    with ForkExecutor(1, max_tasks_per_child=None) as made:
        yield made
        assert made.submit(calls.double, 2).result(PATIENCE) == 4


def test_an_exception_to_which_nothing_can_be_added(executor: ForkExecutor) -> None:
    """Another one stands for it, with its traceback."""
    error = executor.submit(calls.raise_sealed).exception(PATIENCE)
    assert isinstance(error, RemoteError)
    assert "on purpose" in str(error)
    assert "raise_sealed" in error.remote_traceback


def test_an_exception_that_ends_the_process_where_it_is_described(executor: ForkExecutor) -> None:
    """Is described without it."""
    error = executor.submit(calls.raise_leaver).exception(PATIENCE)
    assert isinstance(error, RemoteError)
    assert error.remote_type == "calls.Leaver"


def test_a_result_that_ends_the_process_where_it_is_pickled(executor: ForkExecutor) -> None:
    """Cannot be pickled."""
    error = executor.submit(calls.return_leaver).exception(PATIENCE)
    assert isinstance(error, NotPicklable)
    assert "SystemExit: 5" in str(error)


@pytest.mark.parametrize("reply", [b"", b"x" + pickle.dumps(5), b"?garbage", b"x" + pickle.dumps((1, 2, 3, 4, 5))])
def test_a_function_that_writes_to_the_channel(reply: bytes) -> None:
    """Spoils its own call, and no other."""
    with ForkExecutor(1) as executor:
        error = executor.submit(calls.answer_by_itself, child_side.pack(reply)).exception(PATIENCE)
        assert isinstance(error, NotPicklable | RemoteError)
        assert executor.submit(calls.double, 2).result(PATIENCE) == 4


def test_a_function_that_forks_and_returns_twice(executor: ForkExecutor) -> None:
    """The answer is that of the child; its fork takes no calls, and gives no answers."""
    own = executor.submit(calls.pid).result(PATIENCE)
    assert executor.submit(calls.fork_and_return).result(PATIENCE) == own
    assert executor.submit(calls.pid).result(PATIENCE) == own


def leave(_: Future[int]) -> None:
    """End the program, as it were."""
    sys.exit(3)


def interrupt(_: Future[int]) -> None:
    """Be interrupted."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("callback", [leave, interrupt])
def test_a_callback_that_would_end_a_thread(
    executor: ForkExecutor,
    callback: Callable[[Future[int]], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Is logged as any other that fails; calls go on."""
    first = executor.submit(calls.wait_for_file, str(tmp_path / "gate"))
    first.add_done_callback(callback)
    second = executor.submit(calls.double, 2)
    (tmp_path / "gate").touch()
    assert second.result(PATIENCE) == 4
    assert "exception calling callback" in caplog.text


def test_a_callback_that_shuts_down(tmp_path: Path) -> None:
    """No more calls are taken, and no end is waited for: that would be its own."""
    executor = ForkExecutor(1)
    done: Future[None] = Future()

    def shut_down(_: object) -> None:
        try:
            executor.shutdown()
        except BaseException as error:  # noqa: BLE001 - whatever it is
            done.set_exception(error)
        else:
            done.set_result(None)

    first = executor.submit(calls.wait_for_file, str(tmp_path / "gate"))
    first.add_done_callback(shut_down)
    second = executor.submit(calls.double, 2)
    (tmp_path / "gate").touch()
    done.result(PATIENCE)
    assert second.result(PATIENCE) == 4
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(calls.double, 3)
    executor.shutdown()


def test_a_future_that_its_user_resolves(executor: ForkExecutor, tmp_path: Path) -> None:
    """It keeps that; the answer has nowhere to go, and other calls go on."""
    first = executor.submit(calls.wait_for_file, str(tmp_path / "gate"))
    wait_for(first.running, "the call has begun")
    first.set_result(5)
    second = executor.submit(calls.double, 2)
    (tmp_path / "gate").touch()
    assert second.result(PATIENCE) == 4
    assert first.result() == 5


def test_a_submit_in_the_middle_of_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A destructor, or a handler of a signal, that submits a call while the executor starts: both are performed."""
    nested: list[Future[int]] = []
    listen = CallQueue.listen

    def interrupted(queue: CallQueue) -> Bell:
        nested.append(own.submit(calls.double, 1))
        return listen(queue)

    monkeypatch.setattr(CallQueue, "listen", interrupted)
    with ForkExecutor(1) as own:
        assert own.submit(calls.double, 2).result(PATIENCE) == 4
        assert [one.result(PATIENCE) for one in nested] == [2]


def test_a_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call raises, nothing is left, and the next one is performed."""

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with ForkExecutor(1) as executor:
        with monkeypatch.context() as patched:
            patched.setattr(CallThread, "start", fail)
            with pytest.raises(RuntimeError, match="can't start"):
                executor.submit(calls.double, 1)
        assert executor.submit(calls.double, 2).result(PATIENCE) == 4
