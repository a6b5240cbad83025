"""What goes wrong in the system around `forkcore.aio` and `forkcore.ForkExecutor`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import threading
from typing import TYPE_CHECKING

import pytest

import forkcore
from forkcore import ForkExecutor, aio
from forkcore._executor_calls import Performer

import calls
from helpers import PATIENCE, children, open_descriptors, process_state, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def no_more_descriptors(room: int = 0) -> Iterator[None]:
    """Let the process have so many descriptors more than it has, and no others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = []
    highest = max(open_descriptors())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 64, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        for _ in range(room):
            os.close(fillers.pop())
        yield
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("room", range(5))
def test_an_executor_that_cannot_start_says_so(room: int) -> None:
    """The first submit raises, nothing is left, and it can be tried again."""
    forkcore.new().close()
    with ForkExecutor(1) as executor:
        before = open_descriptors()
        with no_more_descriptors(room), pytest.raises(OSError, match="Too many open files"):
            executor.submit(calls.double, 1)
        assert open_descriptors() == before
        assert executor.submit(calls.double, 1).result(PATIENCE) == 2


def test_a_call_for_which_no_child_can_be_made_fails() -> None:
    """With EMFILE; the next one succeeds."""
    with ForkExecutor(1) as executor:
        assert executor.submit(calls.double, 1).result(PATIENCE) == 2
        wait_for(lambda: not executor._thread or not executor._thread._performers, "the child has ended")
        with no_more_descriptors():
            error = executor.submit(calls.double, 1).exception(PATIENCE)
        assert isinstance(error, OSError)
        assert error.errno == errno.EMFILE
        assert executor.submit(calls.double, 2).result(PATIENCE) == 4


def test_a_bug_in_the_thread_leaves_no_future_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each future gets the exception, and what was opened is closed."""

    def fail(performer: Performer) -> None:
        raise ZeroDivisionError

    # That of pytest would keep the exception, and with it all that its traceback refers to.
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    executor = ForkExecutor(1)
    assert executor.submit(calls.double, 1).result(PATIENCE) == 2
    monkeypatch.setattr(Performer, "read_some", fail)
    futures = []
    with contextlib.suppress(RuntimeError):  # what is submitted after the end is refused
        futures = [executor.submit(calls.double, number) for number in range(3)]
    for future in futures:
        assert isinstance(future.exception(PATIENCE), ZeroDivisionError)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(calls.double, 1)


def test_a_stopped_template_delays_calls_and_loses_none() -> None:
    """They go on with it."""
    with ForkExecutor(2) as executor:
        template = executor.submit(calls.parent_pid).result(PATIENCE)
        os.kill(template, signal.SIGSTOP)
        wait_for(lambda: process_state(template).endswith("T"), "the template has stopped")
        futures = [executor.submit(calls.double, number) for number in range(5)]
        os.kill(template, signal.SIGCONT)
        assert [future.result(PATIENCE) for future in futures] == [0, 2, 4, 6, 8]


def test_a_loop_at_the_limit_of_descriptors() -> None:
    """Making a child raises and changes nothing; waiting for one that is there needs none, or says so."""

    async def main() -> None:
        async with aio.new_exec() as template:
            await template.ready()
            clone = template.fork()
            before = open_descriptors()
            with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
                await clone.run("targets:nothing")
            assert open_descriptors() == before
            child = await clone.run("targets:nothing")
            with no_more_descriptors():
                assert (await child.wait()).code == 0
            child.channel.close()
        direct = await aio.new_exec().run("targets:nothing")
        # The duplicate of the pidfd cannot be made: unless the child has ended before, that is said.
        with no_more_descriptors(), contextlib.suppress(OSError):
            await direct.wait()
        assert (await direct.wait()).code == 0
        direct.channel.close()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_storm_of_signals_disturbs_nobody() -> None:
    """Neither a loop nor an executor, whose system calls are interrupted all the time."""
    stop = threading.Event()
    previous = signal.signal(signal.SIGUSR1, lambda *_: None)
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def storm() -> None:
        while not stop.wait(0.0005):
            signal.pthread_kill(main_thread, signal.SIGUSR1)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ForkExecutor(2) as executor:
            futures = [loop.run_in_executor(executor, calls.double, number) for number in range(20)]
            children = [await aio.new().run("targets:nothing") for _ in range(10)]
            assert [(await child.wait()).code for child in children] == [0] * 10
            for child in children:
                child.channel.close()
            assert await asyncio.gather(*futures) == [2 * number for number in range(20)]

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        asyncio.run(asyncio.wait_for(main(), PATIENCE))
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, previous)


def test_nothing_accumulates_over_many_calls() -> None:
    """No descriptor, no process, no zombie; here and in the template."""
    with ForkExecutor(2) as executor:
        template = executor.submit(calls.parent_pid).result(PATIENCE)
        descriptors = len(os.listdir(f"/proc/{template}/fd"))  # noqa: PTH208
        list(executor.map(calls.double, range(100)))
        thread = executor._thread
        assert thread is not None
        wait_for(lambda: not thread._performers, "all children have ended")
        assert len(os.listdir(f"/proc/{template}/fd")) == descriptors  # noqa: PTH208
        assert not any(state.endswith("Z") for state in children().values())
