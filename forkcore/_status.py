"""How a process ended, and what it had used by then."""

from __future__ import annotations

import os
import signal as signal_module
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What a process has used, as wait4(2) tells it.

    Attributes:
        user_time: CPU seconds in user mode.
        system_time: CPU seconds in the kernel.
        max_rss_bytes: Peak of the resident memory. A forked process starts with the pages that it
            shares with its template.
    """

    user_time: float
    system_time: float
    max_rss_bytes: int


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended.

    Attributes:
        code: Exit code; None where a signal ended it, or where nothing is known.
        signal: Number of the signal that ended it, or None.
        usage: Resource usage; None where nothing is known.
        core_dumped: Whether the kernel wrote a core file.

    Nothing is known (`is_known` is false) where somebody else has waited for the process, or where
    SIGCHLD is ignored in the process that forked it.
    """

    code: int | None
    signal: int | None = None
    usage: ResourceUsage | None = None
    core_dumped: bool = False

    @property
    def is_known(self) -> bool:
        """Whether it is known how the process ended."""
        return self.code is not None or self.signal is not None

    @property
    def returncode(self) -> int | None:
        """Exit code, or the negative number of a signal, as ``subprocess`` has it."""
        return -self.signal if self.signal is not None else self.code

    def __str__(self) -> str:
        if self.signal is not None:
            try:
                name = signal_module.Signals(self.signal).name
            except ValueError:
                name = "unknown"
            return f"died with signal {self.signal} ({name})"
        return "ended in an unknown way" if self.code is None else f"exited with code {self.code}"


UNKNOWN_STATUS = ExitStatus(None)


def decode_status(status: int, usage: ResourceUsage | None) -> ExitStatus:
    """Turn the status word of wait4(2) into an `ExitStatus`; -1 stands for an unknown one."""
    if status < 0:
        return UNKNOWN_STATUS
    if os.WIFSIGNALED(status):
        return ExitStatus(None, os.WTERMSIG(status), usage, os.WCOREDUMP(status))
    return ExitStatus(os.WEXITSTATUS(status), None, usage)
