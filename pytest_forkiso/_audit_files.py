"""Files that a test leaves in its working directory."""

from __future__ import annotations

import fnmatch
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = 20_000
"""So many are looked at, the upper ones first."""

_IGNORED = (".*", "*.egg-info", "*.pyc", "__pycache__", "node_modules", "pytest-of-*", "venv")


class Files:
    """The files of a directory.

    Attributes:
        folder: The directory.
        found: Kind, size and time of each path in it, which is relative.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.found: dict[str, tuple[int, int, int]] = {}
        waiting = [""]
        while waiting and len(self.found) < ENTRIES:
            waiting += self._look(waiting.pop(0))

    def _look(self, path: str) -> list[str]:
        """Note what is in one directory; give the directories in it."""
        folders: list[str] = []
        try:
            entries = list(os.scandir(os.path.join(self.folder, path)))  # noqa: PTH118 - many of them
        except OSError:
            return folders
        for entry in entries:
            if any(fnmatch.fnmatch(entry.name, pattern) for pattern in _IGNORED):
                continue
            name = os.path.join(path, entry.name)  # noqa: PTH118 - as above
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
                self.found[name] = (status.st_mode, 0, 0)
            else:
                self.found[name] = (status.st_mode, status.st_size, status.st_mtime_ns)
        return folders


def take_files() -> Files | None:
    """Take the files of the working directory; None where that is gone."""
    try:
        return Files(os.getcwd())  # noqa: PTH109 - may be gone
    except FileNotFoundError:
        return None


def compare_files(before: Files | None, after: Files | None) -> Iterator[str]:
    """Name what is new, changed or gone in the directory in which the test began."""
    if before is None:
        return
    if after is None or after.folder != before.folder:
        after = Files(before.folder)
    shown: list[str] = []
    for name in sorted(before.found.keys() | after.found.keys()):
        if any(name.startswith(folder + os.sep) for folder in shown):
            continue  # what is in a new directory is new
        if name not in before.found:
            shown.append(name)
            yield f"{name} was made"
        elif name not in after.found:
            shown.append(name)
            yield f"{name} was removed"
        elif before.found[name] != after.found[name]:
            yield f"{name} was changed"
