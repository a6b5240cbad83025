"""`ForkExecutor`: calls of functions, each in a freshly forked child."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import warnings
import weakref
from concurrent.futures import Executor, Future
from functools import partial
from itertools import chain, islice

from forkcore import _executor_child
from forkcore._executor_calls import Call, pickle_call
from forkcore._executor_queue import CallQueue
from forkcore._executor_thread import CallThread, Settings
from forkcore.errors import NotPicklable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, ParamSpec, TypeVar

    from forkcore._sync import Template
    from forkcore.sandbox import Sandbox

    P = ParamSpec("P")
    T = TypeVar("T")

__all__ = ["ForkExecutor"]


class ForkExecutor(Executor):
    """A ``concurrent.futures.Executor`` that performs each call in a fresh child of one template.

    Functions, arguments and results cross by ``pickle``, as with ``ProcessPoolExecutor``. An
    exception is raised from its future with the remote traceback as its cause. A child that dies
    fails its own future, with `ChildDied`, and no other one. Children die with this process.

    Functions of the program's main module work where it is importable, as ``multiprocessing``
    has it: what starts the work stands below ``if __name__ == "__main__":``.

    Safe to use from several threads. Use it in a ``with`` statement, or call `shutdown`.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = 1,
        idle_workers: int = 0,
        idle_timeout: float | None = None,
        preload: str | Iterable[str] = (),
        template: Template | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        """Make an executor; processes are started by the first call.

        Args:
            max_workers: How many children at a time; None for one for each CPU.
            initializer: Called in each child before its first call. An exception that it raises
                fails the future of that call.
            initargs: Its arguments.
            max_tasks_per_child: After so many calls a child is replaced; None for never.
            idle_workers: So many children are forked ahead of the calls that they will perform, and
                wait for them, initialized, beside those that are performing one. From the first
                call on.
            idle_timeout: After so many seconds without a call a child ends, if more than
                `idle_workers` are waiting; None for never.
            preload: Modules to import in the template, once for all children.
            template: What to fork the executor's own template from; borrowed, and not to be
                closed before the first call. None for the default template.
            sandbox: What each child may use and touch; a child that stays for several calls has its limits for all of
                them together.

        Raises:
            ValueError: A number below 1, or below 0 for the idle ones.
            TypeError: The initializer is not callable.
            NotPicklable: It, or its arguments, cannot be pickled.
            RuntimeError: The main module makes an executor while a template imports it.
        """
        if max_workers is None:
            max_workers = _usable_cpus()
        if max_workers < 1:
            raise ValueError("max_workers must be at least 1")
        if max_tasks_per_child is not None and max_tasks_per_child < 1:
            raise ValueError("max_tasks_per_child must be at least 1, or None")
        if idle_workers < 0 or (idle_timeout is not None and idle_timeout < 0):
            raise ValueError("idle_workers and idle_timeout must not be negative")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be callable")
        if _executor_child.MainModule.is_being_imported:
            raise RuntimeError(
                "the main module makes a ForkExecutor while it is imported by a template: "
                "put that below 'if __name__ == \"__main__\":'"
            )
        self._settings = Settings(
            max_workers=max_workers,
            idle_workers=idle_workers,
            idle_timeout=idle_timeout,
            calls_per_child=max_tasks_per_child,
            initializer=pickle_call(initializer or _executor_child.do_nothing, initargs, {}),
            preload=[preload] if isinstance(preload, str) else list(preload),
            origin=template,
            sandbox=sandbox,
        )
        self._owner = os.getpid()
        # Reentrant, because a destructor or a handler of a signal that calls `submit` may run at any point.
        self._lock = threading.RLock()
        self._is_starting = False
        self._queue = CallQueue()
        self._thread: CallThread | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``fn(*args, **kwargs)`` called in a child.

        Function and arguments are pickled now. Where that fails, the future says so.

        Raises:
            RuntimeError: After `shutdown`, or in a fork of the process that made this.
            OSError: At the first call: EMFILE, or there is no interpreter for the template.
            ForkcoreError: At the first call: the template that was given is spent or gone.
        """
        future: Future[T] = Future()
        try:
            payload = pickle_call(fn, args, kwargs)
        except NotPicklable as error:
            future.set_exception(error)
            return future
        self._start()
        self._queue.put(Call(future, payload))
        return future

    def _start(self) -> None:
        if self._owner != os.getpid():
            raise RuntimeError("this executor belongs to the process that this one was forked from")
        with self._lock:
            self._queue.check()
            if self._thread is None and not self._is_starting:
                self._is_starting = True
                try:
                    self._start_thread()
                except BaseException as error:
                    for call in self._queue.take_all():
                        call.fail(error)
                    raise
                finally:
                    self._is_starting = False

    def _start_thread(self) -> None:
        thread = CallThread(self._settings, self._queue)
        _end_at_exit(thread, self._queue)
        try:
            thread.start()
        except BaseException:
            thread.release()
            raise
        self._thread = thread

    def map(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[T]:
        """As ``Executor.map``: results in the order of the arguments.

        Args:
            fn: The function.
            iterables: Of its arguments.
            timeout: Seconds, from now, for each result.
            chunksize: So many calls are performed by one child, one after the other, as one: an
                exception of one of them takes the place of the results of all.

        Raises:
            ValueError: `chunksize` is below 1.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be at least 1")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        chunks = _in_chunks(zip(*iterables, strict=False), chunksize)
        results: Iterator[list[T]] = super().map(partial(_executor_child.call_each, fn), chunks, timeout=timeout)
        return chain.from_iterable(results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as Executor
        """Take no more calls; what was submitted is done.

        Args:
            wait: Return once all is done, and all processes, threads and descriptors are gone; but not where a future's
                callback calls this, for which all would wait.
            cancel_futures: Calls that have not begun are cancelled instead.
        """
        self._queue.close(cancel=cancel_futures)
        thread = self._thread
        if wait and thread not in (None, threading.current_thread()) and self._owner == os.getpid():
            thread.join()

    def __del__(self) -> None:
        if getattr(self, "_thread", None) is None or self._queue.is_closed or self._owner != os.getpid():
            return
        warnings.warn(f"{self!r} was not shut down", ResourceWarning, stacklevel=2, source=self)
        self._queue.close()


_RUNNING: weakref.WeakKeyDictionary[CallThread, CallQueue] = weakref.WeakKeyDictionary()


def _end_at_exit(thread: CallThread, queue: CallQueue) -> None:
    _RUNNING[thread] = queue
    # Exit handlers run in reverse order: this one is to come before that of the default template.
    atexit.unregister(_finish)
    atexit.register(_finish)


def _finish() -> None:
    """At the end of the program: what was submitted is done, as with the other executors."""
    if sys.is_finalizing():
        return  # a subinterpreter that nobody has ended: its daemon threads are gone, and joining them would hang
    running = [(thread, queue) for thread, queue in _RUNNING.items() if thread.is_alive()]
    for _, queue in running:
        queue.close()
    for thread, _ in running:
        thread.join()


def _usable_cpus() -> int:
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_chunks(arguments: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(arguments)
    while chunk := list(islice(iterator, size)):
        yield chunk
