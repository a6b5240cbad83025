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
        # Of the import that has begun last: its line, and those that had led there; innermost first.
        self._places: list[Place] = []
        self._tasks = os.open(_TASKS, os.O_RDONLY | os.O_CLOEXEC) if os.path.isdir(_TASKS) else -1  # noqa: PTH112 - once
        self._count = self._count_threads()
        self._known = _thread_ids()
        self._starts: dict[int, Start] = {}
        sys.meta_path.insert(0, self)

    def find_spec(self, _name: str, _path: Sequence[str] | None = None, _target: Any = None) -> None:
        """Look at this process."""
        if self._count_threads() != self._count:
            self._note(sys._getframe(1))
        frame = _importing(sys._getframe(1))
        if frame is not None and self._is_of_user(frame):
            self._places = [place for each, place in _lines(frame) if self._is_of_user(each)]

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
        if self._places:
            running = {place for _, place in _lines(frame)}
            # What is still under way has started it; where nothing is, what it had all begun with has ended without.
            inside = next((place for place in self._places if place in running), None)
            start = Start(self._places[-1], is_inside=False) if inside is None else Start(inside, is_inside=True)
            self._starts |= dict.fromkeys(now - self._known, start)
        self._known = now
        self._count = self._count_threads()

    def _count_threads(self) -> int:
        """Count the threads of this process, faster than by listing them: each is a link to the folder."""
        return os.fstat(self._tasks).st_nlink if self._tasks >= 0 else 0

    def _is_of_user(self, frame: FrameType) -> bool:
        path = frame.f_code.co_filename
        if path not in self._is_users:
            self._is_users[path] = path.startswith(self._root) and "site-packages" not in path
        return self._is_users[path]


def _importing(frame: FrameType | None) -> FrameType | None:
    """Find what has begun an import."""
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame


def _lines(frame: FrameType | None) -> Iterator[tuple[FrameType, Place]]:
    """Give the lines that are executed at the moment, innermost first."""
    while frame is not None:
        yield frame, Place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back


def _thread_ids() -> set[int]:
    try:
        return {int(name) for name in os.listdir(_TASKS)}  # noqa: PTH208 - as above
    except OSError:
        return set()
