"""Who a process is, and what it is allowed beyond that: user, groups, capabilities, no_new_privs.

Source: capabilities(7), capset(2), credentials(7), and prctl(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from forkcore import _sandbox_system as system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3, of <linux/capability.h>
# In the order of their numbers.
CAPABILITIES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip


def become(user: int, group: int, groups: Sequence[int]) -> None:
    """Become another user, for good.

    Raises:
        OSError: EPERM: this process is not root.
    """
    dumpable, death = system.prctl(system.PR_GET_DUMPABLE), ctypes.c_int()
    system.prctl(system.PR_GET_PDEATHSIG, ctypes.byref(death))
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    # The kernel makes the process's files in /proc root's; a program that was started by this user would own them.
    system.prctl(system.PR_SET_DUMPABLE, 1 if dumpable == 1 else 0)
    # It is forgotten at a change of user.
    system.prctl(system.PR_SET_PDEATHSIG, death.value)


def keep_capabilities(names: Iterable[str]) -> None:
    """Give up all capabilities but these, for good: programs that are executed cannot get them back either.

    Raises:
        OSError: It failed.
        ValueError: No such capability.
    """
    kept = sum(1 << CAPABILITIES.index(name) for name in names)
    for number in range(len(CAPABILITIES)):
        if not kept >> number & 1:
            try:
                system.prctl(system.PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno == errno.EPERM:  # for want of CAP_SETPCAP; programs could get them back, then
                    forbid_new_privileges()
                break  # or the kernel does not know it, nor those after it
    system.prctl(system.PR_CAP_AMBIENT, system.PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    held = ctypes.create_string_buffer(24)
    system.call("capget", header, held)
    # Twice three words: effective, permitted, inheritable; first the lower half of each.
    words = struct.unpack("=6I", held.raw)
    masks = [kept & 0xFFFFFFFF] * 3 + [kept >> 32] * 3
    bounded = ctypes.create_string_buffer(struct.pack("=6I", *[a & b for a, b in zip(words, masks, strict=True)]))
    system.call("capset", header, bounded)


def forbid_new_privileges() -> None:
    """Let set-user-ID programs and file capabilities have no effect from now on."""
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
