"""What `Template` and `Child` are in both drivers: all that never waits."""

from __future__ import annotations

import signal
import warnings

from forkcore import _messages as m
from forkcore._client import TemplateCore
from forkcore._items import bytes_item, descriptor_item, hazard_fields, option_fields
from forkcore._proc import ORPHANS, DirectProcess
from forkcore.errors import TemplateDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    import socket
    from collections.abc import Collection, Mapping, Sequence
    from typing import Self

    from forkcore._items import Passable
    from forkcore._running import ChildCore
    from forkcore._state import ExitStatus
    from forkcore._sync_link import SyncLink
    from forkcore.errors import ForkcoreError
    from forkcore.sandbox import Sandbox


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


class TemplateBase:
    """An idle process that can be forked, or can become a child itself."""

    def __init__(self, core: TemplateCore[SyncLink]) -> None:
        self._core = core

    def _release(self) -> TemplateCore[SyncLink]:
        """Hand the process over to an object of the other driver; this one is spent."""
        core = self._core
        core.check()
        self._core = TemplateCore(core.factory)
        self._core.spend("wrap")
        return core

    def _after_queueing(self) -> Self:
        """See to what could not be sent at once, where the driver can do that."""
        return self

    def fork(
        self,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        umask: int | None = None,
        sys_path: Sequence[str] | None = None,
        title: str | None = None,
        allow_hazards: Collection[str] | bool = (),
    ) -> Self:
        """Make another idle process from this one, with everything that was queued so far.

        What is not given here is as in this template, which has it from the moment when it was
        made. The process itself is made when it is needed: by `run`, in one step, or by the next
        call on either of the two.

        Args:
            env: The whole environment of the new process.
            cwd: Its working directory.
            umask: Its umask.
            sys_path: Its whole search path.
            title: What ``ps`` shows.
            allow_hazards: Names of threads (``*`` at the end for any ending) that need not keep
                the new process from being forked again; True for any.

        Raises:
            ObjectSpent: After `run`, `close` or `detach`.
        """
        return type(self)(
            self._core.fork(
                env=env,
                cwd=cwd,
                umask=umask,
                sys_path=sys_path,
                title=title,
                allow_hazards=allow_hazards,
            )
        )

    def preload(self, *modules: str) -> Self:
        """Import modules in the process.

        An exception there is raised by the next `ready` or `run`.
        """
        self._core.command(m.PRELOAD, [(m.MODULE, name.encode()) for name in modules])
        return self._after_queueing()

    def eval(self, code: str, *args: bytes | str) -> Self:
        """Execute code in the process, in the namespace of the template.

        An exception there is raised by the next `ready` or `run`.

        Args:
            code: Statements. They find `args` in the variable ``args``, a list of bytes.
            args: Bytes, or text that is encoded as UTF-8.
        """
        fields = [(m.CODE, code.encode()), *(bytes_item(arg).field for arg in args)]
        self._core.command(m.EVAL, fields)
        return self._after_queueing()

    def send_arg(self, *args: bytes | bytearray | memoryview | str) -> Self:
        """Append arguments to those that the function will get after the channel.

        Raises:
            FrameTooLarge: One of them is above 64 MiB.
        """
        for item in [bytes_item(arg) for arg in args]:
            self._core.send(item)
        return self._after_queueing()

    def send_fd(self, *things: Passable, newline: str | None = None) -> Self:
        """Append open files to the arguments of the function; they are duplicated now.

        Args:
            things: Descriptors, sockets or file objects; borrowed. They arrive as ints, as
                ``socket.socket`` and as files of the same mode and encoding, close-on-exec.
            newline: As for ``open``, where they are text files: how they treat the ends of lines,
                which a file object keeps to itself.

        Raises:
            ValueError: One of them is closed, or there is no such `newline`; nothing is sent.
            OSError: EMFILE; nothing is sent.
        """
        for item in [descriptor_item(thing, newline) for thing in things]:
            self._core.send(item)
        return self._after_queueing()

    def allow_hazards(self, *names: str) -> Self:
        """Let this template fork even where threads of these names are alive in it."""
        self._core.command(m.CONFIGURE, hazard_fields(names))
        return self._after_queueing()

    def fileno(self) -> int:
        """Give the control socket's descriptor, borrowed.

        It is readable when there is something to process: see `process_events`.
        """
        self._core.check()
        return self._core.materialise().sock.fileno()

    @property
    def is_usable(self) -> bool:
        """Whether it is not spent, and its process not known to be gone."""
        link = self._core.link
        return self._core.spent is None and not (link is not None and link.connection.is_lost)

    def process_events(self) -> None:
        """Take in what the template has reported; never waits."""
        link = self._core.link
        if link is not None:
            link.poll()

    @staticmethod
    def _run_options(*, title: str | None, reseed: bool, sandbox: Sandbox | None) -> list[m.Field]:
        options = option_fields(title=title)
        if sandbox is not None:
            options.append((m.SANDBOX, sandbox.encode()))
        if not reseed:
            options.append((m.KEEP_RANDOM, b""))
        return options

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None or core.spent is not None:
            return
        link = core.link
        if link is None or link.connection.is_lost:
            return
        warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
        core.close()

    def __repr__(self) -> str:
        process = self._core.process
        pid = None if process is None else process.pid
        return f"<forkcore.Template pid={pid} {self._core.spent or 'idle'}>"
