"""Waiting for templates and children in asyncio's event loops; for `forkcore.aio` alone."""

from __future__ import annotations

import asyncio
import os
import threading

from forkcore import _steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from forkcore._proc import DirectProcess
    from forkcore._steps import Steps, T
    from forkcore._sync_link import SyncLink

# Where the socket has room, but too many descriptors are under way: nothing tells when that is over.
_PAUSE = 0.001


class Watch:
    """What one event loop does with one control socket, while somebody there waits for it.

    Threads, and other loops, may wait for the same template: whoever reads tells the others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, link: SyncLink) -> None:
        self.loop = loop
        self._link = link
        self._fd = link.sock.fileno()
        self._waiters: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._is_reader = self._is_writer = self._is_paused = self._is_working = False

    def __call__(self) -> None:
        """Hear that something may have been read; in any thread, with the lock held."""
        if self.loop.is_closed():
            self._link.stop_watching(self)
        elif not self._is_working and self._answered():
            self.loop.call_soon_threadsafe(self._update)

    def _answered(self) -> list[asyncio.Future[None]]:
        connection = self._link.connection
        return [future for future, is_done in self._waiters.items() if connection.is_lost or is_done()]

    async def wait_until(self, is_done: Callable[[], bool]) -> None:
        """Wait until something holds, or nothing more will come."""
        future: asyncio.Future[None] = self.loop.create_future()
        with self._link.lock:
            self._waiters[future] = is_done
        try:
            self._work()
            await future
        finally:
            with self._link.lock:
                self._waiters.pop(future, None)
            self._update()

    def start(self) -> None:
        """Begin to send what is queued, if that is not done already."""
        self._update()

    def _work(self) -> None:
        """Move what can be moved, as the loop says that something can."""
        with self._link.lock:
            # What is read here is looked at below: no need to be called back.
            self._is_working = True
            try:
                self._link.poll()
            finally:
                self._is_working = False
        self._update()

    def _write(self) -> None:
        """Send, as the loop says that there is room."""
        outgoing = self._link.connection.outgoing
        with self._link.lock:
            first = outgoing[0].data if outgoing else None
            if not self._link.write_some() and outgoing[0].data is first:
                self._is_paused = True
                self.loop.call_later(_PAUSE, self._go_on)
        self._work()

    def _go_on(self) -> None:
        self._is_paused = False
        self._update()

    def _update(self) -> None:
        """Wake those whose time has come; be a reader and writer of the loop as long as need be."""
        with self._link.lock:
            if self.loop.is_closed():
                self._link.stop_watching(self)
                return
            for future in self._answered():
                del self._waiters[future]
                if not future.done():
                    future.set_result(None)
            connection = self._link.connection
            has_more = bool(connection.outgoing)
            self._read_if(bool(self._waiters))
            self._write_if(has_more and not self._is_paused)
            if not self._waiters and not has_more:
                self._link.stop_watching(self)
            elif not connection.is_lost:
                self._link.watchers.add(self)

    def _read_if(self, wanted: bool) -> None:  # noqa: FBT001
        if wanted and not self._is_reader:
            self.loop.add_reader(self._fd, self._work)
        elif self._is_reader and not wanted:
            self.loop.remove_reader(self._fd)
        self._is_reader = wanted

    def _write_if(self, wanted: bool) -> None:  # noqa: FBT001
        if wanted and not self._is_writer:
            self.loop.add_writer(self._fd, self._write)
        elif self._is_writer and not wanted:
            self.loop.remove_writer(self._fd)
        self._is_writer = wanted


def _watch(link: SyncLink) -> Watch:
    """Give the running loop's watch of a control socket; the caller holds the lock."""
    loop = asyncio.get_running_loop()
    for watcher in link.watchers:
        if isinstance(watcher, Watch) and watcher.loop is loop:
            return watcher
    watch = Watch(loop, link)
    link.watchers.add(watch)
    return watch


async def wait_until(link: SyncLink, is_done: Callable[[], bool]) -> None:
    """Wait until something holds of what a template has reported, or nothing more will come."""
    with link.lock:
        link.poll()
        if is_done() or link.connection.is_lost:
            return
        watch = _watch(link)
    await watch.wait_until(is_done)


def send(link: SyncLink) -> None:
    """Send what is queued, now or, by the running loop, in the background."""
    with link.lock:
        if not link.connection.is_lost and not link.write_some():
            _watch(link).start()


def send_in_background(link: SyncLink) -> None:
    """As `send`, where a loop runs; otherwise it goes with the next call that waits."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    send(link)


async def wait_for_end(process: DirectProcess) -> None:
    """Wait for the end of a child of this process, and reap it."""
    while process.poll() is None:
        fd = process.duplicate_pidfd()
        if fd is None:
            await _wait_in_thread(process)
            continue
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(fd, _resolve, ended)
            await ended
        finally:
            loop.remove_reader(fd)
            os.close(fd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _wait_in_thread(process: DirectProcess) -> None:
    """Wait where the system has no pidfd, as macOS."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def wait() -> None:
        process.wait()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, ended)

    # A daemon: a wait that is cancelled does not keep the program from its end.
    threading.Thread(target=wait, name="forkcore wait", daemon=True).start()
    await ended


async def wait_for_any(
    links: Collection[SyncLink], processes: Collection[DirectProcess], is_done: Callable[[], bool]
) -> None:
    """Wait until something holds of several templates, which any of them may report, or of several processes.

    It must hold once all templates are gone and all processes ended.
    """
    for process in processes:
        process.poll()
    for link in links:
        link.poll()
    while not is_done():
        running = [asyncio.ensure_future(wait_for_end(one)) for one in processes if one.status is None]
        running += [asyncio.ensure_future(wait_until(one, is_done)) for one in links if not one.connection.is_lost]
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        for one in done:
            one.result()


async def perform(steps: Steps[T]) -> T:
    """Go through steps, awaiting what each of them asks for."""
    try:
        wait = next(steps)
        while True:
            try:
                has_come = await _wait(wait)
            except BaseException as error:  # noqa: BLE001 - it comes out of the steps again; a cancellation, for one
                wait = steps.throw(error)
            else:
                wait = steps.send(has_come)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def _wait(wait: _steps.Until | _steps.Sent | _steps.Ended | _steps.AnyOf) -> bool:
    limit = asyncio.timeout(wait.timeout)
    try:
        async with limit:
            if isinstance(wait, _steps.Until):
                await wait_until(wait.link, wait.is_done)
            elif isinstance(wait, _steps.Sent):
                outgoing = wait.link.connection.outgoing
                await wait_until(wait.link, lambda: not outgoing)
            elif isinstance(wait, _steps.AnyOf):
                await wait_for_any(wait.links, wait.processes, wait.is_done)
            else:
                await wait_for_end(wait.process)
    except TimeoutError:
        if not limit.expired():
            raise  # ETIMEDOUT, of a socket
        return False
    return True
