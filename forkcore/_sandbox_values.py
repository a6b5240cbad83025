"""Values of a sandbox as the user writes them, and as the system takes them: sizes, paths, users."""

from __future__ import annotations

import os
import re

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LARGEST = 1 << 60  # with what is in use added, it is still below what the kernel takes for no limit
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)


def parse_size(value: int | str, name: str = "size") -> int:
    """Give the bytes of a size: a number, or text as "512M".

    Raises:
        ValueError: It is no size; the text calls it by `name`.
        TypeError: It is neither number nor text.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{name} must be a number of bytes or text as '512M', not {value!r}")
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        size = int(match[1]) * _UNITS[match[2].upper()] if match else 0
    else:
        size = value
    if not 1 <= size <= _LARGEST:
        raise ValueError(f"{name} must be a number of bytes from 1 to 2**60 or text as '512M', not {value!r}")
    return size


def absolute(path: str | os.PathLike[str]) -> str:
    """Give the path without links, ``~`` and ``..``; a relative one begins at the working directory."""
    return os.path.realpath(os.path.expanduser(os.fspath(path)))


def find_user(user: str | int) -> tuple[int, int, tuple[int, ...]]:
    """Give the numbers of a user, of its group, and of all its groups.

    Raises:
        LookupError: There is no such user.
    """
    import pwd

    try:
        entry = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError as error:
        raise LookupError(f"user={user!r}: there is no such user on this machine") from error
    return entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
