"""How a test or a fixture breaks off the whole run, as an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_forkiso._stream import plain_text

if TYPE_CHECKING:
    from pytest_forkiso._events import Event


def describe_interrupt(error: BaseException) -> Event:
    """Make an event of `pytest.exit`, or of a KeyboardInterrupt with the place where it was raised."""
    if isinstance(error, pytest.exit.Exception):
        code = error.returncode
        return "exit", plain_text(error.msg), None if code is None else int(code)
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    path, line = ("", 0) if traceback is None else (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
    return "keyboard", path, line
