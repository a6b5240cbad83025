"""`Template` for programs with threads, or without: the blocking driver."""

from __future__ import annotations

import os
import signal
import socket
import warnings

from forkcore import _messages as m
from forkcore._client import TemplateCore, died
from forkcore._items import bytes_item, descriptor_item, hazard_fields, option_fields
from forkcore._link import RemoteProcess
from forkcore._proc import ORPHANS, DirectProcess
from forkcore._sync_child import Child
from forkcore._sync_link import SyncLink
from forkcore.errors import ForkcoreError, TimeoutExpired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from types import TracebackType

    from forkcore._items import Passable

# How long `close` waits for an idle process that has nothing left to do, before it kills it.
_GRACE = 2.0


class Template:
    """An idle process that can be forked, or can become a child itself.

    `fork`, `preload`, `eval`, `send_fd` and `send_arg` queue, in order, and return at once.
    """

    def __init__(self, core: TemplateCore[SyncLink]) -> None:
        self._core = core

    # Queueing.

    def fork(
        self,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        umask: int | None = None,
        sys_path: Sequence[str] | None = None,
        title: str | None = None,
        allow_hazards: Collection[str] | bool = (),
    ) -> Template:
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
        return Template(
            self._core.fork(
                env=env,
                cwd=cwd,
                umask=umask,
                sys_path=sys_path,
                title=title,
                allow_hazards=allow_hazards,
            )
        )

    def preload(self, *modules: str) -> Template:
        """Import modules in the process.

        An exception there is raised by the next `ready` or `run`.
        """
        self._core.command(m.PRELOAD, [(m.MODULE, name.encode()) for name in modules])
        return self

    def eval(self, code: str, *args: bytes | str) -> Template:
        """Execute code in the process, in the namespace of the template.

        An exception there is raised by the next `ready` or `run`.

        Args:
            code: Statements. They find `args` in the variable ``args``, a list of bytes.
            args: Bytes, or text that is encoded as UTF-8.
        """
        fields = [(m.CODE, code.encode()), *(bytes_item(arg).field for arg in args)]
        self._core.command(m.EVAL, fields)
        return self

    def send_arg(self, *args: bytes | bytearray | memoryview | str) -> Template:
        """Append arguments to those that the function will get after the channel.

        Raises:
            FrameTooLarge: One of them is above 64 MiB.
        """
        for item in [bytes_item(arg) for arg in args]:
            self._core.send(item)
        return self

    def send_fd(self, *things: Passable) -> Template:
        """Append open files to the arguments of the function; they are duplicated now.

        Args:
            things: Descriptors, sockets or file objects; borrowed. They arrive as ints, as
                ``socket.socket`` and as files of the same mode and encoding, close-on-exec.

        Raises:
            ValueError: One of them is closed; nothing is sent.
            OSError: EMFILE; nothing is sent.
        """
        for item in [descriptor_item(thing) for thing in things]:
            self._core.send(item)
        return self

    # Waiting.

    def ready(self, timeout: float | None = None) -> Template:
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
        self._core.check()
        link = self._core.materialise()
        self._core.materialise_clones()
        self._confirm(link, timeout, self._core.process)
        return self

    @staticmethod
    def _confirm(
        link: SyncLink, timeout: float | None, process: RemoteProcess[SyncLink] | DirectProcess | None
    ) -> None:
        connection = link.connection
        with link.lock:
            if connection.is_lost:
                raise _death(process)
            request = connection.ping()
        if not link.wait_until(lambda: connection.is_answered(request), timeout):
            with link.lock:
                connection.is_unconfirmed = True
            assert timeout is not None
            raise TimeoutExpired("waiting for a template", timeout)
        if connection.failure is not None:
            raise connection.failure.with_traceback(None)
        if connection.is_lost:
            raise _death(process)

    def run(
        self,
        target: str,
        *,
        die_with_parent: bool = False,
        title: str | None = None,
        reseed: bool = True,
        timeout: float | None = None,
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

        Raises:
            RemoteError: `preload` or `eval` failed.
            TemplateDied: The process, or the template it is forked from, is gone.
            TimeoutExpired: The template did not answer; nothing was changed.
            OSError: EMFILE; nothing was changed.
        """
        core = self._core
        core.check()
        self._confirm_before_run(timeout)
        link = core.nearest_link
        if link is not None and link.connection.outgoing:
            if not link.flush(timeout):
                assert timeout is not None
                raise TimeoutExpired("sending to a template", timeout)
        options = option_fields(title=title)
        if not reseed:
            options.append((m.KEEP_RANDOM, b""))
        child = Child(core.run(target, options, bound=die_with_parent))
        for link in child._core.links:
            # What does not go in time stays queued, and goes with the next call.
            link.flush(timeout)
        return child

    def _confirm_before_run(self, timeout: float | None) -> None:
        core = self._core
        link = core.unconfirmed_link
        if link is None:
            return
        try:
            self._confirm(link, timeout, _process_of(core, link))
        except TimeoutExpired:
            raise
        except ForkcoreError:
            # Of no use any more, and often nobody holds it: ``new().preload("x").run("y:z")``.
            if link is core.link:
                self.close()
            raise

    def allow_hazards(self, *names: str) -> Template:
        """Let this template fork even where threads of these names are alive in it."""
        self._core.command(m.CONFIGURE, hazard_fields(names))
        return self

    # The end.

    def close(self) -> None:
        """End the process once all that was queued has been executed; children go on.

        The template lingers until its last child is reaped, so that exit statuses are known.
        """
        closing = self._core.close()
        if closing is None:
            return
        link, process = closing
        link.flush(_GRACE)
        link.poll()
        with link.lock:
            has_children = not all(one.is_leaving for one in link.connection.children.values())
            stays = link.connection.may_run_code or has_children
        if isinstance(process, DirectProcess):
            if not stays:
                _end(link, process)
            ORPHANS.add(process)
        elif process is not None and not stays:
            process.record.is_leaving = True
        if not stays:
            link.lose()

    def detach(self) -> socket.socket:
        """Give the idle process away, as a plain socket; this object is spent.

        Whoever holds the socket, in this process or another, takes it up with `forkcore.adopt`.

        Returns:
            The control socket, owned by the caller.

        Raises:
            ValueError: It has running children, whose exit status would be lost.
            RemoteError: `preload` or `eval` failed.
        """
        self.ready()
        link = self._core.materialise()
        with link.lock:
            if link.connection.children:
                raise ValueError("detach of a template that has running children")
            duplicate = os.dup(link.sock.fileno())
            self._core.spend("detach")
            link.lose()
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=duplicate)

    # Looking.

    @property
    def pid(self) -> int:
        """The process id; makes the process if need be, and waits until it is there.

        Raises:
            ForkFailed: It could not be forked.
            ForkcoreError: It was handed over by another process, and its pid is not known.
        """
        self._core.check()
        self._core.materialise()
        process = self._core.process
        if process is None:
            raise ForkcoreError("the pid of a template that was handed over is not known here")
        if process.pid is None and isinstance(process, RemoteProcess):
            process.link.wait_until(lambda: process.record.is_started, None)
        if process.pid is None:
            raise died(process)
        return process.pid

    def fileno(self) -> int:
        """Give the control socket's descriptor, borrowed.

        It is readable when there is something to process: see `process_events`.
        """
        self._core.check()
        return self._core.materialise().sock.fileno()

    def process_events(self) -> None:
        """Take in what the template has reported; never waits."""
        link = self._core.link
        if link is not None:
            link.poll()

    def __enter__(self) -> Template:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None or core.spent is not None:
            return
        link = core.link
        if link is None or link.connection.is_lost:
            return
        warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self)
        core.close()

    def __repr__(self) -> str:
        process = self._core.process
        pid = None if process is None else process.pid
        return f"<forkcore.Template pid={pid} {self._core.spent or 'idle'}>"


def _end(link: SyncLink, process: DirectProcess) -> None:
    """Wait for a process that has nothing left to do, and kill it where it does not leave."""
    is_leaving = link.wait_until(lambda: False, _GRACE)
    if not is_leaving or process.wait(_GRACE) is None:
        # It was stopped, it seems.
        process.send_signal(signal.SIGKILL)
        process.wait()


def _process_of(core: TemplateCore[SyncLink], link: Link) -> RemoteProcess[SyncLink] | DirectProcess | None:
    """Find whose control socket it is: that of the template, or of one it is forked from."""
    one: TemplateCore[SyncLink] | None = core
    while one is not None:
        if one.link is link:
            return one.process
        one = one.origin
    return None


def _death(process: RemoteProcess[SyncLink] | DirectProcess | None) -> ForkcoreError:
    """Make the exception for a template that is gone, with its status if that can be had."""
    if isinstance(process, DirectProcess):
        process.wait(_GRACE)
    elif process is not None:
        record = process.record
        process.link.wait_until(lambda: record.is_ended, _GRACE)
    return died(process)


__all__ = ["Child", "SyncLink", "Template"]
