"""Runs of pytest at a terminal of their own."""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from typing import TYPE_CHECKING

from inner import RUN_LIMIT

from helpers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inner import Process, Run, Suite


class Terminal:
    """A run of pytest at a terminal of its own, and what a user reads and types there.

    Attributes:
        raw: What has been shown so far, with colours.
    """

    def __init__(self, process: Process, master: int) -> None:
        self._process = process
        self._master = master
        self.raw = ""
        self._seen = 0

    @property
    def text(self) -> str:
        """What has been shown so far, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw)

    def expect(self, pattern: str) -> str:
        """Wait for a text beyond what was expected before; give what matched."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.compile(pattern).search(self.text, self._seen)):
            left = deadline - time.monotonic()
            if left < 0 or not self._read(left):
                raise AssertionError(f"{pattern!r} does not come:\n{self.text[self._seen :]}\n---\n{self.text}")
        self._seen = found.end()
        return found.group()

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False  # the terminal's last user has gone
        self.raw += data.decode("utf-8", "backslashreplace")
        return bool(data)

    def type(self, keys: str) -> None:
        """Type keys; the character 3 is Ctrl-C."""
        os.write(self._master, keys.encode())

    def finish(self) -> Run:
        """Read to the end, and wait for it."""
        while self._read(RUN_LIMIT):
            pass
        return self._process.finish()


@contextlib.contextmanager
def terminal(suite: Suite, *arguments: str) -> Iterator[Terminal]:
    """Start pytest as the foreground job of a new terminal."""
    master, slave = os.openpty()
    try:
        process = suite.start(
            *arguments, stdin=slave, stdout=slave, stderr=slave, preexec_fn=_controlling_terminal(slave)
        )
    finally:
        os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        os.close(master)


def _controlling_terminal(slave: int) -> Callable[[], object]:
    import fcntl
    import termios

    return lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
