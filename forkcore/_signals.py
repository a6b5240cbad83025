"""Signals of an idle template.

Loaded by templates: it imports next to nothing.
"""

from __future__ import annotations

import _signal
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# A handler that does nothing, for the interpreter has written a byte already. It is no function in Python, because
# those cost a template two page faults for each child.
_NOTHING: Any = {}.get


def take_signals() -> Any:
    """Set the signals of an idle template.

    Handlers in Python are those of the program that was forked: its code must not run here.

    Returns:
        What SIGINT shall be in children.
    """
    interrupt: Any = _signal.default_int_handler
    for number in _signal.valid_signals():
        handler = _signal.getsignal(number)
        if number == _signal.SIGINT:
            if handler == _signal.SIG_IGN:
                interrupt = handler
            # Ctrl-C goes to the whole group; a template ends with its parent.
            _signal.signal(number, _signal.SIG_IGN)
        elif callable(handler):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    return interrupt


def heed_children(wake: int) -> None:
    """Have the end of a child write a byte to a socket, which wakes ``poll``."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGCHLD,))
    _signal.signal(_signal.SIGCHLD, _NOTHING)
    _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)


def ignore_children() -> None:
    """Undo `heed_children`."""
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def send_signal(pid: int, number: int) -> None:
    """Send a signal to a child that has not been reaped, if the system allows it: it may be another user's by now."""
    try:
        posix.kill(pid, number)
    except PermissionError:
        return
