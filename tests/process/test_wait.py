"""Waiting for many children at once, blocking and in asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import os
import resource
import select
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import forkcore
from forkcore import aio

from helpers import exhaust_descriptors, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAKERS: dict[str, Callable[[forkcore.Template], forkcore.Template]] = {
    "fused": lambda template: template.fork(),
    "clone": lambda template: template.fork().ready(),
    "exec": lambda _: forkcore.new_exec(),
    "adopted": lambda template: forkcore.adopt(template.fork().detach()),
}
FIRST = concurrent.futures.FIRST_COMPLETED


def start(idle: forkcore.Template) -> forkcore.Child:
    """Make a child that stays until its channel is closed."""
    child = idle.run("targets:wait_for_end")
    assert child.channel.recv(4) == b"here"
    return child


def end(*children: forkcore.Child) -> None:
    """End children, and see that they do."""
    for child in children:
        child.channel.close()
        assert child.wait(timeout=20).code == 0


@pytest.fixture
def mixed(template: forkcore.Template) -> Iterator[list[forkcore.Child]]:
    """Give one running child of each kind; those that still run are ended afterwards."""
    children = [start(make(template)) for make in MAKERS.values()]
    yield children
    end(*children)
    # pytest holds the list, and so their control sockets, for longer than the check for leaks waits.
    children.clear()


def test_two_thousand_children_at_a_time(template: forkcore.Template) -> None:
    """All of them are done, and each has its own status."""
    template.preload("targets").ready()
    children = []
    for number in range(2000):
        child = template.fork().send_arg(b"%d" % (number % 200)).run("targets:exit_with")
        child.channel.close()
        children.append(child)
    done, not_done = forkcore.wait(children, timeout=60)
    assert (done, not_done) == (set(children), set())
    assert [child.returncode for child in children] == [number % 200 for number in range(2000)]


@pytest.mark.parametrize("number", range(len(MAKERS)))
def test_the_first_of_several_kinds(mixed: list[forkcore.Child], number: int) -> None:
    """Whichever ends, of whatever template or none, is found, and it alone."""
    mixed[number].channel.close()
    done, not_done = forkcore.wait(mixed, timeout=20, return_when=FIRST)
    assert done == {mixed[number]}
    assert not_done == set(mixed) - done
    # It is the first one still.
    assert forkcore.wait(mixed, return_when=FIRST).done == done


def test_all_of_several_kinds(mixed: list[forkcore.Child]) -> None:
    """After the timeout those are told apart that have ended, and later all have."""
    assert forkcore.wait(mixed, timeout=0) == (set(), set(mixed))
    mixed[1].channel.close()
    mixed[2].channel.close()
    wait_for(lambda: forkcore.wait(mixed, timeout=0).done == {mixed[1], mixed[2]}, "two have ended")
    assert forkcore.wait(mixed, timeout=0.01).not_done == {mixed[0], mixed[3]}
    for child in mixed:
        child.channel.close()
    assert forkcore.wait(mixed, timeout=20) == (set(mixed), set())


def test_nothing_ends_and_nothing_is_asked_for(mixed: list[forkcore.Child]) -> None:
    """A timeout without news, no children at all, and a text that is none of the two."""
    assert forkcore.wait(mixed, timeout=0.01, return_when=FIRST) == (set(), set(mixed))
    assert forkcore.wait([]) == (set(), set())
    assert forkcore.wait(iter([]), return_when=FIRST) == (set(), set())
    with pytest.raises(ValueError, match="FIRST_EXCEPTION"):
        forkcore.wait(mixed, return_when="FIRST_EXCEPTION")


def test_what_never_ran_and_what_is_lost_is_done(template: forkcore.Template) -> None:
    """Their poll says why."""
    running = start(template.fork())
    missing = template.fork().run("targets:missing")
    missing.channel.close()
    assert forkcore.wait([running, missing], timeout=20, return_when=FIRST).done == {missing}
    with pytest.raises(forkcore.TargetNotFound):
        missing.poll()
    os.kill(template.pid, signal.SIGKILL)
    assert forkcore.wait([running], timeout=20, return_when=FIRST).done == {running}
    with pytest.raises(forkcore.TemplateDied):
        running.poll()
    running.channel.close()


@pytest.mark.parametrize("has_what_it_wanted", [False, True])
def test_a_thread_that_waits_for_the_same_template(template: forkcore.Template, has_what_it_wanted: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """It reads, and this one hears of it; once it has what it wanted, this one reads."""
    its_own, other, last = (start(template.fork()) for _ in range(3))
    thread = threading.Thread(target=its_own.wait)
    thread.start()
    wait_for(lambda: its_own._core.link.is_reading, "the thread reads")

    def end_them() -> None:
        if has_what_it_wanted:
            its_own.channel.close()
            thread.join()
        other.channel.close()

    ender = threading.Thread(target=end_them)
    ender.start()
    assert forkcore.wait([last, other], timeout=20, return_when=FIRST) == ({other}, {last})
    ender.join()
    its_own.channel.close()
    thread.join()
    end(last)


def test_reading_goes_on_when_the_thread_that_read_gives_up(template: forkcore.Template) -> None:
    """It times out while this one listens to it, and the child ends after that."""
    first, second = start(template.fork()), start(template.fork())
    link = first._core.link

    def give_up() -> None:
        with pytest.raises(forkcore.TimeoutExpired):
            first.wait(timeout=0.2)
        second.channel.close()

    thread = threading.Thread(target=give_up)
    thread.start()
    wait_for(lambda: link.is_reading, "the thread reads")
    assert forkcore.wait([first, second], timeout=20, return_when=FIRST).done == {second}
    thread.join()
    end(first)


def test_threads_that_each_wait_for_the_first_of_many(template: forkcore.Template) -> None:
    """Nobody misses what another one has read."""
    groups = [[start(template.fork()) for _ in range(3)] for _ in range(6)]
    found: dict[int, bool] = {}

    def wait(number: int) -> None:
        pending = set(groups[number])
        while pending:
            done, pending = forkcore.wait(pending, timeout=20, return_when=FIRST)
            assert done
        found[number] = True

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for position in range(3):
        for group in groups:
            group[position].channel.close()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(6), True)


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Note each call of ``poll``, by its timeout."""
    calls: list[int | None] = []
    select_poll = select.poll

    class NotingPoll:
        def __init__(self) -> None:
            self._poll = select_poll()

        def register(self, *arguments: Any) -> None:
            self._poll.register(*arguments)

        def poll(self, timeout: int | None) -> Any:
            calls.append(timeout)
            return self._poll.poll(timeout)

    monkeypatch.setattr(select, "poll", NotingPoll)
    return calls


@pytest.mark.parametrize("number", range(len(MAKERS)))
@pytest.mark.parametrize("timeout", [None, 20])
def test_waiting_is_no_busy_loop(
    mixed: list[forkcore.Child], polls: list[int | None], number: int, timeout: float | None
) -> None:
    """It sleeps until something happens, and needs no handler of SIGCHLD: neither for one child nor for many."""
    for wait in (
        lambda: forkcore.wait(mixed, timeout, return_when=FIRST),
        lambda: mixed[number].wait(timeout),
        lambda: forkcore.wait([mixed[number]], timeout),
    ):
        timer = threading.Timer(0.05, mixed[number].channel.close)
        timer.start()
        wait()
        timer.join()
        assert mixed[number].returncode == 0
        # The end of the process, and of its control socket where it has one of its own, in either order.
        assert len(polls) <= 3
        polls.clear()
        mixed[number] = start(forkcore.new_exec())
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_waiting_works_without_pidfd(mixed: list[forkcore.Child], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: it looks now and then."""
    monkeypatch.delattr(os, "pidfd_open")
    child = start(forkcore.new_exec())
    child.channel.close()
    assert forkcore.wait([*mixed, child], timeout=20, return_when=FIRST).done == {child}


def test_far_deadlines(template: forkcore.Template) -> None:
    """A timeout of centuries is one."""
    far = 1e11
    template.ready(timeout=far)
    child = start(template.fork())
    threading.Timer(0, child.channel.close).start()
    assert forkcore.wait([child], timeout=far, return_when=FIRST).done == {child}
    child = start(forkcore.new_exec())
    child.channel.close()
    assert child.wait(timeout=far).code == 0
    child = start(template.fork())
    thread = threading.Thread(target=child.wait, args=(far,))
    thread.start()
    wait_for(lambda: child._core.link.is_reading, "the thread reads")
    child.channel.close()
    assert child.wait(timeout=far).code == 0
    thread.join()


def test_at_the_limit_of_descriptors(mixed: list[forkcore.Child]) -> None:
    """Only where a bell is needed, to hear from another thread, it fails, and has changed nothing."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    thread = threading.Thread(target=mixed[0].wait)
    # Idle processes that became children have closed their control sockets, which is seen here.
    assert forkcore.wait(mixed, timeout=0).done == set()
    try:
        exhaust_descriptors()
        assert forkcore.wait(mixed, timeout=0.01, return_when=FIRST).done == set()
        thread.start()
        wait_for(lambda: mixed[0]._core.link.is_reading, "the thread reads")
        with pytest.raises(OSError, match="Too many open files") as caught:
            forkcore.wait(mixed, timeout=20, return_when=FIRST)
        assert caught.value.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    mixed[3].channel.close()
    assert forkcore.wait(mixed, timeout=20, return_when=FIRST).done == {mixed[3]}
    mixed[0].channel.close()
    thread.join()


# In asyncio.


async def start_in_loop(idle: aio.Template) -> aio.Child:
    """Make a child that stays until its channel is closed."""
    child = await idle.run("targets:wait_for_end")
    assert await asyncio.get_running_loop().sock_recv(child.channel, 4) == b"here"
    return child


async def start_mixed(template: aio.Template) -> list[aio.Child]:
    """Make one child of each kind."""
    return [
        await start_in_loop(template.fork()),
        await start_in_loop(await template.fork().ready()),
        await start_in_loop(aio.new_exec()),
        await start_in_loop(aio.adopt(await template.fork().detach())),
    ]


def test_two_thousand_children_in_a_loop() -> None:
    """By one call, and by a task for each, which is what asyncio's own functions take."""

    async def main() -> None:
        async with aio.new().preload("targets") as template:
            for use_tasks in (False, True):
                children = []
                for number in range(2000):
                    child = await template.fork().send_arg(b"%d" % (number % 200)).run("targets:exit_with")
                    child.channel.close()
                    children.append(child)
                if use_tasks:
                    tasks = [asyncio.ensure_future(child.wait()) for child in children]
                    assert not (await asyncio.wait(tasks, timeout=60))[1]
                else:
                    assert await aio.wait(children, timeout=60) == (set(children), set())
                assert [child.returncode for child in children] == [number % 200 for number in range(2000)]

    asyncio.run(main())


def test_the_first_in_a_loop() -> None:
    """Of each kind, with a timeout before, and with a cancellation that loses nothing."""

    async def main() -> None:
        async with aio.new().preload("targets") as template:
            children = await start_mixed(template)
            pending = set(children)
            assert await aio.wait(children, 0.01, return_when=asyncio.FIRST_COMPLETED) == (set(), pending)
            assert await aio.wait(children, 0) == (set(), pending)
            for child in children:
                task = asyncio.ensure_future(aio.wait(pending, return_when=asyncio.FIRST_COMPLETED))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                task = asyncio.ensure_future(aio.wait(pending, 20, return_when=asyncio.FIRST_COMPLETED))
                await asyncio.sleep(0)
                child.channel.close()
                done, pending = await task
                assert done == {child}
            assert (await aio.wait(children)).done == set(children)
            assert await aio.wait([]) == (set(), set())
            with pytest.raises(ValueError, match="return_when"):
                await aio.wait(children, return_when="SOME")

    asyncio.run(main())


def test_a_lost_template_in_a_loop() -> None:
    """Its children count as ended; a child of no template is still waited for."""

    async def main() -> None:
        async with aio.new() as template:
            lost = await start_in_loop(template.fork())
            own = await start_in_loop(aio.new_exec())
            os.kill(await template.pid(), signal.SIGKILL)
            assert (await aio.wait([own, lost], 20, return_when=asyncio.FIRST_COMPLETED)).done == {lost}
            own.channel.close()
            assert (await aio.wait([own], 20)).done == {own}
            lost.channel.close()

    asyncio.run(main())


def test_a_timeout_that_is_no_number_is_refused(template: forkcore.Template) -> None:
    """At the call, in both drivers: it would be a deadline that never comes."""
    nan = float("nan")
    child = template.preload("targets").fork().run("targets:wait_for_end")
    assert child.channel.recv(4) == b"here"
    for call in (lambda: child.wait(nan), lambda: forkcore.wait([child], nan), lambda: template.ready(nan)):
        with pytest.raises(ValueError, match="NaN"):
            call()

    async def main() -> None:
        own = await aio.wrap(template.fork()).run("targets:nothing")
        with pytest.raises(ValueError, match="NaN"):
            await own.wait(nan)
        await own.wait()
        own.channel.close()

    asyncio.run(main())
    child.channel.close()
    assert child.wait(20).code == 0
