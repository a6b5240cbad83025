"""How a child calls the user's function, and leaves afterwards.

Loaded by templates: it imports next to nothing at the top.
"""

from __future__ import annotations

import _signal
import atexit
import posix
import sys

# Looked up now and not in each child, which would write to the modules that they are in. The last two are private, and
# used as multiprocessing uses them: there is no other way to leave without the exit handlers of the template.
from atexit import _ncallbacks, _run_exitfuncs
from posix import _exit
from sys import _current_frames

from forkcore._child import annotate, users_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


_BY_INTERRUPT = -1  # no exit code: whoever started the process is to see that SIGINT has ended it


class ExitBarrier:
    """An exit handler between those of a template and those of its children, which registered theirs later.

    Handlers run last in, first out: once this one is called, the child's own are done, and the process ends before
    those of the template would run. They are not removed, since that might destroy what only they refer to.
    """

    __slots__ = ("_count", "then")

    def __init__(self) -> None:
        self._count = 0
        # How the process ends; None while it is not about to.
        self.then: Callable[[], NoReturn] | None = None

    @property
    def has_above(self) -> bool:
        """Whether there are handlers of this process, as far as their number tells."""
        return _ncallbacks() != self._count

    def raise_again(self) -> None:
        """In a template, before a fork: put it on top of whatever was registered since."""
        if self.has_above:
            atexit.register(self)
            self._count = _ncallbacks()

    def __call__(self) -> None:
        """Go on with the end of the process, where it is about to."""
        if self.then is None:
            return
        try:
            self.then()
        finally:
            _exit(1)  # an exception would go on to the handlers of the template


BARRIER = ExitBarrier()


def run_exit_handlers(then: Callable[[], NoReturn]) -> NoReturn:
    """In a child: call the exit handlers that were registered with ``atexit`` since its fork, last in, first out.

    Those of the template are not called. For a function that ends its process by itself, and not by returning. What
    handlers raise is shown by ``sys.unraisablehook``, as at the end of any program. Threads are not waited for.

    Args:
        then: Called afterwards, from among the handlers, so that those of the template do not follow; it ends the
            process, as by ``os._exit``. If it returns or raises, the process exits with code 1.
    """
    if BARRIER.has_above and BARRIER.then is None:
        BARRIER.then = then
        _run_exitfuncs()
    # There are none, or code of the program has removed all, the barrier too.
    try:
        then()
    finally:
        _exit(1)


def call(function: Callable[..., object], channel: Any, arguments: list[Any]) -> NoReturn:
    """Run the user's function, and leave the process as a Python program of its own would.

    The template's exit handlers and destructors do not run: this does not unwind.
    """
    code = 1
    try:
        if arguments:
            function(channel, *arguments)
        else:
            function(channel)  # makes no tuple and no list
        code = 0
    except SystemExit as error:
        code = _exit_code(error)
    except BaseException as error:  # noqa: BLE001 - the last frame of the user's program
        _print_exception(error)
        if isinstance(error, KeyboardInterrupt):
            code = _BY_INTERRUPT
    finally:
        if arguments:
            # Files among them are closed by this, and so flushed.
            arguments.clear()
        leave(code)


def leave(code: int) -> NoReturn:
    """End the process, in the order of a program's end: the function's threads, its exit handlers, what is buffered.

    Args:
        code: To exit with, or `_BY_INTERRUPT`.
    """
    try:
        if len(_current_frames()) > 1 and "threading" in sys.modules:
            sys.modules["threading"]._shutdown()  # noqa: SLF001 - as the interpreter's own end does
        if _ncallbacks() and BARRIER.then is None:
            BARRIER.then = lambda: leave(code)
            _run_exitfuncs()
        # Not by `flush`: a function that nobody else has called costs two page faults.
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                try:
                    stream.flush()
                except Exception:  # noqa: BLE001 - it may be any object that the program has put there
                    code = code or 120  # what Python itself exits with where stdout cannot be flushed
        if code == _BY_INTERRUPT:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
            posix.kill(posix.getpid(), _signal.SIGINT)
    finally:
        # 130 is what a shell shows for SIGINT; it gets there where that is blocked.
        _exit(code if code >= 0 else 130)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    if sys.stderr is not None:
        sys.stderr.write(f"{error.code}\n")
    return 1


def _print_exception(error: BaseException) -> None:
    annotate(error)
    error = error.with_traceback(users_part(error))
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException as secondary:  # noqa: BLE001 - as the interpreter treats its hook
        sys.__excepthook__(type(secondary), secondary, secondary.__traceback__)
