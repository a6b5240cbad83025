"""System calls of Linux that Python has no function for; loaded where a sandbox is applied, and nowhere else.

Sources: the manual pages named beside each call (man-pages 6.9), Documentation/userspace-api of the kernel, and its
header include/uapi/asm-generic/unistd.h: calls that came with Linux 5.2 or later have the same number on every
architecture that Python runs on.

There are packages for some of these (landlock, py-landlock and landlockpy for Landlock, pyseccomp for libseccomp,
nsenter and linuxnamespaces for namespaces), and none for all; forkcore depends on no package.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Of unshare(2), in <linux/sched.h>.
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
# Of prctl(2), in <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
PR_GET_PDEATHSIG = 2
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
# Of mount(2), in <linux/mount.h>.
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
# Of open_tree(2), move_mount(2) and mount_setattr(2), in <linux/mount.h> and <linux/fcntl.h>.
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 0x1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOUNT_ATTR_RDONLY = 0x1
_MOUNT_ATTR_SIZE = 32
# Numbers of system calls.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_MOUNT_SETATTR = 442
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446

_library = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> int:
    """Call a function of the C library that gives -1 and sets errno where it fails.

    Args:
        name: Of the function.
        arguments: Integers, which go as C longs; bytes; None; objects of ctypes.

    Raises:
        OSError: It failed.
        AttributeError: The C library has no such function.
    """
    function = getattr(_library, name)
    function.restype = ctypes.c_long if name == "syscall" else ctypes.c_int
    result: int = function(*(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def system_call(number: int, *arguments: Any) -> int:
    """Make a call that the C library has no function for; see `call`."""
    return call("syscall", number, *arguments)


def prctl(option: int, *arguments: Any) -> int:
    """Change or ask for a property of this process, see prctl, in section 2 of the manual, and `call`."""
    return call("prctl", option, *arguments, *[0] * (4 - len(arguments)))


def unshare(flags: int) -> None:
    """Give this process namespaces of its own. ``os.unshare`` came with Python 3.12.

    Raises:
        OSError: EPERM without the capability, ENOSPC at a limit of ``/proc/sys/user``, EINVAL without such namespaces.
    """
    call("unshare", flags)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Put a file system in its place, or change how it is there.

    Raises:
        OSError: It failed; names the target.
    """
    texts = [os.fsencode(text) or None for text in (source, target, kind)]
    try:
        call("mount", *texts, flags, os.fsencode(data) or None)
    except OSError as error:
        raise OSError(error.errno, f"mount: {error.strerror}", target) from None


def clone_mounts(path: str) -> int:
    """Copy the mounts at and below a path, as they are now: open_tree(2), Linux 5.2.

    Returns:
        A descriptor of the copy, which is mounted nowhere; owned by the caller.

    Raises:
        OSError: There is no such path, or it failed.
    """
    flags = _OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC
    try:
        return system_call(_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def attach_mounts(fd: int, target: str) -> None:
    """Mount what `clone_mounts` copied: move_mount(2), Linux 5.2.

    Args:
        fd: Borrowed.
        target: A directory or a file, of the same kind as what was copied.

    Raises:
        OSError: It failed; names the target.
    """
    try:
        system_call(_MOVE_MOUNT, fd, b"", AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    except OSError as error:
        raise OSError(error.errno, f"mount: {error.strerror}", target) from None


def make_mounts_read_only(path: str = "", fd: int = AT_FDCWD) -> None:
    """Forbid writing at all mounts at and below a path: mount_setattr(2), Linux 5.12.

    Args:
        path: Of a mount, or empty.
        fd: In place of a path: of a copy as `clone_mounts` makes it; borrowed.

    Raises:
        OSError: ENOSYS before Linux 5.12.
    """
    attributes = _MOUNT_ATTR_RDONLY.to_bytes(8, "little" if _IS_LITTLE else "big") + bytes(_MOUNT_ATTR_SIZE - 8)
    flags = AT_RECURSIVE | (0 if path else AT_EMPTY_PATH)
    system_call(_MOUNT_SETATTR, fd, os.fsencode(path), flags, attributes, _MOUNT_ATTR_SIZE)


_IS_LITTLE = int.from_bytes(bytes(ctypes.c_uint16(1)), "little") == 1
