"""What `Child` does, the same for both drivers; nothing here waits."""

from __future__ import annotations

import signal
from typing import Generic

from forkcore import _messages as m
from forkcore._link import LinkT, RemoteProcess
from forkcore._proc import DirectProcess
from forkcore.errors import TemplateDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from forkcore._state import ChildRecord
    from forkcore._status import ExitStatus
    from forkcore.errors import ForkcoreError


class ChildCore(Generic[LinkT]):
    """A running child: its channel, and where its exit status comes from."""

    def __init__(
        self,
        channel: socket.socket,
        process: RemoteProcess[LinkT] | DirectProcess,
        link: LinkT,
        record: ChildRecord,
    ) -> None:
        """Put together what belongs to one child.

        Args:
            channel: The parent's end; owned.
            process: Tells pid and exit status.
            link: The control socket over which the function was asked for.
            record: Of the child there: it tells if the function could not be called.
        """
        self.channel = channel
        self.process = process
        self.link = link
        self.record = record

    @property
    def links(self) -> list[LinkT]:
        """Control sockets that tell of this child."""
        if isinstance(self.process, RemoteProcess) and self.process.link is not self.link:
            return [self.process.link, self.link]
        return [self.link]

    @property
    def pid(self) -> int | None:
        """The process id, where it is known."""
        return self.process.pid

    @property
    def status(self) -> ExitStatus | None:
        """The exit status, where it is known."""
        return self.process.status

    @property
    def failure(self) -> ForkcoreError | None:
        """Why the function was not called."""
        if self.record.failure is None and isinstance(self.process, RemoteProcess):
            return self.process.failure
        return self.record.failure

    @property
    def is_ended(self) -> bool:
        """Whether all is known that ever will be."""
        if isinstance(self.process, DirectProcess):
            return self.process.status is not None and self.record.is_ended
        # An idle process that became the child reports a failure over its own control socket.
        return self.process.record.is_ended and (self.record.is_ended or self.process.failure is not None)

    @property
    def is_started(self) -> bool:
        """Whether the pid is known, or will never be."""
        return isinstance(self.process, DirectProcess) or self.process.record.is_started

    def queue_signal(self, number: int) -> LinkT | None:
        """Send a signal, or queue the command that does.

        Returns:
            Where it is queued.

        Raises:
            TemplateDied: Nobody is there to send it.
            ValueError: No such signal.
        """
        if not 0 <= number < signal.NSIG:
            raise ValueError(f"no such signal: {number}")
        if isinstance(self.process, DirectProcess):
            self.process.send_signal(number)
            return None
        link, record = self.process.link, self.process.record
        with link.lock:
            if record.lost and record.status is None:
                raise TemplateDied("the template that could send the signal is gone")
            if record.is_ended:
                return None
            link.connection.queue(m.SIGNAL, record.identifier, b"%d" % number)
        return link
