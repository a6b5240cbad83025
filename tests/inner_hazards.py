"""What is started in tests so that pytest must not be forked, and what is said of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inner import Run, Suite

STARTER = """
import ctypes

def start(name=None):
    libc = ctypes.CDLL(None)
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None) == 0
    if name is not None:
        assert libc.pthread_setname_np(thread, name) == 0
"""
"""Starts a thread in C that does nothing, for ever."""


def header(run: Run) -> str:
    """Give the line that says where the template comes from."""
    (line,) = re.findall(r"^forkiso: template from (.*)$", run.out, re.MULTILINE)
    assert isinstance(line, str)
    return line


def chosen(suite: Suite, *arguments: str) -> str:
    """Run the tests, which must pass, and give the header."""
    run = suite.forked("-v", *arguments)
    assert run.code == 0, run.out
    assert "multi-threaded" not in run.out
    return header(run)
