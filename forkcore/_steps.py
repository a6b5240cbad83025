"""What `Template` and `Child` do where it takes waiting: the same steps for both drivers.

Each function is a generator. It yields what to wait for, and is sent whether that has come in time;
waiting itself is the driver's. What interrupts the wait is thrown in, and comes out again: an
interrupted call has changed nothing, unless it says otherwise.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from forkcore._link import RemoteProcess, died
from forkcore._proc import ORPHANS, DirectProcess
from forkcore.errors import ForkcoreError, TimeoutExpired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator
    from typing import TypeAlias, TypeVar

    from forkcore._client import TemplateCore
    from forkcore._messages import Field
    from forkcore._running import ChildCore
    from forkcore._sync_link import SyncLink

    T = TypeVar("T")
    Process: TypeAlias = RemoteProcess[SyncLink] | DirectProcess
    Steps: TypeAlias = Generator["Until | Sent | Ended | AnyOf", bool, T]

# How long `close` waits for an idle process that has nothing left to do, before it kills it.
_GRACE = 2.0


def checked(timeout: float | None) -> float | None:
    """Refuse a timeout that is no number: no deadline would ever be reached.

    Raises:
        ValueError: It is NaN.
    """
    if timeout is not None and timeout != timeout:  # noqa: PLR0124 - that is what NaN is
        raise ValueError("a timeout is a number of seconds, not NaN")
    return timeout


class Until:
    """Wait until something holds of what a template has reported, or nothing more will come."""

    __slots__ = ("is_done", "link", "timeout")

    def __init__(self, link: SyncLink, is_done: Callable[[], bool], timeout: float | None) -> None:
        self.link = link
        self.is_done = is_done
        self.timeout = checked(timeout)


class Sent:
    """Wait until all that is queued for a template has been sent, or it is gone."""

    __slots__ = ("link", "timeout")

    def __init__(self, link: SyncLink, timeout: float | None) -> None:
        self.link = link
        self.timeout = checked(timeout)


class Ended:
    """Wait for the end of a child of this very process."""

    __slots__ = ("process", "timeout")

    def __init__(self, process: DirectProcess, timeout: float | None) -> None:
        self.process = process
        self.timeout = checked(timeout)


class AnyOf:
    """Wait until something holds of several templates, which any of them may report, or of several processes."""

    __slots__ = ("is_done", "links", "processes", "timeout")

    def __init__(
        self,
        links: Collection[SyncLink],
        processes: Collection[DirectProcess],
        is_done: Callable[[], bool],
        timeout: float | None,
    ) -> None:
        self.links = links
        self.processes = processes
        self.is_done = is_done
        self.timeout = checked(timeout)


# Templates.


def ready(core: TemplateCore[SyncLink], timeout: float | None) -> Steps[None]:
    """Confirm that all that was queued for a template has been executed."""
    core.check()
    link = core.materialise()
    core.materialise_clones()
    yield from _confirm(link, timeout, core.process)


def _confirm(link: SyncLink, timeout: float | None, process: Process | None) -> Steps[None]:
    connection = link.connection
    with link.lock:
        is_lost = connection.is_lost
        request = 0 if is_lost else connection.ping()
    if is_lost:
        raise (yield from _death(process))
    is_answered = False
    try:
        is_answered = yield Until(link, lambda: connection.is_answered(request), timeout)
    finally:
        if not is_answered:
            connection.is_unconfirmed = True
    if not is_answered:
        raise TimeoutExpired("waiting for a template", timeout)
    if connection.failure is not None:
        raise connection.failure.with_traceback(None)
    if connection.is_lost:
        raise (yield from _death(process))


def _death(process: Process | None) -> Steps[ForkcoreError]:
    """Make the exception for a template that is gone, with its status if that can be had."""
    if isinstance(process, DirectProcess):
        yield Ended(process, _GRACE)
    elif process is not None:
        record = process.record
        yield Until(process.link, lambda: record.is_ended, _GRACE)
    return died(process)


def run(
    core: TemplateCore[SyncLink], target: str, options: list[Field], timeout: float | None, *, bound: bool
) -> Steps[ChildCore[SyncLink]]:
    """Ask for the function once the template is known to be well; the caller sends what is queued."""
    core.check()
    yield from _confirm_before_run(core, timeout)
    link = core.nearest_link
    if link is not None and link.connection.outgoing and not (yield Sent(link, timeout)):
        raise TimeoutExpired("sending to a template", timeout)
    return core.run(target, options, bound=bound)


def _confirm_before_run(core: TemplateCore[SyncLink], timeout: float | None) -> Steps[None]:
    link = core.unconfirmed_link
    if link is None:
        return
    try:
        yield from _confirm(link, timeout, _process_of(core, link))
    except TimeoutExpired:
        raise
    except ForkcoreError:
        # Of no use any more, and often nobody holds it: ``new().preload("x").run("y:z")``.
        yield from close(core)
        raise


def _process_of(core: TemplateCore[SyncLink], link: SyncLink) -> Process | None:
    """Find whose control socket it is: that of the template, or of one it is forked from."""
    one: TemplateCore[SyncLink] | None = core
    while one is not None:
        if one.link is link:
            return one.process
        one = one.origin
    return None


def close(core: TemplateCore[SyncLink]) -> Steps[None]:
    """End a template; where this is interrupted, it ends all the same."""
    closing = core.close()
    if closing is None:
        return
    link, process = closing
    stays = True
    try:
        yield Sent(link, _GRACE)
        link.poll()
        with link.lock:
            has_children = not all(one.is_leaving for one in link.connection.children.values())
            stays = link.connection.may_run_code or has_children
        if not stays and isinstance(process, DirectProcess):
            yield from _end(link, process)
    finally:
        if isinstance(process, DirectProcess):
            ORPHANS.add(process)
        elif process is not None and not stays:
            process.record.is_leaving = True
        if not stays:
            link.lose()


def _end(link: SyncLink, process: DirectProcess) -> Steps[None]:
    """Wait for a process that has nothing left to do, and kill it where it does not leave."""
    is_leaving = yield Until(link, lambda: False, _GRACE)
    if not (is_leaving and (yield Ended(process, _GRACE))):
        # It was stopped, it seems.
        process.send_signal(signal.SIGKILL)
        yield Ended(process, None)


def detach(core: TemplateCore[SyncLink]) -> Steps[socket.socket]:
    """Give a template's control socket away."""
    yield from ready(core, None)
    link = core.materialise()
    with link.lock:
        if link.connection.children:
            raise ValueError("detach of a template that has running children")
        duplicate = os.dup(link.sock.fileno())
        core.spend("detach")
        link.lose()
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=duplicate)


def template_pid(core: TemplateCore[SyncLink]) -> Steps[int]:
    """Make the process if need be, and give its id."""
    core.check()
    core.materialise()
    process = core.process
    if process is None:
        raise ForkcoreError("the pid of a template that was handed over is not known here")
    if isinstance(process, RemoteProcess):
        record = process.record
        yield Until(process.link, lambda: record.is_started, None)
    if process.pid is None:
        raise died(process)
    return process.pid


# Children.


def child_pid(core: ChildCore[SyncLink]) -> Steps[int | None]:
    """Give a child's process id, or None where it has none."""
    if core.pid is None and isinstance(core.process, RemoteProcess):
        yield Until(core.process.link, lambda: core.is_started, None)
    return core.pid


def child_end(core: ChildCore[SyncLink], timeout: float | None) -> Steps[bool]:
    """Wait for the end of a child; gives False after the timeout."""
    deadline = None if timeout is None else time.monotonic() + timeout
    if isinstance(core.process, DirectProcess):
        if core.process.status is None and not (yield Ended(core.process, timeout)):
            return False
    elif not core.is_ended:
        record = core.process.record
        if not (yield Until(core.process.link, lambda: record.is_ended, timeout)):
            return False
    # The control socket over which it was asked for is at its end by now, or about to be.
    remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
    return core.is_ended or (yield Until(core.link, lambda: core.is_ended, remaining))
