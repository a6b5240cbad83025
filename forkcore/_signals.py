"""Signals of an idle template.

Loaded by templates: it imports next to nothing.
"""

from __future__ import annotations

import _signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _ignore(_number: int, _frame: object) -> None:
    """Handle a signal by doing nothing: the interpreter has written to the inbox already."""


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


def heed_children(inbox: int) -> None:
    """Have the end of a child write a byte to the inbox, which wakes ``poll``."""
    _signal.signal(_signal.SIGCHLD, _ignore)
    _signal.set_wakeup_fd(inbox, warn_on_full_buffer=False)


def ignore_children() -> None:
    """Undo `heed_children`: a process that is forked now has nothing of it."""
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
