"""What a test changes in its process: environment, signals, threads, descriptors, and settings of the standard library.

Each aspect is a function that takes its state, and one that compares two states.
"""

from __future__ import annotations

import locale
import logging
import os
import signal
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

from pytest_forkiso import _leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN_VARIABLES = frozenset(("PYTEST_CURRENT_TEST",))
_OWN_HANDLERS = "_pytest.logging"
_THREAD_GRACE = 0.2
"""Seconds in which a thread that Python has joined ends for the system as well."""
_PAUSE = 0.001


def take_processes() -> list[_leftovers.Leftover]:
    """Take the processes below this one."""
    return _leftovers.below()


def compare_processes(before: list[_leftovers.Leftover], after: list[_leftovers.Leftover]) -> Iterator[str]:
    """Name those that are new."""
    for left in after:
        if left not in before:
            yield f"process {left.pid}: {left.command}"


def take_threads() -> tuple[dict[int | None, str], int]:
    """Take Python's threads by their number, and how many others there are."""
    known = {
        thread.ident: f"{thread.name!r}{', a daemon' if thread.daemon else ''}" for thread in threading.enumerate()
    }
    try:
        count = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names only
    except OSError:
        count = len(known)
    return known, count - len(known)


def compare_threads(
    before: tuple[dict[int | None, str], int], after: tuple[dict[int | None, str], int]
) -> Iterator[str]:
    """Name those that are new."""
    for number, name in after[0].items():
        if number not in before[0]:
            yield f"thread {name}"
    others = after[1] - before[1]
    deadline = time.monotonic() + _THREAD_GRACE
    while others > 0 and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        others = take_threads()[1] - before[1]
    if others > 0:
        yield f"{others} {'thread' if others == 1 else 'threads'} outside of Python"


def take_descriptors() -> dict[int, str]:
    """Take open descriptors, and what they refer to; none where the test's sandbox hides them."""
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    found: dict[int, str] = {}
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names only
    except FileNotFoundError:
        return found
    for name in names:
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}") if sys.platform == "linux" else _kind(int(name))  # noqa: PTH115 - as above
        except OSError:
            continue  # that of the listing itself
    return found


def _kind(fd: int) -> str:
    return f"mode {os.fstat(fd).st_mode:o}"


def compare_descriptors(before: dict[int, str], after: dict[int, str]) -> Iterator[str]:
    """Name those that are new, refer to something else, or are closed."""
    for fd in sorted(after):
        if fd not in before:
            yield f"descriptor {fd} is open: {after[fd]}"
        elif before[fd] != after[fd]:
            yield f"descriptor {fd} is {after[fd]}, and was {before[fd]}"
    for fd in sorted(set(before) - set(after)):
        yield f"descriptor {fd} is closed: {before[fd]}"


def take_environment() -> dict[str, str]:
    """Take the environment."""
    return {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}


def compare_environment(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    """Name variables; their values may be secret."""
    yield from _compare_names("variable", before, after)


def _compare_names(what: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"{what} {name} was added"
        elif name not in after:
            yield f"{what} {name} was removed"
        elif before[name] != after[name]:
            yield f"{what} {name} was changed"


def take_place() -> tuple[str, int]:
    """Take working directory and umask."""
    try:
        directory = os.getcwd()  # noqa: PTH109 - may be gone
    except FileNotFoundError:
        directory = "one that is gone"
    umask = os.umask(0o077)
    os.umask(umask)
    return directory, umask


def compare_place(before: tuple[str, int], after: tuple[str, int]) -> Iterator[str]:
    """Name what is another one."""
    if before[0] != after[0]:
        yield f"working directory is {after[0]}, and was {before[0]}"
    if before[1] != after[1]:
        yield f"umask is {after[1]:03o}, and was {before[1]:03o}"


def take_signals() -> tuple[dict[int, Any], set[int]]:
    """Take the handler of each signal, and which signals are blocked."""
    handlers = {int(number): signal.getsignal(number) for number in signal.valid_signals()}
    return handlers, {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}


def compare_signals(before: tuple[dict[int, Any], set[int]], after: tuple[dict[int, Any], set[int]]) -> Iterator[str]:
    """Name signals."""
    for number, handler in after[0].items():
        if handler != before[0].get(number):
            yield f"handler of {_signal_name(number)} is {_name_of(handler)}"
    for number in sorted(after[1] ^ before[1]):
        yield f"{_signal_name(number)} is {'blocked' if number in after[1] else 'not blocked any more'}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _name_of(handler: Any) -> str:
    if isinstance(handler, signal.Handlers):
        return handler.name
    return str(getattr(handler, "__qualname__", type(handler).__qualname__))


def take_locale() -> str:
    """Take the locale of this process."""
    return locale.setlocale(locale.LC_ALL)


def compare_locale(before: str, after: str) -> Iterator[str]:
    """Name the new one."""
    if before != after:
        yield f"locale is {after}, and was {before}"


def take_path() -> list[str]:
    """Take the search path."""
    return list(sys.path)


def compare_path(before: list[str], after: list[str]) -> Iterator[str]:
    """Name entries."""
    for entry in after:
        if entry not in before:
            yield f"sys.path has {entry!r}"
    for entry in before:
        if entry not in after:
            yield f"sys.path has {entry!r} no more"
    if before != after and sorted(before) == sorted(after):
        yield "sys.path is in another order"


def take_logging() -> dict[str, tuple[Any, ...]]:
    """Take what loggers are set to; those that are as they are made do not count."""
    found: dict[str, tuple[Any, ...]] = {"disable()": (logging.root.manager.disable,)}
    loggers: dict[str, Any] = {"root": logging.root, **logging.root.manager.loggerDict}
    for name, logger in loggers.items():
        if isinstance(logger, logging.Logger):
            handlers = tuple(one for one in logger.handlers if type(one).__module__ != _OWN_HANDLERS)
            state = (logger.level, handlers, logger.disabled, logger.propagate, tuple(logger.filters))
            if state != (logging.NOTSET, (), False, True, ()):
                found[name] = state
    return found


def compare_logging(before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]) -> Iterator[str]:
    """Name loggers."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield "logging.disable() is in force" if name == "disable()" else f"logger {name} is configured anew"


def take_warnings() -> list[Any]:
    """Take the filters."""
    return list(warnings.filters)


def compare_warnings(before: list[Any], after: list[Any]) -> Iterator[str]:
    """Say that they are others."""
    if before != after:
        yield f"warnings.filters has {len(after)} entries, and had {len(before)}"
