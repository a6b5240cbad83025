"""`forkcore` for programs that run in an asyncio event loop.

The names are those of `forkcore`: what may wait there is a coroutine here, and never blocks the
loop; what queues is a plain call, and is sent in the background. `Template.pid` and `Child.pid` are
coroutines too, to be called.

Objects may be used in one loop after the other, and in several: a default template that serves
blocking code and several loops at once is the rule. Cancelling a coroutine that waits loses
nothing: what it waited for can be waited for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools

import forkcore
from forkcore import _many, _steps
from forkcore._base import TemplateBase
from forkcore._base_child import ChildBase
from forkcore._loops import perform, send, send_in_background
from forkcore.errors import TimeoutExpired

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import ParamSpec, Self

    from forkcore._running import ChildCore
    from forkcore._status import ExitStatus
    from forkcore._sync_link import SyncLink
    from forkcore.sandbox import Sandbox

    P = ParamSpec("P")

__all__ = ["Child", "Template", "adopt", "fork_here", "new", "new_exec", "wait", "wrap"]

_STREAM_LIMIT = 64 * 1024


class Child(ChildBase):
    """A process that runs a function; made by `Template.run`.

    Use it in an ``async with`` statement, which closes the channel and waits.

    Attributes:
        channel: The parent's end of the child's own socket: non-blocking, close-on-exec. For
            ``loop.sock_recv`` and its like; or see `open_streams`.
    """

    def __init__(self, core: ChildCore[SyncLink]) -> None:
        super().__init__(core)
        self.channel.setblocking(False)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def pid(self) -> int:
        """Wait until the template has forked, and give the process id.

        Raises:
            ForkFailed: The template could not fork.
            ForkHazard: The template had threads.
            TemplateDied: The template is gone.
        """
        pid = await perform(_steps.child_pid(self._core))
        if pid is None:
            raise self._failure()
        return pid

    async def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for the end of the child.

        Args:
            timeout: Seconds; None waits for ever, 0 does not wait.

        Raises:
            TimeoutExpired: The child still runs.
            ForkcoreError: As `poll`.
        """
        if not await perform(_steps.child_end(self._core, timeout)):
            raise TimeoutExpired("waiting for a child", timeout)
        return self._result()

    async def open_streams(self, *, limit: int = _STREAM_LIMIT) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Give a reader and a writer of the channel, the same ones at each call.

        From here on the channel belongs to them: closing the writer closes it.

        Args:
            limit: As for ``asyncio.open_connection``; that of the first call counts.
        """
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(sock=self.channel, limit=limit)
        return self._streams

    def _send(self, link: SyncLink) -> None:
        send(link)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._streams is None:
            self.channel.close()
        else:
            writer = self._streams[1]
            writer.close()
            # What the child did not read is no error of this block: its exit status tells.
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if not self._is_detached:
            await perform(_steps.child_end(self._core, None))


class Template(TemplateBase):
    """An idle process that can be forked, or can become a child itself.

    `fork`, `preload`, `eval`, `send_fd` and `send_arg` queue, in order, and return at once.
    """

    def _after_queueing(self) -> Self:
        link = self._core.link
        if link is not None and link.connection.outgoing:
            send_in_background(link)
        return self

    async def ready(self, timeout: float | None = None) -> Self:
        """Wait until all that was queued has been executed.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            RemoteError: `preload` or `eval` failed; carries the remote traceback.
            ForkFailed: The process could not be forked.
            ForkHazard: The template that it is forked from had threads.
            TemplateDied: The process is gone.
            TimeoutExpired: It takes longer.
        """
        await perform(_steps.ready(self._core, timeout))
        return self

    async def run(
        self,
        target: str,
        *,
        die_with_parent: bool = False,
        title: str | None = None,
        reseed: bool = True,
        timeout: float | None = None,
        sandbox: Sandbox | None = None,
    ) -> Child:
        """Call a function in the process; this object is spent.

        Waits only where an earlier `preload` or `eval` has not been confirmed yet, or where much
        is still to be sent.

        Args:
            target: "package.module:function", or ":name" for a name in the template's namespace.
                It is called as ``function(channel, *sent)``. In the child, the channel blocks.
            die_with_parent: SIGKILL for the child when this process ends, however it does.
            title: What ``ps`` shows; "forkcore: target" otherwise.
            reseed: Give it random numbers of its own, where a module keeps a global generator.
            timeout: Seconds, for the two cases in which it waits.
            sandbox: What the child may use and touch. Where the system does not give that, `poll` and `wait` of the
                child raise `SandboxUnavailable`.

        Raises:
            RemoteError: `preload` or `eval` failed.
            TemplateDied: The process, or the template it is forked from, is gone.
            TimeoutExpired: The template did not answer; nothing was changed.
            OSError: EMFILE; nothing was changed.
            LookupError: The sandbox names a user that is not there; nothing was changed.
        """
        options = self._run_options(title=title, reseed=reseed, sandbox=sandbox)
        core = await perform(_steps.run(self._core, target, options, timeout, bound=die_with_parent))
        # No waiting from here on: a cancellation would lose the child.
        child = Child(core)
        for link in core.links:
            send(link)
        return child

    async def close(self) -> None:
        """End the process once all that was queued has been executed; children go on.

        The template lingers until its last child is reaped, so that exit statuses are known.
        """
        await perform(_steps.close(self._core))

    async def detach(self) -> socket.socket:
        """Give the idle process away, as a plain socket; this object is spent.

        Whoever holds the socket, in this process or another, takes it up with `adopt`.

        Returns:
            The control socket, owned by the caller.

        Raises:
            ValueError: It has running children, whose exit status would be lost.
            RemoteError: `preload` or `eval` failed.
        """
        return await perform(_steps.detach(self._core))

    async def pid(self) -> int:
        """Give the process id; makes the process if need be, and waits until it is there.

        Raises:
            ForkFailed: It could not be forked.
            ForkcoreError: It was handed over by another process, and its pid is not known.
        """
        return await perform(_steps.template_pid(self._core))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


async def wait(
    children: Iterable[Child], timeout: float | None = None, *, return_when: str = _many.ALL_COMPLETED
) -> _many.Waited[Child]:
    """Wait for many children at once, of any templates.

    ``asyncio.wait`` needs a task for each of them, and this does not. Cancelling it loses nothing.

    Args:
        children: To wait for.
        timeout: Seconds, for all together; None waits for ever, 0 does not wait.
        return_when: "ALL_COMPLETED" or "FIRST_COMPLETED", as the constants of ``asyncio`` are.

    Returns:
        As `forkcore.wait`: two sets, those that have ended by then, and those that have not.

    Raises:
        ValueError: There is no such `return_when`.
        OSError: EMFILE.
    """
    return await perform(_many.wait_steps(children, timeout, return_when))


def wrap(template: forkcore.Template) -> Template:
    """Take a template over from blocking code; that object is spent.

    For what has no name of its own here: ``wrap(context.new())`` with a `forkcore.Context`.

    Raises:
        ObjectSpent: It was spent before.
    """
    return Template(template._release())  # noqa: SLF001 - both derive from TemplateBase


def _wrapped(make: Callable[P, forkcore.Template]) -> Callable[P, Template]:
    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Template:
        return wrap(make(*args, **kwargs))

    return made


new = _wrapped(forkcore.new)
new_exec = _wrapped(forkcore.new_exec)
fork_here = _wrapped(forkcore.fork_here)
adopt = _wrapped(forkcore.adopt)
