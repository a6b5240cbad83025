"""`forkcore.aio`, with real loops, processes and signals."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import forkcore
from forkcore import _proc, aio

from helpers import PATIENCE, is_gone, open_descriptors, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    Main = Callable[[], Coroutine[Any, Any, None]]


def run(main: Main) -> None:
    """Run a coroutine in a loop of its own that checks what asyncio can check."""
    asyncio.run(asyncio.wait_for(main(), PATIENCE), debug=True)


async def reply_of(child: aio.Child) -> Any:
    """Give the value that a function of `targets` has replied, and wait for the end of the child."""
    async with child:
        reader, _ = await child.open_streams()
        return pickle.loads(await reader.read())  # noqa: S301


async def arrival_of(child: aio.Child) -> aio.Child:
    """Wait until a child is in `targets.wait_for_end`."""
    assert await asyncio.get_running_loop().sock_recv(child.channel, 10) == b"here"
    return child


# One child.


@pytest.mark.parametrize("make", [aio.new, aio.new_exec])
def test_a_child_is_made_and_waited_for(make: Callable[[], aio.Template]) -> None:
    """In a fork of the default template, and in a process of its own."""

    async def main() -> None:
        child = await make().send_arg(b"3").run("targets:exit_with")
        async with child:
            status = await child.wait()
        assert status.code == child.returncode == 3
        assert status.usage is not None
        assert child.poll() == status
        assert await child.wait(0) == status
        assert await child.pid() > 0

    run(main)


def test_the_channel_does_not_block() -> None:
    """It is a socket for the loop's own calls, close-on-exec."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with await aio.new().run("targets:wait_for_end") as child:
            assert not child.channel.getblocking()
            assert not child.channel.get_inheritable()
            assert await loop.sock_recv(child.channel, 10) == b"here"
            with pytest.raises(BlockingIOError):
                child.channel.recv(1)
        assert child.returncode == 0

    run(main)


def test_streams_of_the_channel() -> None:
    """The same reader and writer at each call; the block closes them."""

    async def main() -> None:
        async with await aio.new().run("targets:wait_for_end") as child:
            reader, writer = await child.open_streams()
            assert await reader.readexactly(4) == b"here"
            assert await child.open_streams() == (reader, writer)
            writer.write(b"more")
            await writer.drain()
        assert child.channel.fileno() == -1
        assert child.returncode == 0

    run(main)


def test_streams_of_a_child_that_was_killed_end() -> None:
    """What is still under way to it is no error of the block."""

    async def main() -> None:
        async with await aio.new().run("targets:wait_for_end") as child:
            reader, writer = await child.open_streams()
            assert await reader.readexactly(4) == b"here"
            child.send_signal(signal.SIGSTOP)
            writer.write(bytes(10_000_000))
            child.kill()
            status = await child.wait()
        assert status.signal == signal.SIGKILL

    run(main)


def test_signals() -> None:
    """They are plain calls, as asyncio's own processes have them."""

    async def main() -> None:
        for send, number in [
            (aio.Child.terminate, signal.SIGTERM),
            (aio.Child.kill, signal.SIGKILL),
            (lambda child: child.send_signal(signal.SIGUSR1), signal.SIGUSR1),
        ]:
            for template in (aio.new(), aio.new_exec()):
                async with await template.run("targets:wait_for_end") as child:
                    await arrival_of(child)
                    send(child)
                    assert (await child.wait()).signal == number
                    send(child)

    run(main)


def test_a_detached_child_goes_on(tmp_path: Path) -> None:
    """The block does not wait for it."""

    async def main() -> None:
        child = await aio.new().run("targets:wait_for_end")
        pid = await child.pid()
        channel = child.detach()
        await asyncio.get_running_loop().sock_recv(channel, 10)
        assert not is_gone(pid)
        channel.close()
        await child.wait()

    run(main)


# Failures.


def test_what_fails_in_the_template_is_raised_by_ready_and_run() -> None:
    """With the remote traceback; preload, eval, and a function that is not there."""

    async def main() -> None:
        async with aio.new() as template:
            template.eval("1 / 0")
            with pytest.raises(forkcore.RemoteError, match="division") as caught:
                await template.ready()
            assert "1 / 0" in caught.value.remote_traceback or "<eval>" in caught.value.remote_traceback
        with pytest.raises(forkcore.RemoteError, match="no_such_module"):
            await aio.new().preload("no_such_module").run("targets:nothing")
        async with await aio.new().run("targets:no_such_name") as child:
            with pytest.raises(forkcore.TargetNotFound, match="no_such_name"):
                await child.wait()
        with pytest.raises(FileNotFoundError):
            aio.new_exec(interpreter="/no/such/python")

    run(main)


def test_a_spent_template_is_refused() -> None:
    """As in blocking code."""

    async def main() -> None:
        template = aio.new()
        async with await template.run("targets:nothing"):
            pass
        with pytest.raises(forkcore.ObjectSpent, match="run was called"):
            await template.ready()
        blocking = forkcore.new()
        async with aio.wrap(blocking):
            with pytest.raises(forkcore.ObjectSpent):
                blocking.ready()
            with pytest.raises(forkcore.ObjectSpent):
                aio.wrap(blocking)

    run(main)


def test_a_template_that_dies_wakes_every_waiter() -> None:
    """With TemplateDied; children go on."""

    async def main() -> None:
        template = aio.new_exec()
        children = [await template.fork().run("targets:wait_for_end") for _ in range(3)]
        waiters = [asyncio.create_task(child.wait()) for child in children for _ in range(2)]
        pids = [await child.pid() for child in children]
        for child in children:
            await arrival_of(child)
        pid = await template.pid()
        os.kill(pid, signal.SIGKILL)
        for result in await asyncio.gather(*waiters, return_exceptions=True):
            assert isinstance(result, forkcore.TemplateDied)
        assert not any(is_gone(one) for one in pids)
        with pytest.raises(forkcore.TemplateDied) as caught:
            await template.ready()
        assert caught.value.pid == pid
        assert caught.value.status is not None
        assert caught.value.status.signal == signal.SIGKILL
        await template.close()
        for child in children:
            child.channel.close()
        for one in pids:
            await asyncio.to_thread(wait_for, functools.partial(is_gone, one), "the child has ended")

    run(main)


def test_timeouts_change_nothing() -> None:
    """A stopped template is waited for in vain, and goes on afterwards."""

    async def main() -> None:
        async with aio.new_exec() as template:
            pid = await (await template.ready()).pid()
            os.kill(pid, signal.SIGSTOP)
            for timeout in (0, 0.01):
                with pytest.raises(forkcore.TimeoutExpired, match="template"):
                    await template.ready(timeout)
            template.preload("string")
            with pytest.raises(forkcore.TimeoutExpired):
                await template.run("targets:nothing", timeout=0)
            os.kill(pid, signal.SIGCONT)
            child = await arrival_of(await template.run("targets:wait_for_end"))
            with pytest.raises(forkcore.TimeoutExpired, match="child"):
                await child.wait(timeout=0.01)
            child.channel.close()
            assert (await child.wait(timeout=PATIENCE)).code == 0

    run(main)


# Cancellation, and several who wait.


@pytest.mark.parametrize("make", [aio.new, aio.new_exec])
def test_a_cancelled_wait_loses_nothing(make: Callable[[], aio.Template]) -> None:
    """Others go on waiting, and the one that was cancelled can wait again."""

    async def main() -> None:
        child = await make().run("targets:wait_for_end")
        waiters = [asyncio.create_task(child.wait()) for _ in range(3)]
        await arrival_of(child)
        waiters[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[0]
        assert not waiters[1].done()
        child.channel.close()
        assert await waiters[1] == await waiters[2] == await child.wait()

    run(main)


def test_a_cancelled_ready_loses_no_failure() -> None:
    """The next one still tells of it."""

    async def main() -> None:
        async with aio.new_exec() as template:
            pid = await (await template.ready()).pid()
            os.kill(pid, signal.SIGSTOP)
            template.preload("no_such_module")
            waiter = asyncio.create_task(template.ready())
            await asyncio.sleep(0)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            os.kill(pid, signal.SIGCONT)
            with pytest.raises(forkcore.RemoteError, match="no_such_module"):
                await template.fork().run("targets:nothing")

    run(main)


def test_a_cancelled_run_has_changed_nothing() -> None:
    """It can be called again."""

    async def main() -> None:
        template = aio.new_exec()
        pid = await (await template.ready()).pid()
        os.kill(pid, signal.SIGSTOP)
        template.preload("string")
        caller = asyncio.create_task(template.run("targets:nothing"))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        os.kill(pid, signal.SIGCONT)
        async with await template.run("targets:nothing") as child:
            assert (await child.wait()).code == 0

    run(main)


def test_a_cancelled_close_still_ends_the_template() -> None:
    """Even where it is stopped, and would not leave by itself."""

    async def main() -> None:
        template = aio.new_exec()
        pid = await (await template.ready()).pid()
        os.kill(pid, signal.SIGSTOP)
        closer = asyncio.create_task(template.close())
        await asyncio.sleep(0)
        closer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closer
        os.kill(pid, signal.SIGCONT)
        del template, closer
        gc.collect()
        await asyncio.to_thread(wait_for, lambda: is_gone(pid), "the template has ended")

    run(main)


def test_a_stopped_template_is_closed_all_the_same() -> None:
    """By SIGKILL, after a while."""

    async def main() -> None:
        template = aio.new_exec()
        pid = await (await template.ready()).pid()
        os.kill(pid, signal.SIGSTOP)
        await template.close()
        assert is_gone(pid)

    run(main)


def test_hundreds_of_children_at_once() -> None:
    """Each gives its own status to its own waiter."""

    async def main() -> None:
        async with aio.new().preload("targets") as template:
            children = [await template.fork().send_arg(b"%d" % (n % 7)).run("targets:exit_with") for n in range(200)]
            statuses = await asyncio.gather(*(child.wait() for child in children))
            assert [status.code for status in statuses] == [n % 7 for n in range(200)]
            for child in children:
                child.channel.close()

    run(main)


# Sending much.


def test_much_is_sent_in_the_background() -> None:
    """The loop goes on meanwhile, and the order is kept."""

    async def main() -> None:
        template = aio.new_exec()
        for size in (20_000_000, 0, 100, 20_000_000):
            template.send_arg(bytes(size))
        assert await reply_of(await template.run("targets:lengths")) == [20_000_000, 0, 100, 20_000_000]

    run(main)


def test_what_was_queued_before_the_loop_ran_is_sent_by_it() -> None:
    """A template can be prepared outside of a loop."""
    template = aio.new_exec().send_arg(bytes(5_000_000))

    async def main() -> None:
        assert await reply_of(await template.run("targets:lengths")) == [5_000_000]

    run(main)


def test_many_descriptors_are_sent(tmp_path: Path) -> None:
    """More than what may be under way at a time."""
    path = tmp_path / "file"
    path.write_bytes(b"")

    async def main() -> None:
        template = aio.new_exec()
        with path.open("rb") as file:
            for _ in range(600):
                template.send_fd(file.fileno())
        said = await reply_of(await template.run("targets:describe"))
        assert [one["type"] for one in said] == ["int"] * 600

    run(main)


# Templates.


def test_an_idle_template_is_handed_over() -> None:
    """To blocking code and back."""

    async def main() -> None:
        template = aio.new().send_arg(b"kept")
        blocking = forkcore.adopt(await template.detach())
        again = aio.adopt(blocking.detach())
        assert await reply_of(await again.run("targets:echo_arguments")) == (b"kept",)

    run(main)


def test_a_fork_of_a_program_with_a_running_loop_is_refused() -> None:
    """Unless it is allowed in the open; then the loop does not run there."""

    async def main() -> None:
        with pytest.raises(forkcore.ForkHazard, match="asyncio loop"):
            aio.fork_here()
        template = aio.fork_here(namespace={"say": say}, allow_hazards=["asyncio loop"])
        async with await template.run(":say") as child:
            reader, _ = await child.open_streams()
            assert await reader.read() == b"no loop"

    run(main)


def say(channel: Any) -> None:
    """Say whether a loop is running in this child."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        channel.sendall(b"no loop")


def test_an_early_template_serves_loops_too(tmp_path: Path) -> None:
    """Nothing is executed after `install`."""
    script = tmp_path / "script.py"
    script.write_text(
        "import forkcore.early\n"
        "forkcore.early.install()\n"
        "import asyncio, os, sys\n"
        "from forkcore import aio\n"
        "sys.frozen = True\n"
        "async def main():\n"
        "    for make in (aio.new, aio.new_exec):\n"
        "        template = make()\n"
        "        pid = await template.pid()\n"
        "        async with await template.run('os:getpid') as child:\n"
        "            assert await child.pid() == pid\n"
        "    print('done')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # getpid takes no argument, which is as good a function as any.
    assert done.stdout == "done\n", done.stderr


# Loops.


def test_objects_are_used_in_one_loop_after_the_other() -> None:
    """Nothing in them belongs to the first."""
    template = aio.new_exec()
    children: list[aio.Child] = []

    async def begin() -> None:
        children.append(await arrival_of(await template.fork().run("targets:wait_for_end")))

    async def end() -> None:
        children[0].channel.close()
        assert (await children[0].wait()).code == 0
        await template.close()

    run(begin)
    run(end)


def test_loops_and_threads_wait_for_the_same_template() -> None:
    """Whoever reads tells the others."""
    blocking = [forkcore.new().run("targets:wait_for_end") for _ in range(4)]
    statuses: list[object] = []

    async def one_of_many() -> None:
        children = [await aio.new().run("targets:wait_for_end") for _ in range(4)]
        for child in children:
            await arrival_of(child)
        waiters = [asyncio.create_task(child.wait()) for child in children]
        for child in children:
            child.channel.close()
        statuses.extend([status.code for status in await asyncio.gather(*waiters)])

    def wait_for_one(child: forkcore.Child) -> None:
        statuses.append(child.wait(PATIENCE).code)

    threads = [threading.Thread(target=run, args=(one_of_many,)) for _ in range(3)]
    threads += [threading.Thread(target=wait_for_one, args=(child,)) for child in blocking]
    for thread in threads:
        thread.start()
    for child in blocking:
        assert child.channel.recv(10) == b"here"
        child.channel.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert statuses == [0] * 16


def test_a_loop_that_is_closed_leaves_no_descriptor() -> None:
    """Nor does it keep a template or a child from being collected, whoever waited there."""
    forkcore.new().close()
    before = set(open_descriptors().items())

    async def main() -> None:
        template = aio.new_exec()
        child = await template.fork().run("targets:wait_for_end")
        waiter = asyncio.create_task(child.wait())
        await arrival_of(child)
        assert not waiter.done()
        child.channel.close()
        child.detach()
        await template.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    # The task that still waits is neither cancelled nor finished: it is dropped with the loop.
    assert asyncio.all_tasks(loop)
    loop.close()
    del loop
    gc.collect()
    wait_for(lambda: set(open_descriptors().items()) <= before, "the descriptors of before")


def test_a_forgotten_template_and_a_forgotten_child_warn() -> None:
    """As in blocking code."""

    async def main() -> None:
        template = await aio.new().ready()
        with pytest.warns(ResourceWarning, match="Template.* was not closed"):
            del template
        child = await aio.new().run("targets:wait_for_end")
        channel = child.channel
        with pytest.warns(ResourceWarning, match="Child.* is still running"):
            del child
        channel.close()

    run(main)


def test_waiting_works_without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: by a thread."""
    monkeypatch.setattr(_proc, "_open_pidfd", lambda _: None)

    async def main() -> None:
        async with await aio.new_exec().send_arg(b"4").run("targets:exit_with") as child:
            assert (await child.wait()).code == 4
        async with await aio.new_exec().run("targets:wait_for_end") as child:
            with pytest.raises(forkcore.TimeoutExpired):
                await child.wait(0.01)

    run(main)


def test_the_package_loads_asyncio_for_aio_only() -> None:
    """Blocking code does not pay for it."""
    code = (
        "import sys, forkcore, forkcore.early\n"
        "with forkcore.new().run('os:getcwd') as child: pass\n"
        "forkcore.ForkExecutor\n"
        "assert 'asyncio' not in sys.modules\n"
        "forkcore.aio\n"
        "assert 'asyncio' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, stderr=subprocess.DEVNULL)
