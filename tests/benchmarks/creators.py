"""Ways to create a process from Python, all under one interface; used by ``benchmarks.driver``.

Each process is asked to end at once. Who offers a socket to the child is done when that has closed
*and* the exit status is known; who does not (multiprocessing, executors) is done with the status
alone, which favours them.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import forkcore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from multiprocessing.context import ForkContext, ForkServerContext, SpawnContext

_AHEAD = 4


class Started(Protocol):
    """A process that was started and will end."""

    def finish(self) -> None:
        """Wait for its end, check its exit status, and close what belongs to it."""


@dataclass(frozen=True)
class Creator:
    """A way to create processes.

    Attributes:
        start: Starts a process that ends at once.
        start_idle: Starts one that lives until it is told to finish; None where that is not measured.
    """

    start: Callable[[], Started]
    start_idle: Callable[[], Started] | None = None


def expect(code: int | None) -> None:
    """Refuse a process that failed: its figures would be worth nothing."""
    if code != 0:
        raise RuntimeError(f"a process ended with {code}")


class ForkedHere:
    """A child of ``os.fork`` with a socket pair to it."""

    def __init__(self, *, idle: bool = False) -> None:
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            if idle:
                self.ours.close()
                theirs.recv(1)
            os._exit(0)
        theirs.close()
        self.idle = idle

    def finish(self) -> None:
        """See `Started`."""
        if self.idle:
            self.ours.shutdown(socket.SHUT_WR)
        self.ours.recv(1)
        self.ours.close()
        expect(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))


class ForkcoreChild:
    """A child of a template."""

    def __init__(self, child: forkcore.Child, *, idle: bool = False) -> None:
        self.child = child
        self.idle = idle

    def finish(self) -> None:
        """See `Started`."""
        channel = self.child.channel
        if self.idle:
            channel.shutdown(socket.SHUT_WR)
        channel.recv(1)
        channel.close()
        expect(self.child.wait().code)


class MultiprocessingChild:
    """A `multiprocessing.Process` of any start method."""

    def __init__(self, context: ForkContext | ForkServerContext | SpawnContext, *, idle: bool = False) -> None:
        self.ours: socket.socket | None = None
        if idle:
            from benchmarks.targets import linger

            self.ours, theirs = socket.socketpair()
            with theirs:
                self.process = context.Process(target=linger, args=(theirs,))
                self.process.start()
        else:
            self.process = context.Process(target=int)
            self.process.start()

    def finish(self) -> None:
        """See `Started`."""
        if self.ours is not None:
            self.ours.close()
        self.process.join()
        expect(self.process.exitcode)
        self.process.close()


class Call:
    """A call in an executor."""

    def __init__(self, future: concurrent.futures.Future[int]) -> None:
        self.future = future

    def finish(self) -> None:
        """See `Started`."""
        expect(self.future.result())


class BareInterpreter:
    """A Python interpreter that does nothing."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""], stdin=theirs.fileno())

    def finish(self) -> None:
        """See `Started`."""
        self.ours.recv(1)
        self.ours.close()
        expect(self.process.wait())


@contextlib.contextmanager
def forkcore_default(_window: int) -> Iterator[Creator]:
    """``forkcore.new().run(...)``: forked from the default template, `id` being the function."""
    context = forkcore.Context()
    preloaded: list[str] = []

    def start_idle() -> Started:
        if not preloaded:
            preloaded.append("benchmarks.targets")
            context.default_template().preload(*preloaded)
        return ForkcoreChild(context.new().run("benchmarks.targets:linger"), idle=True)

    yield Creator(lambda: ForkcoreChild(context.new().run("builtins:id")), start_idle)
    context.close()


@contextlib.contextmanager
def forkcore_ahead(window: int) -> Iterator[Creator]:
    """The same with some children forked ahead, which wait in their function for a word."""
    context = forkcore.Context()
    context.default_template().preload("benchmarks.targets").ready()
    waiting: collections.deque[forkcore.Child] = collections.deque()

    def fork_one() -> None:
        waiting.append(context.new().run("benchmarks.targets:linger"))

    def start() -> Started:
        child = waiting.popleft()
        child.channel.send(b".")
        fork_one()
        return ForkcoreChild(child)

    for _ in range(_AHEAD + window - 1):
        fork_one()
    yield Creator(start)
    for child in waiting:
        ForkcoreChild(child, idle=True).finish()
    context.close()


@contextlib.contextmanager
def forkcore_idle(window: int) -> Iterator[Creator]:
    """The same with some idle processes forked ahead, to be told what function to run."""
    context = forkcore.Context()
    ready: collections.deque[forkcore.Template] = collections.deque()

    def fork_one() -> None:
        template = context.new()
        template.fileno()  # makes the process now, and does not wait for it
        ready.append(template)

    def start() -> Started:
        started = ForkcoreChild(ready.popleft().run("builtins:id"))
        fork_one()
        return started

    for _ in range(_AHEAD + window - 1):
        fork_one()
    yield Creator(start)
    for template in ready:
        template.close()
    context.close()


@contextlib.contextmanager
def forkcore_exec(_window: int) -> Iterator[Creator]:
    """``forkcore.new_exec().run(...)``: a fresh interpreter for each."""
    yield Creator(lambda: ForkcoreChild(forkcore.new_exec().run("builtins:id")))


@contextlib.contextmanager
def forkcore_executor(window: int) -> Iterator[Creator]:
    """``forkcore.ForkExecutor``, a process for each call."""
    with forkcore.ForkExecutor(window) as executor:
        yield Creator(lambda: Call(executor.submit(int)))


@contextlib.contextmanager
def pool_executor(window: int) -> Iterator[Creator]:
    """``ProcessPoolExecutor(max_tasks_per_child=1)``, with a fork server."""
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(window, mp_context=context, max_tasks_per_child=1) as executor:
        yield Creator(lambda: Call(executor.submit(int)))


@contextlib.contextmanager
def os_fork(_window: int) -> Iterator[Creator]:
    """``os.fork`` in this process."""
    yield Creator(ForkedHere, lambda: ForkedHere(idle=True))


@contextlib.contextmanager
def mp_forkserver(_window: int) -> Iterator[Creator]:
    """`multiprocessing` with its fork server."""
    context = multiprocessing.get_context("forkserver")
    yield Creator(lambda: MultiprocessingChild(context), lambda: MultiprocessingChild(context, idle=True))


@contextlib.contextmanager
def mp_fork(_window: int) -> Iterator[Creator]:
    """`multiprocessing` that forks this process."""
    context = multiprocessing.get_context("fork")
    yield Creator(lambda: MultiprocessingChild(context))


@contextlib.contextmanager
def mp_spawn(_window: int) -> Iterator[Creator]:
    """`multiprocessing` that starts a fresh interpreter for each."""
    context = multiprocessing.get_context("spawn")
    yield Creator(lambda: MultiprocessingChild(context))


@contextlib.contextmanager
def bare_interpreter(_window: int) -> Iterator[Creator]:
    """`subprocess` with a bare interpreter."""
    yield Creator(BareInterpreter)


CREATORS: dict[str, Callable[[int], AbstractContextManager[Creator]]] = {
    "forkcore": forkcore_default,
    "forkcore_ahead": forkcore_ahead,
    "forkcore_idle": forkcore_idle,
    "forkcore_exec": forkcore_exec,
    "forkcore_executor": forkcore_executor,
    "os_fork": os_fork,
    "mp_forkserver": mp_forkserver,
    "mp_fork": mp_fork,
    "mp_spawn": mp_spawn,
    "pool_executor": pool_executor,
    "subprocess": bare_interpreter,
}
"""By name; each is given how many processes will be in flight at a time."""
