"""`Template` for programs with threads, or without: the blocking driver."""

from __future__ import annotations

from forkcore import _steps
from forkcore._base import TemplateBase
from forkcore._sync_child import Child, perform
from forkcore._sync_link import SyncLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from types import TracebackType
    from typing import Self

    from forkcore.sandbox import Sandbox


class Template(TemplateBase):
    """An idle process that can be forked, or can become a child itself.

    `fork`, `preload`, `eval`, `send_fd` and `send_arg` queue, in order, and return at once.
    """

    def ready(self, timeout: float | None = None) -> Self:
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
        perform(_steps.ready(self._core, timeout))
        return self

    def run(
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

        Waits only where an earlier `preload` or `eval` has not been confirmed yet, or where the
        socket to the template is full.

        Args:
            target: "package.module:function", or ":name" for a name in the template's namespace.
                It is called as ``function(channel, *sent)``.
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
        core = perform(_steps.run(self._core, target, options, timeout, bound=die_with_parent))
        child = Child(core)
        for link in core.links:
            # What does not go in time stays queued, and goes with the next call.
            link.flush(timeout)
        return child

    def close(self) -> None:
        """End the process once all that was queued has been executed; children go on.

        The template lingers until its last child is reaped, so that exit statuses are known.
        """
        perform(_steps.close(self._core))

    def detach(self) -> socket.socket:
        """Give the idle process away, as a plain socket; this object is spent.

        Whoever holds the socket, in this process or another, takes it up with `forkcore.adopt`.

        Returns:
            The control socket, owned by the caller.

        Raises:
            ValueError: It has running children, whose exit status would be lost.
            RemoteError: `preload` or `eval` failed.
        """
        return perform(_steps.detach(self._core))

    @property
    def pid(self) -> int:
        """The process id; makes the process if need be, and waits until it is there.

        Raises:
            ForkFailed: It could not be forked.
            ForkcoreError: It was handed over by another process, and its pid is not known.
        """
        return perform(_steps.template_pid(self._core))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


__all__ = ["Child", "SyncLink", "Template"]
