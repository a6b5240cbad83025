"""A seccomp filter that leaves a process no sockets but those of the Unix domain.

Source: seccomp(2), and Documentation/userspace-api/seccomp_filter.rst of the kernel; the layout of the program is that
of <linux/filter.h>, numbers of architectures are those of <linux/audit.h>.
"""

from __future__ import annotations

import _socket
import ctypes
import errno
import os
import struct
import sys

from forkcore import _sandbox_system as system

_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
# Offsets in struct seccomp_data; arguments are 64 bits wide, and these machines store the lower half first.
_NUMBER = 0
_ARCHITECTURE = 4
_FIRST_ARGUMENT = 16

_X32_BIT = 0x40000000
_IO_URING_SETUP = 425  # sockets can be made by it as well
# By what `os.uname` says: number of the architecture, of socket(2), and where numbers of another interface begin.
_MACHINES = {
    "x86_64": (0xC000003E, 41, _X32_BIT),
    "aarch64": (0xC00000B7, 198, 1 << 31),
    "riscv64": (0xC00000F3, 198, 1 << 31),
}


def is_known_machine() -> bool:
    """Tell whether the numbers of this machine's system calls are known here."""
    return os.uname().machine in _MACHINES and sys.maxsize > 1 << 32


def refuse_network() -> None:
    """Let every socket outside of the Unix domain fail with EACCES from now on; the process must have no_new_privs.

    Raises:
        OSError: The kernel has no seccomp filters.
        KeyError: See `is_known_machine`.
    """
    architecture, socket_call, foreign = _MACHINES[os.uname().machine]
    refused, absent = _ERRNO | errno.EACCES, _ERRNO | errno.ENOSYS
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, 7, architecture),  # else absent: a 32-bit program would call by other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 5, 0, foreign),
        (_IF_EQUAL, 4, 0, _IO_URING_SETUP),
        (_IF_EQUAL, 0, 4, socket_call),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_EQUAL, 2, 0, _socket.AF_UNIX),
        (_RETURN, 0, 0, refused),
        (_RETURN, 0, 0, absent),
        (_RETURN, 0, 0, _ALLOW),
    ]
    install(program)


def install(program: list[tuple[int, int, int, int]]) -> None:
    """Install a filter.

    Args:
        program: Instructions: code, jump if true, jump if false, constant.

    Raises:
        OSError: EACCES without no_new_privs, EINVAL for a wrong program or where the kernel has no filters.
    """
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    # struct sock_fprog: a count, and, aligned, a pointer.
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    system.prctl(system.PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)
