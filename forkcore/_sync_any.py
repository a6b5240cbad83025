"""Waiting in ``poll`` for any of several templates and processes."""

from __future__ import annotations

import contextlib
import select
import threading
import time

from forkcore._bell import Bell
from forkcore._proc import FIRST_PAUSE, LAST_PAUSE, to_milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from forkcore._proc import DirectProcess
    from forkcore._sync_link import SyncLink


def wait_for_any(
    links: Collection[SyncLink],
    processes: Collection[DirectProcess],
    is_done: Callable[[], bool],
    timeout: float | None,
) -> bool:
    """Process events until something holds of them.

    Args:
        links: Of templates.
        processes: Children of this process; those that have ended are reaped.
        is_done: What is waited for. It must hold once all templates are gone and all processes ended.
        timeout: Seconds, or None.

    Returns:
        False after the timeout.

    Raises:
        OSError: EMFILE, where another thread waits for one of the templates.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        with contextlib.ExitStack() as held:
            poller = select.poll()
            _watch_links(links, poller, held)
            has_all = _watch_processes(processes, poller, held)
            if is_done():
                return True
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return False
            if not has_all:
                # Without pidfd: look now and then, as subprocess does.
                remaining = pause if remaining is None else min(pause, remaining)
                pause = min(pause * 2, LAST_PAUSE)
            poller.poll(to_milliseconds(remaining))


def _watch_links(links: Collection[SyncLink], poller: select.poll, held: contextlib.ExitStack) -> None:
    """Read, and poll, what no other thread reads; of the rest, hear from those who read it."""
    bell: Bell | None = None
    for link in links:
        mark = threading.get_ident(), object()
        held.callback(link.resign, mark)
        if link.take_over(mark):
            events = select.POLLIN | (select.POLLOUT if link.connection.outgoing else 0)
            poller.register(link.sock.fileno(), events)
        elif not link.connection.is_lost:
            if bell is None:
                bell = Bell()
                held.callback(bell.take_down)
                poller.register(bell.fileno(), select.POLLIN)
            _listen(link, bell, held)


def _listen(link: SyncLink, bell: Bell, held: contextlib.ExitStack) -> None:
    ring = bell.ring

    def stop() -> None:
        with link.lock:
            link.stop_watching(ring)

    with link.lock:
        held.callback(stop)
        link.watchers.add(ring)
        if not link.is_reading:
            # The other thread has stopped in this moment, without a word to us.
            ring()


def _watch_processes(processes: Collection[DirectProcess], poller: select.poll, held: contextlib.ExitStack) -> bool:
    """Poll those that run.

    Returns:
        Whether the end of all of them will be seen.
    """
    has_all = True
    for process in processes:
        if process.poll() is not None:
            continue
        pidfd = process.pidfd
        if pidfd is None:
            has_all = False
        else:
            held.enter_context(contextlib.nullcontext(pidfd))  # which stays open as long as somebody refers to it
            poller.register(pidfd, select.POLLIN)
    return has_all
