"""Which import has started a thread: looked at whenever another import begins, which costs some microseconds each."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

_TASKS = "/proc/self/task"


class Place(NamedTuple):
    """A line of the project that imports something.

    Attributes:
        path: Of the file.
        line: From 1.
    """

    path: str
    line: int

    def describe(self, root: Path) -> str:
        """Give file, line and what stands there: 'conftest.py:3: import polars'."""
        path = Path(self.path)
        name = path.relative_to(root) if path.is_relative_to(root) else path
        return f"{name}:{self.line}: {linecache.getline(self.path, self.line).strip()}"


class Start(NamedTuple):
    """When a thread was first seen.

    Attributes:
        place: The import that had begun last.
        is_inside: It had not ended yet.
    """

    place: Place
    is_inside: bool


class ImportWatch:
    """A finder that finds nothing: the first on ``sys.meta_path``, so that it is asked at the begin of each import."""

    def __init__(self, root: Path) -> None:
        """Watch from now on, until `stop`.

        Args:
            root: Folder of the project. Lines of files below it are the user's, but for installed packages.
        """
        self._root = str(root)
        self._is_users: dict[str, bool] = {}
        self._place: Place | None = None
        self._tasks = os.open(_TASKS, os.O_RDONLY | os.O_CLOEXEC) if os.path.isdir(_TASKS) else -1  # noqa: PTH112 - once
        self._count = self._count_threads()
        self._known = _thread_ids()
        self._starts: dict[int, Start] = {}
        sys.meta_path.insert(0, self)

    def find_spec(self, _name: str, _path: Sequence[str] | None = None, _target: Any = None) -> None:
        """Look at this process."""
        if self._count_threads() != self._count:
            self._note(sys._getframe(1))
        self._place = self._users_line(sys._getframe(1)) or self._place

    def stop(self) -> None:
        """Look for the last time."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            self._note(None)
        if self._tasks >= 0:
            os.close(self._tasks)
            self._tasks = -1

    def start_of(self, thread: int) -> Start | None:
        """Tell when a thread was started.

        Args:
            thread: The kernel's number of it.
        """
        return self._starts.get(thread)

    def _note(self, frame: FrameType | None) -> None:
        now = _thread_ids()
        if self._place is not None:
            is_inside = self._place in _lines(frame)
            self._starts |= dict.fromkeys(now - self._known, Start(self._place, is_inside))
        self._known = now
        self._count = self._count_threads()

    def _count_threads(self) -> int:
        """Count the threads of this process, faster than by listing them: each is a link to the folder."""
        return os.fstat(self._tasks).st_nlink if self._tasks >= 0 else 0

    def _users_line(self, frame: FrameType | None) -> Place | None:
        """Find the import that has begun, if it stands in a file of the user's."""
        while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        if frame is None:
            return None
        path = frame.f_code.co_filename
        if path not in self._is_users:
            self._is_users[path] = path.startswith(self._root) and "site-packages" not in path
        return Place(path, frame.f_lineno) if self._is_users[path] else None


def _lines(frame: FrameType | None) -> Iterator[Place]:
    """Give the lines that are executed at the moment, innermost first."""
    while frame is not None:
        yield Place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back


def _thread_ids() -> set[int]:
    try:
        return {int(name) for name in os.listdir(_TASKS)}  # noqa: PTH208 - as above
    except OSError:
        return set()
