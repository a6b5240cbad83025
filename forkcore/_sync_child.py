"""`Child` for programs with threads, or without: the blocking driver."""

from __future__ import annotations

import signal
import time
import warnings

from forkcore._link import RemoteProcess
from forkcore._proc import ORPHANS, DirectProcess
from forkcore.errors import TemplateDied, TimeoutExpired

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from types import TracebackType

    from forkcore._client import ChildCore
    from forkcore._state import ExitStatus
    from forkcore._sync_link import SyncLink
    from forkcore.errors import ForkcoreError


class Child:
    """A process that runs a function; made by `Template.run`.

    Use it in a ``with`` statement, which closes the channel and waits, as ``subprocess.Popen``
    does.

    Attributes:
        channel: The parent's end of the child's own socket: blocking, close-on-exec. Its other
            end is the function's first argument. It reaches its end when the child is gone.
    """

    def __init__(self, core: ChildCore[SyncLink]) -> None:
        self._core = core
        self._is_detached = False
        self.channel: socket.socket = core.channel

    @property
    def pid(self) -> int:
        """The process id; waits until the template has forked.

        Raises:
            ForkFailed: The template could not fork.
            ForkHazard: The template had threads.
            TemplateDied: The template is gone.
        """
        core = self._core
        if core.pid is None:
            assert isinstance(core.process, RemoteProcess)
            link = core.process.link
            link.wait_until(lambda: core.is_started, None)
        if core.pid is None:
            raise self._failure()
        return core.pid

    @property
    def returncode(self) -> int | None:
        """As `poll` or `wait` found it: exit code, or the negative number of a signal."""
        status = self._core.status
        return None if status is None else status.returncode

    def poll(self) -> ExitStatus | None:
        """Give the exit status, or None while the child runs; never waits.

        Raises:
            TargetNotFound: The function could not be found.
            RemoteError: The child failed before it could call the function.
            ForkFailed: The template could not fork.
            ForkHazard: The template had threads.
            TemplateDied: The template is gone, and the status with it.
        """
        self._poll()
        return self._result() if self._core.is_ended else None

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for the end of the child.

        Args:
            timeout: Seconds; None waits for ever, 0 does not wait.

        Raises:
            TimeoutExpired: The child still runs.
            ForkcoreError: As `poll`.
        """
        if not self._wait(timeout):
            assert timeout is not None
            raise TimeoutExpired("waiting for a child", timeout)
        return self._result()

    def _poll(self) -> None:
        core = self._core
        if isinstance(core.process, DirectProcess):
            core.process.poll()
        for link in core.links:
            link.poll()

    def _wait(self, timeout: float | None) -> bool:
        core = self._core
        if core.is_ended:
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        if isinstance(core.process, DirectProcess):
            if core.process.wait(timeout) is None:
                return False
        else:
            process = core.process
            link = process.link
            if not link.wait_until(lambda: process.record.is_ended, timeout):
                return False
        own = core.link
        # At its end by now, or about to be.
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        return own.wait_until(lambda: core.is_ended, remaining)

    def _result(self) -> ExitStatus:
        core = self._core
        if core.failure is not None or core.status is None:
            raise self._failure()
        return core.status

    def _failure(self) -> ForkcoreError:
        failure = self._core.failure
        if failure is not None:
            return failure.with_traceback(None)
        return TemplateDied("the template of this child is gone, and its exit status with it")

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the child is known to have ended.

        The template sends it, which has not reaped the child then: it can hit no other process.

        Raises:
            TemplateDied: Nobody is there to send it.
        """
        self._poll()
        link = self._core.queue_signal(number)
        if link is not None:
            link.flush()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def detach(self) -> socket.socket:
        """Let the child go on by itself: nobody will ask for its exit status.

        Returns:
            The channel, owned by the caller.
        """
        self._is_detached = True
        return self.channel

    def fileno(self) -> int:
        """Give a descriptor that is readable when `poll` should be called.

        That of a pidfd or of the template's control socket, shared with the template's other
        children.
        """
        process = self._core.process
        if isinstance(process, DirectProcess):
            fd = process.fileno()
            return -1 if fd is None else fd
        return process.link.sock.fileno()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.channel.close()
        if not self._is_detached:
            self._wait(None)

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None or self._is_detached or core.is_ended:
            return
        self._poll()
        if not core.is_ended:
            warnings.warn(f"{self!r} is still running", ResourceWarning, source=self)
        if isinstance(core.process, DirectProcess):
            ORPHANS.add(core.process)

    def __repr__(self) -> str:
        core = self._core
        if core.failure is not None:
            state = type(core.failure).__name__
        elif core.status is not None:
            state = str(core.status)
        else:
            state = "running"
        return f"<forkcore.Child pid={core.pid} {state}>"
