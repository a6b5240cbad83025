"""Templates that are direct children of this process: by exec, and by a fork of this very process.

The same for both drivers: what comes back is a control socket and a process.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys

from forkcore import _hazards
from forkcore._exec import start_interpreter
from forkcore._fds import close_quietly, socket_pair
from forkcore._owned import make_pair
from forkcore._proc import ORPHANS, DirectProcess
from forkcore._server import prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import Any

    from forkcore._template import Departure


def exec_template(
    *,
    interpreter: str | os.PathLike[str] | None = None,
    flags: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    umask: int = -1,
    pass_fds: Sequence[int] = (),
    site: bool | None = None,
) -> tuple[socket.socket, DirectProcess]:
    """Execute a fresh interpreter; see `forkcore._exec.start_interpreter` for the arguments.

    Returns:
        The control socket and the process, both owned by the caller.

    Raises:
        OSError: See there; nothing stays behind.
    """
    ORPHANS.reap()
    ours, theirs = make_pair()
    try:
        process = start_interpreter(
            theirs,
            interpreter=interpreter,
            flags=flags,
            env=env,
            cwd=cwd,
            umask=umask,
            pass_fds=pass_fds,
            site=site,
        )
    except BaseException:
        ours.close()
        raise
    return ours, process


def fork_this_process(
    namespace: dict[str, Any] | None, allow_hazards: Collection[str]
) -> tuple[int, DirectProcess] | Iterator[Departure]:
    """Fork this process, to make a template of the fork.

    Returns:
        The control socket and the process, both owned by the caller. In the fork: what it is to `run` at once. The
        caller does that, since each frame on the stack takes room away from every function that children run.

    Raises:
        ForkHazard: Other Python threads are alive, or an asyncio loop is running.
        RuntimeError: This is an isolated subinterpreter.
        OSError: EMFILE, EAGAIN, ENOMEM; nothing stays behind.
    """
    # First of all: to look for threads there touches objects of other interpreters, which ends in a crash.
    _refuse_isolated()
    _hazards.check(allow_hazards)
    ORPHANS.reap()
    for stream in (sys.stdout, sys.stderr):
        # What is still in a buffer would be written by each child once more.
        if stream is not None:
            # It may be closed, or any object that the program has put there.
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
    ours, theirs = socket_pair()
    try:
        # In the fork, no handler of the program may run, or raise, before the template has its own signals.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pid = _fork_blocked(blocked)
    except BaseException:
        close_quietly(ours)
        close_quietly(theirs)
        raise
    if pid == 0:
        return _become_template(ours, theirs, namespace, allow_hazards)
    close_quietly(theirs)
    process = DirectProcess(pid)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    except BaseException:
        # A handler has raised, and nobody will know of the template, which ends by itself.
        close_quietly(ours)
        ORPHANS.add(process)
        raise
    return ours, process


def _refuse_isolated() -> None:
    # As `threading` asks; CPython 3.11 has none, and refuses in os.fork itself.
    is_allowed = getattr(_thread, "daemon_threads_allowed", None)
    if is_allowed is not None and not is_allowed():
        raise RuntimeError("an isolated subinterpreter cannot be forked; forkcore.new_exec() works here")


def _fork_blocked(blocked: set[int]) -> int:
    try:
        return os.fork()
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        raise


def _become_template(
    ours: int, theirs: int, namespace: dict[str, Any] | None, allowed: Collection[str]
) -> Iterator[Departure]:
    try:
        close_quietly(ours)
        events = sys.modules.get("asyncio.events")
        if events is not None:
            # Allowed by the caller, but it runs in the other process.
            events._set_running_loop(None)  # noqa: SLF001 - there is no public way
        return prepare(theirs, namespace, list(allowed))
    except BaseException:  # noqa: BLE001 - nothing may get into the frames of the program that was forked
        os._exit(70)
