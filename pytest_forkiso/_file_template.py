"""The template of one test file, seen from pytest's own process: forked from a bare one, and told to collect."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import socket
from typing import TYPE_CHECKING

import forkcore
from pytest_forkiso import _leftovers
from pytest_forkiso._control import ControlWatch
from pytest_forkiso._conversation import Conversation
from pytest_forkiso._deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_forkiso._file_session import FilePlan

TARGET = ":run"
_COLLECT = (
    "from pytest_forkiso import _file_session; files = _file_session.collect(args[0]); "
    "run, snapshot = (files.run, files.snapshot) if files else (None, None)"
)


class FileTemplate:
    """Owns the template.

    Attributes:
        template: Forked from the bare one.
        is_ready: Its children may be forked.
        imported: Names of modules that its collection has imported, where that is to be learned from.
        objection: Why not; empty where it is ready, or still collects.
        is_common: The objection holds for all files.
        folder: It holds for all files below this one; empty where it is that of the file alone.
    """

    def __init__(
        self,
        template: forkcore.Template,
        selector: selectors.BaseSelector,
        answered: Callable[[FileTemplate], None],
    ) -> None:
        """Take over a template.

        Args:
            template: Consumed.
            selector: Borrowed; what comes from the template wakes it.
            answered: Called when it is ready, or has ended without being so.
        """
        self.template = template
        self.is_ready = False
        self.imported: list[str] = []
        self.objection = ""
        self.is_common = False
        self.folder = ""
        self._selector = selector
        self._answered = answered
        self._deadline = Deadline()
        self._watch: ControlWatch | None = None
        self._channel, self._theirs = socket.socketpair()
        self._conversation = Conversation(self._channel)
        selector.register(self._channel, selectors.EVENT_READ, self._hear)

    def begin(self, plan: FilePlan, timeout: float | None, alive_timeout: float) -> None:
        """Tell it to collect.

        Args:
            plan: Of the file.
            timeout: Seconds that it has; None for ever.
            alive_timeout: Seconds after which it must have begun.

        Raises:
            forkcore.TemplateDied: The bare template is gone.
        """
        with self._theirs:
            self.template.send_fd(self._theirs)
        self.template.eval(_COLLECT, pickle.dumps(plan))
        self._watch = ControlWatch(self.template, self._selector)
        self._deadline.begin(timeout, alive_timeout)

    @property
    def is_collecting(self) -> bool:
        """It has not answered yet."""
        return not (self.is_ready or self.objection)

    def _hear(self) -> None:
        for word, *values in self._conversation.receive():
            self._deadline.note_life()
            if word == "ready":
                self.is_ready = True
                (self.imported,) = values
            elif word == "unfit":
                self.objection, self.is_common, self.folder = values
        if self.is_ready:
            self._stop_hearing()
            self._answered(self)
        elif self.objection or self._conversation.is_closed:
            self._give_up(self.objection or "its collection has ended the process")

    def _give_up(self, objection: str) -> None:
        self.objection = objection
        self.end()
        self._answered(self)

    def _stop_hearing(self) -> None:
        self._deadline.clear()
        if self._channel.fileno() >= 0:
            self._selector.unregister(self._channel)
            self._channel.close()

    def seconds_left(self) -> float | None:
        """Give the seconds until `overdue` has to be called; None for never."""
        return self._deadline.seconds_left()

    def grant(self) -> None:
        """Give it the time to begin once more: it was the bare template that was not there."""
        self._deadline.renew_life()

    def overdue(self) -> None:
        """Wait no longer for it."""
        is_dead = self._deadline.lacks_life()
        self._give_up("its process was not alive" if is_dead else "its collection takes longer than a test may")

    def end(self) -> None:
        """End it at once, with all that its collection has started; no child may have been forked from it."""
        with contextlib.suppress(ProcessLookupError, forkcore.ForkcoreError):
            pid = self.template.pid
            _leftovers.end_orphans(pid, ())
            os.kill(pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Close it; children go on."""
        self._stop_hearing()
        if self._watch is not None:
            self._watch.close()
        self.template.close()
