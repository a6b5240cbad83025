"""Landlock: a process gives up rights on files, and to send signals, for itself and its descendants.

Source: landlock(7), and Documentation/userspace-api/landlock.rst of the kernel, for the structures and versions.
"""

from __future__ import annotations

import os
import struct

from forkcore import _sandbox_system as system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Versions of the interface.
READ_ONLY_SINCE = 3  # Linux 6.2; before, files could be truncated all the same
SIGNALS_SINCE = 6  # Linux 6.12

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_SCOPE_SIGNAL = 2
# LANDLOCK_ACCESS_FS_*: what changes a file or a directory.
_WRITE_FILE = 1 << 1
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))  # REMOVE_DIR to MAKE_SYM
_REFER = 1 << 13  # rename and link from one directory to another
_TRUNCATE = 1 << 14
_OF_FILES = _WRITE_FILE | _TRUNCATE

# What is written to as a device is, and is no place for files.
_DEVICES = ("/dev",)


def version() -> int:
    """Give the version of the interface; 0 where the kernel has none, or it is not enabled."""
    try:
        return system.system_call(system.LANDLOCK_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(*, writable: Iterable[str] | None, own_signals: bool) -> None:
    """Give up rights; the process must have no_new_privs.

    Args:
        writable: Files may be written, made and removed at and below these paths, and nowhere else; None for
            everywhere.
        own_signals: Signals go only to processes that this one has made.

    Raises:
        OSError: A path is not there, or the kernel has no such version.
    """
    rights = 0 if writable is None else _WRITE_FILE | _REMOVE_AND_MAKE | _REFER | _TRUNCATE
    # struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped. It has grown with the versions.
    attributes = struct.pack("=QQQ", rights, 0, _SCOPE_SIGNAL) if own_signals else struct.pack("=Q", rights)
    ruleset = system.system_call(system.LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        if writable is not None:
            for path in (*writable, *_DEVICES):
                _allow(ruleset, path, rights)
        system.system_call(system.LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        # struct landlock_path_beneath_attr is packed: allowed_access, parent_fd.
        rule = struct.pack("=Qi", rights, fd)
        system.system_call(system.LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(fd)
