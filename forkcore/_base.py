"""What `Template` is in both drivers: all that never waits."""

from __future__ import annotations

import warnings

from forkcore import _messages as m
from forkcore._client import TemplateCore
from forkcore._items import bytes_item, descriptor_item, hazard_fields, option_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping, Sequence
    from typing import Self

    from forkcore._items import Passable
    from forkcore._sync_link import SyncLink
    from forkcore.sandbox import Sandbox


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
