"""What a process sees of the file system, in a mount namespace of its own.

Source: mount_namespaces(7), mount(2), tmpfs(5), open_tree(2), move_mount(2), mount_setattr(2).
"""

from __future__ import annotations

import errno
import os
import sys

from forkcore import _sandbox_system as system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PRIVATE = "/tmp"  # noqa: S108 - the folder itself, in place of which a private one is mounted
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - as above


def arrange(
    *,
    read_only: bool,
    writable: Sequence[str],
    visible: Sequence[str],
    hidden: Sequence[str],
    private_size: int | None,
) -> None:
    """Arrange what this process sees; it has just entered a mount namespace.

    Args:
        read_only: Nothing can be written but `writable`, the private folder, and shared memory, which is a new one.
        writable: Paths that stay as they are.
        visible: Paths that are seen in a private folder as well.
        hidden: Paths that are empty from now on; what is not there is left alone.
        private_size: A new, empty ``/tmp`` of so many bytes is mounted; 0 for as many as the system allows; None for
            the old one. What the program is made of stays visible in it: see `_places`.

    Raises:
        OSError: A path is not there, or a mount failed.
    """
    system.mount("", "/", flags=system.MS_REC | system.MS_PRIVATE)
    kept = [(path, False) for path in writable]
    if private_size is not None:
        kept += [(path, read_only) for path in _places(PRIVATE, visible, writable)]
    copies: list[tuple[str, int, bool]] = []
    try:
        for path, is_read_only in kept:
            copies.append((path, system.clone_mounts(path), is_read_only))
        if read_only:
            system.make_mounts_read_only("/")
            if os.path.isdir(_SHARED_MEMORY):
                _mount_empty(_SHARED_MEMORY, "mode=1777")
        if private_size is not None:
            _mount_empty(PRIVATE, f"mode=1777,size={private_size}" if private_size else "mode=1777")
        # From the outside to the inside.
        for path, copy, is_read_only in sorted(copies):
            if is_read_only:
                system.make_mounts_read_only(fd=copy)
            _attach(copy, path, may_make=private_size is not None)
    finally:
        for _, copy, _ in copies:
            os.close(copy)
    _hide(hidden)
    # Until here it is the directory below what was mounted over it.
    os.chdir(os.getcwd())


def _mount_empty(path: str, options: str, flags: int = 0) -> None:
    system.mount("tmpfs", path, "tmpfs", flags | system.MS_NOSUID | system.MS_NODEV, options)


def _attach(copy: int, path: str, *, may_make: bool) -> None:
    if may_make and _is_below(path, PRIVATE) and not os.path.lexists(path):
        is_directory = os.path.isdir(f"/proc/self/fd/{copy}")
        os.makedirs(path if is_directory else os.path.dirname(path), exist_ok=True)
        if not is_directory:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    system.attach_mounts(copy, path)


def _hide(paths: Iterable[str]) -> None:
    here = os.getcwd()
    for path in sorted(paths):
        if _is_below(here, path) or here == path:
            raise OSError(errno.EBUSY, "hide= covers the working directory", path)
        if os.path.isdir(path):
            _mount_empty(path, "mode=0555,size=4k", system.MS_RDONLY)
        elif os.path.exists(path):
            system.mount("/dev/null", path, flags=system.MS_BIND)


def _places(folder: str, visible: Iterable[str], writable: Iterable[str]) -> list[str]:
    """Give what stays visible below a folder but what is writable: what the program is made of, and what was named."""
    places = {os.getcwd(), sys.prefix, sys.base_prefix, *sys.path, *visible}
    found: list[str] = []
    for path in sorted(os.path.realpath(place) for place in places if place):
        covered = any(path == other or _is_below(path, other) for other in (*found, *writable))
        if _is_below(path, folder) and not covered and os.path.exists(path):
            found.append(path)
    return found


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
