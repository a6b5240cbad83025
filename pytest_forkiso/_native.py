"""Threads that libraries in C, C++ and Rust have started: which of them make a fork unsafe. Linux.

What is known is measured: ``python -m benchmarks.hazard_table`` in the folder ``tests``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from pytest_forkiso._stacks import libraries_on_stacks

_TASKS = Path("/proc/self/task")
_TRIAL_LIMIT = 2.0
"""Seconds for a fork that ends at once."""

HARMLESS = ("jemalloc_bg_thd", "polars-ooc-clea")
"""How names of threads begin that nobody misses in a child: of jemalloc, in pandas and others, of polars' import."""

UNSAFE = ("polars-", "tokio-", "async-executor", "grpc_", "event_engine", "lifeguard", "cuda-", "tf_", "ZMQbg/")
"""How names of threads begin that a child waits for in vain, whatever fork handlers do.

They are of polars, gRPC, CUDA, TensorFlow and JAX, and ZeroMQ.
"""

FORK_AWARE = ("libarrow", "cv2.", "libopencv_")
"""How names of libraries begin that start threads anew in a child: pyarrow, OpenCV."""


class Thread(NamedTuple):
    """A thread that is not Python's.

    Attributes:
        identifier: Of the kernel, as in /proc.
        name: At most 15 characters; that of the process where the library gave it none.
        libraries: Paths of those whose functions it is in, innermost first; none where that was not looked for.
    """

    identifier: int
    name: str
    libraries: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.name != _own_name():
            return self.name
        if self.libraries:
            return f"one of {self.libraries[0].rpartition('site-packages/')[2]}"
        return "one without a name of its own"

    @property
    def is_fork_aware(self) -> bool:
        """Tell whether it is known that nobody waits for it in a child: its library starts another one there."""
        names = [path.rpartition("/")[2] for path in self.libraries]
        return bool(names) and all(name.startswith(FORK_AWARE) for name in names)


def count_threads() -> int:
    """Count the threads of this process, Python's and others; 1 where the system does not tell."""
    return len(os.listdir(_TASKS)) if os.path.isdir(_TASKS) else 1  # noqa: PTH112, PTH208 - as below


def native_threads() -> list[Thread]:
    """Find the threads of this process but for the main one and Python's; none where the system does not tell."""
    if sys.platform != "linux":
        return []
    known = {thread.native_id for thread in threading.enumerate()} | {os.getpid()}
    # Python knows of threads that the module `_thread` has started, but not under which number the kernel does.
    nameless = sum(thread not in {each.ident for each in threading.enumerate()} for thread in sys._current_frames())
    found = []
    for task in os.listdir(_TASKS):  # noqa: PTH208 - looked at often
        name = _name(int(task))
        if int(task) in known or name is None:
            continue
        if nameless and name == _own_name():
            nameless -= 1
            continue
        found.append(Thread(int(task), name))
    return found


def unsafe_threads() -> list[Thread]:
    """Find the native threads that make a fork of this process unsafe.

    Where there are others than those whose names are known, the process is forked once, to see which of them are left:
    fork handlers, as OpenBLAS has them, end threads and start them again. That child ends at once.
    """
    suspects = [thread for thread in native_threads() if not thread.name.startswith(HARMLESS)]
    if not suspects:
        return []
    known = [thread for thread in suspects if thread.name.startswith(UNSAFE)]
    if known:
        return known
    _fork_for_trial()
    left = _with_libraries([thread for thread in native_threads() if not thread.name.startswith(HARMLESS)])
    return [thread for thread in left if not thread.is_fork_aware]


def _with_libraries(threads: list[Thread]) -> list[Thread]:
    """Find out whose the threads are that bear the name of their process."""
    own = _own_name()
    nameless = [thread.identifier for thread in threads if thread.name == own]
    found = libraries_on_stacks(nameless) if nameless else {}
    return [thread._replace(libraries=found.get(thread.identifier, ())) for thread in threads]


def _name(task: int) -> str | None:
    try:
        with open(f"{_TASKS}/{task}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
            return file.read().rstrip("\n")
    except OSError:
        return None  # it has just ended


def _own_name() -> str | None:
    return _name(os.getpid())


def _fork_for_trial() -> None:
    """Let the fork handlers of libraries run, and nothing else: no handler of Python's, no code of the user's."""
    import ctypes

    library = ctypes.PyDLL(None)  # keeps the interpreter's lock, which the child could not take
    pid = library.fork()
    if pid == 0:
        library._exit(0)
    deadline = time.monotonic() + _TRIAL_LIMIT
    with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored here, and the system has forgotten it
        while pid > 0 and os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, 9)
                deadline = float("inf")
            time.sleep(0.0005)
