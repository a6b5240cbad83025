"""Namespaces of this process: with root's rights, or in a user namespace of its own without them.

Source: namespaces(7), user_namespaces(7), network_namespaces(7), unshare(2), netdevice(7).
"""

from __future__ import annotations

import _socket
import errno
import os

from forkcore import _sandbox_system as system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_NAMES = "/proc/self/uid_map"
_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"


class Entered:
    """What came of an attempt to enter namespaces.

    Attributes:
        in_own_user: This process is in a user namespace of its own, where it may do what root may.
        refused: The reason for each that was not had.
    """

    def __init__(self) -> None:
        self.in_own_user = False
        self.refused: dict[int, OSError] = {}


def enter(flags: Sequence[int]) -> Entered:
    """Enter new namespaces, as many of them as the system allows.

    Args:
        flags: CLONE_* of each.

    Raises:
        OSError: The system let this process into a user namespace and then gave it no name there: it cannot go on.
    """
    entered = Entered()
    try:
        system.unshare(_sum(flags))
    except OSError as error:
        if error.errno == errno.EPERM:
            _enter_user(entered, flags)
        else:
            _enter_one_by_one(entered, flags)
    return entered


def _sum(flags: Sequence[int]) -> int:
    total = 0
    for flag in flags:
        total |= flag
    return total


def _enter_one_by_one(entered: Entered, flags: Sequence[int]) -> None:
    for flag in flags:
        try:
            system.unshare(flag)
        except OSError as error:
            entered.refused[flag] = error


def _enter_user(entered: Entered, flags: Sequence[int]) -> None:
    """Without root's rights: a user namespace comes first."""
    try:
        enter_user()
    except OSError as error:
        entered.refused = dict.fromkeys(flags, error)
        return
    entered.in_own_user = True
    _enter_one_by_one(entered, flags)


def enter_user() -> None:
    """Enter a user namespace in which user and group are what they are outside, and all others are nobody.

    Raises:
        OSError: As `enter`.
    """
    os.stat(_NAMES)  # before it is too late: without a name there the process would be nobody, for good
    if _apparmor_may_refuse() and not _is_allowed_user():
        raise OSError(errno.EACCES, "AppArmor restricts user namespaces")
    _unshare_user()


def _unshare_user() -> None:
    user, group = os.geteuid(), os.getegid()  # inside, they are nobody's until they are named
    system.unshare(system.CLONE_NEWUSER)
    # After a change of user the files below belong to root, as long as the process is not dumpable.
    dumpable = system.prctl(system.PR_GET_DUMPABLE)
    system.prctl(system.PR_SET_DUMPABLE, 1)
    _write("/proc/self/setgroups", "deny")
    _write(_NAMES, f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    system.prctl(system.PR_SET_DUMPABLE, 1 if dumpable == 1 else 0)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _apparmor_may_refuse() -> bool:
    """Tell whether AppArmor may let this process in and then take its rights away, which cannot be undone."""
    try:
        with open(_APPARMOR, "rb") as file:
            return file.read(1) == b"1"
    except OSError:
        return False


def _is_allowed_user() -> bool:
    """Try it in a process that is not needed any more."""
    pid = os.fork()
    if pid == 0:
        try:
            _unshare_user()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def start_loopback() -> None:
    """In a new network namespace: bring up its only device, so that processes in it reach each other.

    Raises:
        OSError: It failed.
    """
    import fcntl
    import struct

    with_flags = struct.pack("16sH14x", b"lo", _IFF_UP)  # struct ifreq
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        fcntl.ioctl(control.fileno(), _SIOCSIFFLAGS, with_flags)
    finally:
        control.close()
