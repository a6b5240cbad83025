"""What `Child` is in both drivers: all that never waits."""

from __future__ import annotations

import signal
import warnings

from forkcore._proc import ORPHANS, DirectProcess
from forkcore.errors import TemplateDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from forkcore._running import ChildCore
    from forkcore._status import ExitStatus
    from forkcore._sync_link import SyncLink
    from forkcore.errors import ForkcoreError


class ChildBase:
    """A process that runs a function."""

    def __init__(self, core: ChildCore[SyncLink]) -> None:
        self._core = core
        self._is_detached = False
        self.channel: socket.socket = core.channel

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
        if not self.has_ended:
            self._poll()
        return self._result() if self.has_ended else None

    @property
    def has_ended(self) -> bool:
        """Whether the end of the child is known already, without looking for news.

        After `Template.process_events`: whether `poll` has something to say.
        """
        return self._core.is_ended

    def _poll(self) -> None:
        core = self._core
        if isinstance(core.process, DirectProcess):
            core.process.poll()
        for link in core.links:
            link.poll()

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
            self._send(link)

    def _send(self, link: SyncLink) -> None:
        """See to it that what is queued is sent: the driver's."""
        raise NotImplementedError

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

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None or self._is_detached or core.is_ended:
            return
        self._poll()
        if not core.is_ended:
            warnings.warn(f"{self!r} is still running", ResourceWarning, stacklevel=2, source=self)
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
