"""`forkcore.aio`, cancelled at each await there is, before and after what it waits for has come."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from forkcore import aio
from forkcore._proc import ORPHANS

from helpers import PATIENCE, open_descriptors, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    Action = Callable[[aio.Template], Coroutine[Any, Any, None]]

# None of the actions suspends as often as this.
MANY = 100


class CancelledAt:
    """Awaits a coroutine, and cancels the task that does so at one of its suspensions."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], number: int, *, has_come: bool) -> None:
        """Wrap a coroutine.

        Args:
            coroutine: Consumed.
            number: Of the suspension, from 0.
            has_come: Whether the task is cancelled when what it waits for has come already, and it has not gone on yet.
        """
        self._coroutine = coroutine
        self._number = number
        self._has_come = has_come
        self.is_reached = False

    def __await__(self) -> Generator[Any, Any, None]:
        """Go through the suspensions."""
        task = asyncio.current_task()
        assert task is not None
        inner = self._coroutine.__await__()
        send: Callable[[], Any] = lambda: next(inner)  # noqa: E731 - replaced in each round
        for number in range(MANY):
            try:
                future = send()
            except StopIteration:
                return
            if number == self._number:
                self.is_reached = True
                if self._has_come and future is not None:
                    future.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            try:
                yield future
            except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
                send = lambda error=error: inner.throw(error)  # type: ignore[misc]  # noqa: E731
            else:
                send = lambda: next(inner)  # noqa: E731
        raise AssertionError("more suspensions than expected")


async def clone(template: aio.Template) -> None:
    """Make an idle process, ask for it, and end it."""
    async with template.fork() as idle:
        await idle.preload("string").ready()
        await idle.pid()


async def execute(_: aio.Template) -> None:
    """Execute an interpreter, with a child of it."""
    async with aio.new_exec() as own:
        await own.ready()
        async with await own.fork().run("targets:nothing") as child:
            await child.pid()


async def stream(template: aio.Template) -> None:
    """Talk to a child by streams."""
    async with await template.fork().run("targets:wait_for_end") as child:
        reader, _ = await child.open_streams()
        assert await reader.readexactly(4) == b"here"


async def wait(template: aio.Template) -> None:
    """Wait in each of the ways there are, with a time limit and without."""
    async with await template.fork().run("targets:wait_for_end", die_with_parent=True) as child:
        await asyncio.get_running_loop().sock_recv(child.channel, 4)
        child.kill()
        await aio.wait([child], PATIENCE, return_when="FIRST_COMPLETED")
        await child.wait(PATIENCE)


async def run_in_place(_: aio.Template) -> None:
    """Wait for a process that is a child of this one."""
    async with aio.new_exec() as own, await own.run("targets:wait_for_end") as child:
        await asyncio.get_running_loop().sock_recv(child.channel, 4)


async def run_unconfirmed(template: aio.Template) -> None:
    """Run in a process that must be asked before."""
    async with template.fork().preload("string") as idle, await idle.run("targets:nothing") as child:
        await child.wait()


async def hand_over(template: aio.Template) -> None:
    """Give an idle process away, and take it up again."""
    async with template.fork() as idle, aio.adopt(await idle.detach()) as adopted:
        await adopted.ready()


@pytest.mark.parametrize("has_come", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("action", [clone, execute, stream, wait, run_in_place, run_unconfirmed, hand_over])
def test_cancelled_at_each_await(action: Action, has_come: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter of the test
    """Nothing stays open, nothing is left unsaid, and the template serves the next one."""
    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        async with aio.new() as template:
            await template.ready()
            await action(template)
            gc.collect()
            before = set(open_descriptors().items())
            for number in range(MANY):
                call = CancelledAt(action(template), number, has_come=has_come)
                task = asyncio.ensure_future(_await(call))
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait_for(asyncio.shield(task), PATIENCE)
                del task
                gc.collect()
                await asyncio.to_thread(wait_for, lambda: is_as(before), f"the descriptors of before, {number}")
                if not call.is_reached:
                    break  # Few suspensions, or even none, where answers come before anybody waits for them.
            await action(template)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(asyncio.wait_for(main(), 3 * PATIENCE))
    gc.collect()
    assert complaints == []


def is_as(before: set[tuple[int, str]]) -> bool:
    """Whether no further descriptors are open, once templates whose end nobody awaited are reaped."""
    ORPHANS.reap()
    return set(open_descriptors().items()) <= before


async def _await(call: CancelledAt) -> None:
    await call
