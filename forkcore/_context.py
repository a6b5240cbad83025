"""Where new processes come from: the default template, an early one, or a fresh interpreter."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading

from forkcore import _messages as m
from forkcore._client import TemplateCore
from forkcore._items import hazard_names, option_fields
from forkcore._server import run
from forkcore._spawn import exec_template, fork_this_process
from forkcore._sync import Template
from forkcore._sync_link import SyncLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from forkcore._proc import DirectProcess

_TITLE = "forkcore template"


class Context:
    """Owns one default template, made at its first use, and the early one if there is one.

    The functions of the package use one of their own; a library that wants a default template
    which nobody else preloads makes another. In a fork of this process (``os.fork``) it starts
    anew. Safe to use from several threads.
    """

    def __init__(self, *, interpreter: str | os.PathLike[str] | None = None, flags: Sequence[str] = ()) -> None:
        """Make a context; no process is started yet.

        Args:
            interpreter: To execute; None for that of this program.
            flags: Further flags for it.
        """
        self.interpreter = interpreter
        self.flags = tuple(flags)
        # Reentrant, because a destructor or a handler of a signal that makes a process may run at any point.
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._default: Template | None = None
        self._early: Template | None = None

    def new(
        self,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        umask: int | None = None,
        sys_path: Sequence[str] | None = None,
        title: str | None = None,
        allow_hazards: Collection[str] | bool = (),
    ) -> Template:
        """Make an idle process, forked from the default template.

        Environment, directory, umask and search path are those that this process had when the
        default template was made, at the first call, unless they are given here.

        Args:
            env: As for `Template.fork`, and so are the others.
            cwd: Working directory.
            umask: File mode creation mask.
            sys_path: Search path.
            title: What ``ps`` shows.
            allow_hazards: See there.

        Raises:
            OSError: The default template could not be made.
        """
        return self.default_template().fork(
            env=env,
            cwd=cwd,
            umask=umask,
            sys_path=sys_path,
            title=title,
            allow_hazards=allow_hazards,
        )

    def new_exec(
        self,
        *,
        interpreter: str | os.PathLike[str] | None = None,
        flags: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        umask: int | None = None,
        pass_fds: Sequence[int] = (),
        sys_path: Sequence[str] | None = None,
        site: bool | None = None,
        title: str | None = None,
        allow_hazards: Collection[str] | bool = (),
    ) -> Template:
        """Make an idle process that is a fresh interpreter.

        Where an early template is installed, the process is forked from that one instead, unless
        an interpreter, flags or descriptors are asked for.

        Args:
            interpreter: To execute; None for that of the context, or of this program.
            flags: Further flags for it.
            env: The whole environment; None for that of this process.
            cwd: Working directory; None for that of this process.
            umask: None for that of this process.
            pass_fds: Descriptors that stay open under the same numbers; borrowed.
            sys_path: Search path; None for that of this process.
            site: Whether ``site`` is imported there; None: where editable installs need it.
            title: What ``ps`` shows.
            allow_hazards: See `Template.fork`.

        Raises:
            OSError: There is no such interpreter or directory, or a limit is reached.
        """
        self._renew_after_fork()
        path = _search_path() if sys_path is None else sys_path
        options = option_fields(sys_path=path, title=title or _TITLE, allow_hazards=allow_hazards)
        early = self._early
        if early is not None and not (interpreter or flags or pass_fds):
            return early.fork(
                env=env,
                cwd=cwd,
                umask=umask,
                sys_path=sys_path,
                title=title,
                allow_hazards=allow_hazards,
            )
        control, process = exec_template(
            interpreter=self.interpreter if interpreter is None else interpreter,
            flags=(*self.flags, *flags),
            env=env,
            cwd=cwd,
            umask=-1 if umask is None else umask,
            pass_fds=pass_fds,
            site=site,
        )
        core = direct_core(control, process)
        core.command(m.CONFIGURE, options)
        return Template(core)

    def default_template(self) -> Template:
        """Give the default template, which is made at the first call, and anew if it died."""
        self._renew_after_fork()
        with self._lock:
            template = self._default
            if template is not None:
                template.process_events()
                if template.is_usable:
                    return template
            elif self._early is None:
                atexit.register(self.close)
            made = self.new_exec()
            meanwhile = self._default
            if meanwhile is not None and meanwhile is not template:  # by such a destructor or handler
                made.close()
                return meanwhile
            self._default = made
            return made

    def install_early(self, *, allow_hazards: Collection[str] | bool = ()) -> None:
        """Fork the early template from this process; see `forkcore.early.install`."""
        self._renew_after_fork()
        if self._early is None:
            self._early = fork_here(allow_hazards=allow_hazards)
            atexit.register(self.close)

    @property
    def has_early(self) -> bool:
        """Whether an early template is installed in this process."""
        return self._early is not None and self._owner == os.getpid()

    def close(self) -> None:
        """End the templates; what was forked from them goes on. `new` makes another one."""
        self._renew_after_fork()
        default, early = self._default, self._early
        self._default = self._early = None
        for template in (default, early):
            if template is not None:
                template.close()
        atexit.unregister(self.close)

    def _renew_after_fork(self) -> None:
        if self._owner == os.getpid():
            return
        # The templates are the parent's; its other threads, which may hold the lock, are not here.
        self._owner = os.getpid()
        self._lock = threading.RLock()
        self._default = self._early = None


def _search_path() -> list[str]:
    # Anything may lie in it: imports pass over what is no text, and so does this.
    entries: Sequence[object] = sys.path
    return [entry for entry in entries if isinstance(entry, str)]


def direct_core(control: int | socket.socket, process: DirectProcess | None) -> TemplateCore[SyncLink]:
    """Wrap a control socket and the process at its other end; both are consumed."""
    if isinstance(control, int):
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=control)
    return TemplateCore(SyncLink, link=SyncLink(control, process), process=process)


def fork_here(
    *,
    namespace: dict[str, Any] | None = None,
    allow_hazards: Collection[str] | bool = (),
    title: str | None = None,
) -> Template:
    """Make a template of this very process, here and now, with everything that it has loaded.

    The fork keeps environment, directory and open descriptors. Handlers of signals in Python,
    threads and exit handlers of this program are not in it, nor what its objects would do when
    they are destroyed.

    Args:
        namespace: Names for `Template.eval`, and for targets like ":name".
        allow_hazards: Names of threads (``*`` at the end for any ending) that are known to be
            harmless, or "asyncio loop"; True for any.
        title: What ``ps`` shows.

    Raises:
        ForkHazard: Python threads other than the caller are alive, or a loop is running.
        RuntimeError: This is an isolated subinterpreter, which Python does not fork: `new_exec` works there.
        OSError: EMFILE, EAGAIN, ENOMEM; nothing has changed.
    """
    forked = fork_this_process(namespace, hazard_names(allow_hazards))
    if not isinstance(forked, tuple):
        run(forked)
    core = direct_core(*forked)
    if title is not None:
        core.command(m.CONFIGURE, option_fields(title=title))
    return Template(core)


def adopt(sock: socket.socket) -> Template:
    """Take up an idle process that `Template.detach` gave away.

    Args:
        sock: The control socket; consumed.
    """
    return Template(direct_core(sock.detach(), None))


DEFAULT = Context()


def new(
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    umask: int | None = None,
    sys_path: Sequence[str] | None = None,
    title: str | None = None,
    allow_hazards: Collection[str] | bool = (),
) -> Template:
    """Make an idle process, forked from the default template; see `Context.new`."""
    return DEFAULT.new(
        env=env,
        cwd=cwd,
        umask=umask,
        sys_path=sys_path,
        title=title,
        allow_hazards=allow_hazards,
    )


def new_exec(
    *,
    interpreter: str | os.PathLike[str] | None = None,
    flags: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    umask: int | None = None,
    pass_fds: Sequence[int] = (),
    sys_path: Sequence[str] | None = None,
    site: bool | None = None,
    title: str | None = None,
    allow_hazards: Collection[str] | bool = (),
) -> Template:
    """Make an idle process that is a fresh interpreter; see `Context.new_exec`."""
    return DEFAULT.new_exec(
        interpreter=interpreter,
        flags=flags,
        env=env,
        cwd=cwd,
        umask=umask,
        pass_fds=pass_fds,
        sys_path=sys_path,
        site=site,
        title=title,
        allow_hazards=allow_hazards,
    )
