"""Names of pytest that are not public, for what it captures: it goes to files that outlive a crash as well."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from typing import TYPE_CHECKING, Any

from _pytest.capture import CaptureIO, FDCapture, SysCapture, TeeCaptureIO

from pytest_forkiso._slots import limit_file

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_forkiso._slots import Slot

# Bound now: a test may replace names of the module `os`, and prints and logs all the same.
_write = os.write
_lseek = os.lseek
_ftruncate = os.ftruncate


class _Mirror:
    """The file to which what is in memory goes as well: for the report of a crash only; pytest has the memory."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def _copy(self, data: Any) -> None:
        with contextlib.suppress(OSError):
            _write(self._fd, data)


class _MirroredBytes(_Mirror, io.BytesIO):
    """What is written by way of an encoder."""

    def write(self, data: Any) -> int:
        self._copy(data)
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        empty(self._fd)  # pytest has taken what a phase has written
        return super().truncate(size)


class _MirroredIO(CaptureIO):
    """What pytest captures with ``--capture=sys``."""

    def __init__(self, fd: int) -> None:
        io.TextIOWrapper.__init__(self, _MirroredBytes(fd), encoding="UTF-8", newline="", write_through=True)


class _MirroredTeeIO(TeeCaptureIO):
    """What pytest captures with ``--capture=tee-sys``."""

    def __init__(self, fd: int, other: Any) -> None:
        self._other = other
        io.TextIOWrapper.__init__(self, _MirroredBytes(fd), encoding="UTF-8", newline="", write_through=True)


class _MirroredLog(_Mirror, io.StringIO):
    """What is logged in a phase."""

    def write(self, text: str) -> int:
        self._copy(text.encode("utf-8", "backslashreplace"))
        return super().write(text)


def empty(fd: int) -> None:
    """Empty the file of something that pytest has reported."""
    with contextlib.suppress(OSError):  # the test has closed it
        if _lseek(fd, 0, os.SEEK_CUR):
            _ftruncate(fd, 0)
            _lseek(fd, 0, os.SEEK_SET)


def is_capturing(config: pytest.Config) -> bool:
    """Tell whether what this process writes to its standard output right now is captured."""
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    return config.getoption("capture", "no") in ("fd", "sys") and capturing is not None and capturing.is_started()


def redirect_capture(config: pytest.Config, slot: Slot, limit: int) -> None:
    """Let what pytest captures in this process go to these files, which its parent can read after a crash.

    pytest has no public way to say where captured output goes. Capturing must be suspended, as it is between tests.

    Args:
        config: Of the session.
        slot: The files, borrowed.
        limit: Bytes that are kept of what a phase writes to each of them.
    """
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    if capturing is None:
        return
    for capture, fd in ((capturing.out, slot.stdout), (capturing.err, slot.stderr)):
        if isinstance(capture, FDCapture):
            os.dup2(fd, capture.tmpfile.fileno(), inheritable=False)
            own_snap = capture.snap.args[0] if isinstance(capture.snap, functools.partial) else capture.snap
            capture.snap = functools.partial(_limited_snap, own_snap, fd, limit)  # type: ignore[method-assign]
        elif type(capture) is SysCapture:
            if isinstance(capture.tmpfile, TeeCaptureIO):
                capture.tmpfile = _MirroredTeeIO(fd, capture.tmpfile._other)  # noqa: SLF001 - this is what the module is for
            elif isinstance(capture.tmpfile, CaptureIO):
                capture.tmpfile = _MirroredIO(fd)


def replace_saved(config: pytest.Config, out: int, err: int) -> None:
    """Let pytest give these back as standard output and error, when it does not capture, in place of what it has saved.

    Args:
        config: Of the session.
        out: Descriptor, borrowed.
        err: As `out`.
    """
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    for capture, fd in ((getattr(capturing, "out", None), out), (getattr(capturing, "err", None), err)):
        if isinstance(capture, FDCapture):
            os.dup2(fd, capture.targetfd_save, inheritable=False)


def _limited_snap(snap: Callable[[], str], fd: int, limit: int) -> str:
    """Shorten a file before pytest reads all of it into memory."""
    with contextlib.suppress(OSError):  # the test has closed it
        limit_file(fd, limit)
    return snap()


def redirect_log(config: pytest.Config, fd: int) -> None:
    """Let what is logged in the phase that has just begun go to this file as well.

    pytest has no public way to say where the text of ``Captured log`` is gathered; each phase begins with a new place.

    Args:
        config: Of the session.
        fd: Descriptor of a regular file, borrowed.
    """
    plugin: Any = config.pluginmanager.get_plugin("logging-plugin")
    handler = getattr(plugin, "report_handler", None)
    if handler is not None:
        handler.setStream(_MirroredLog(fd))
