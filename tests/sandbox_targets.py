"""What the children of the sandbox tests do, and what their templates are made to lack.

Everything is imported at the top: an ordinary user may not be able to read the modules.
"""

from __future__ import annotations

import contextlib
import ctypes  # noqa: F401 - the sandbox needs it
import encodings.idna  # noqa: F401 - to look up a host
import errno
import fcntl  # noqa: F401 - as above
import json
import os
import resource
import signal
import socket
import struct
import tempfile
import threading
from pathlib import Path
from typing import Any

from forkcore import _sandbox_apply, _sandbox_credentials, _sandbox_seccomp, _sandbox_system
from forkcore import _sandbox_landlock as landlock
from forkcore import _sandbox_limits as limits  # noqa: F401 - as above
from forkcore import _sandbox_mounts as mounts  # noqa: F401 - as above
from forkcore import _sandbox_namespaces as namespaces

ORDINARY = 54321  # nobody is called that, and no system call gives it to who has no name
_IO_URING_SETUP = 425
_MS_SHARED = 0x100000  # of mount(2): what is mounted in one namespace is mounted in its copies as well
_CLONE_NEWPID = 0x20000000
_NAMESPACES = ("user", "mnt", "net", "uts")


# Worlds: called in a template, by `eval`.


def become_ordinary() -> None:
    """Lose root's rights, where the process has them."""
    if os.getuid() == 0:
        _sandbox_credentials.become(ORDINARY, ORDINARY, [])


def become_ordinary_in_name() -> None:
    """Be user 1000 without any rights, but the owner of root's files: for an interpreter that only root can read."""
    owner = os.geteuid()
    _sandbox_system.unshare(_sandbox_system.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    for kind in ("uid", "gid"):
        Path(f"/proc/self/{kind}_map").write_text(f"1000 {owner} 1")
    _sandbox_credentials.keep_capabilities([])


def deny_namespaces() -> None:
    """Go where the system allows no new namespaces: as with user.max_user_namespaces=0 and its like.

    Root stays root and can become an ordinary user there; an ordinary user stays one. Where the system itself gives no
    user namespaces, the rights to all others are given up, which comes to the same.
    """
    is_root = os.getuid() == 0
    enter = _enter_user_namespace_of_two if is_root else namespaces.enter_user
    with contextlib.suppress(OSError):
        enter()
        for kind in _NAMESPACES:
            Path(f"/proc/sys/user/max_{kind}_namespaces").write_text("0")
    _sandbox_credentials.keep_capabilities(["setuid", "setgid"] if is_root else [])


def deny_user_namespaces() -> None:
    """Go where the system allows no user namespaces, as with user.max_user_namespaces=0; root has all others."""
    with contextlib.suppress(OSError):  # there are none anyway
        _enter_user_namespace_of_two()
        Path("/proc/sys/user/max_user_namespaces").write_text("0")


def _enter_user_namespace_of_two() -> None:
    """Enter one that knows root and an ordinary user; a process outside of it must say who they are.

    Raises:
        OSError: The system gives none.
    """
    is_inside, entered = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(entered)
            if os.read(is_inside, 1):
                _name_two_users(os.getppid())
                code = 0
        finally:
            os._exit(code)
    try:
        _sandbox_system.unshare(_sandbox_system.CLONE_NEWUSER)
        os.write(entered, b"x")
    finally:
        os.close(entered)
        os.close(is_inside)
        status = os.waitpid(pid, 0)[1]
    if status:
        raise RuntimeError("the users of the namespace could not be named")


def _name_two_users(target: int) -> None:
    for kind in ("uid", "gid"):
        Path(f"/proc/{target}/{kind}_map").write_text(f"0 0 1\n{ORDINARY} {ORDINARY} 1\n")


def enter_process_namespace() -> None:
    """Go where no processes are to be seen but those that are made from there; returns in the first of them."""
    if os.getuid() != 0:
        namespaces.enter_user()
    _sandbox_system.unshare(_CLONE_NEWPID | _sandbox_system.CLONE_NEWNS)
    pid = os.fork()
    if pid != 0:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
    _sandbox_system.mount("", "/", flags=_sandbox_system.MS_REC | _sandbox_system.MS_PRIVATE)
    _sandbox_system.mount("proc", "/proc", "proc")


def deny_calls(*numbers: int, number: int = errno.ENOSYS) -> None:
    """Let system calls fail as if the kernel did not have them, or with another error, as containers do it."""
    program = [(0x20, 0, 0, 0)]
    for denied in numbers:
        program += [(0x15, 0, 1, denied), (0x06, 0, 0, 0x00050000 | number)]
    program.append((0x06, 0, 0, 0x7FFF0000))
    _sandbox_credentials.forbid_new_privileges()
    _sandbox_seccomp.install(program)


def deny_mounts() -> None:
    """Go where mounts are forbidden though namespaces are not, as in some containers (x86-64, ARM64)."""
    deny_calls({"x86_64": 165, "aarch64": 40}[os.uname().machine], 428, 442, number=errno.EPERM)


def deny_filters() -> None:
    """Go where the kernel has no seccomp filters: prctl(PR_SET_SECCOMP, ...) is unknown there (x86-64, ARM64)."""
    prctl = {"x86_64": 157, "aarch64": 167}[os.uname().machine]
    _sandbox_credentials.forbid_new_privileges()
    _sandbox_seccomp.install(
        [
            (0x20, 0, 0, 0),
            (0x15, 0, 3, prctl),
            (0x20, 0, 0, 16),  # the first argument
            (0x15, 0, 1, _sandbox_system.PR_SET_SECCOMP),
            (0x06, 0, 0, 0x00050000 | errno.EINVAL),
            (0x06, 0, 0, 0x7FFF0000),
        ]
    )


def expect_apparmor() -> None:
    """Go where AppArmor is said to restrict user namespaces, as on Ubuntu; whether it does is found by trying."""
    fd = os.memfd_create("apparmor_restrict_unprivileged_userns")
    os.write(fd, b"1\n")
    namespaces._APPARMOR = f"/proc/self/fd/{fd}"


def deny_landlock() -> None:
    """Go where the kernel has no Landlock."""
    deny_calls(_sandbox_system.LANDLOCK_CREATE_RULESET)


def share_mounts() -> None:
    """Go where mounts in new namespaces are seen outside unless that is forbidden: so systemd sets up a machine."""
    _sandbox_system.unshare(_sandbox_system.CLONE_NEWNS)
    _sandbox_system.mount("", "/", flags=_sandbox_system.MS_REC | _MS_SHARED)


def remember_tmp(folder: str) -> None:
    """Have looked already where temporary files go."""
    os.environ["TMPDIR"] = folder
    assert tempfile.gettempdir() == folder


# Deeds: called in a child.


def attempt(channel: socket.socket, plan: bytes) -> None:
    """Do something, and send what came of it.

    Args:
        channel: Of this child.
        plan: JSON: the name of a function below, and its arguments.
    """
    name, arguments = json.loads(plan)
    outcome: dict[str, Any] = {}
    try:
        outcome["result"] = globals()[name](*arguments)
    except (Exception, MemoryError) as error:  # noqa: BLE001 - to be sent
        _sandbox_apply.annotate(error)
        outcome["error"] = type(error).__name__
        outcome["errno"] = errno.errorcode.get(getattr(error, "errno", None) or 0)
        outcome["notes"] = getattr(error, "__notes__", [])
    applied = _sandbox_apply.current
    if applied is not None:
        outcome |= {"means": applied.means, "missing": applied.missing}
    channel.sendall(json.dumps(outcome).encode())
    channel.shutdown(socket.SHUT_WR)


def allocate(size: int) -> int:
    """Take so many bytes."""
    return len(bytearray(size))


def allocate_whole(size: int) -> int:
    """Take so many bytes, and write to each of their pages."""
    return len(bytearray(b"x") * size)


def spin() -> None:
    """Use the CPU, for ever."""
    while True:
        pass


def fork_bomb(most: int) -> int:
    """Fork until it is refused; at the most so many."""
    ours, theirs = os.pipe()
    pids = []
    try:
        for _ in range(most):
            pid = os.fork()
            if pid == 0:
                os.close(theirs)
                os.read(ours, 1)  # until the one that forked is through, or gone
                os._exit(0)
            pids.append(pid)
        return len(pids)
    except OSError as error:
        _sandbox_apply.annotate(error)
        raise
    finally:
        os.close(theirs)
        for pid in pids:
            os.waitpid(pid, 0)


def start_threads(most: int) -> int:
    """Start threads until it is refused; at the most so many."""
    done = threading.Event()
    started = []
    try:
        for _ in range(most):
            thread = threading.Thread(target=done.wait)
            thread.start()
            started.append(thread)
        return len(started)
    finally:
        done.set()
        for thread in started:
            thread.join()


def open_many(most: int) -> int:
    """Open files until it is refused; give how many there were then."""
    held = []
    try:
        for _ in range(most):
            held.append(os.open("/dev/null", os.O_RDONLY))  # noqa: PERF401 - what was opened is counted where it ends
    except OSError as error:
        error.add_note(f"opened {len(held)}")
        _sandbox_apply.annotate(error)
        raise
    finally:
        for fd in held:
            os.close(fd)
    return len(held)


def write(path: str, size: int) -> int:
    """Write a file of this size, in pieces."""
    with Path(path).open("wb", buffering=0) as file:
        written = 0
        while written < size:
            written += file.write(bytes(min(65536, size - written)))
    return written


def read(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


def names(path: str) -> list[str]:
    """List a directory."""
    return sorted(entry.name for entry in Path(path).iterdir())


def change(path: str, how: str) -> None:
    """Change what is there already."""
    deeds = {"remove": os.unlink, "rmdir": os.rmdir, "mkdir": os.mkdir, "truncate": lambda where: os.truncate(where, 0)}
    deeds[how](path)


def connect(host: str, port: int) -> str:
    """Connect to a server outside."""
    with socket.create_connection((host, port), timeout=10) as connection:
        return connection.recv(100).decode()


def serve_and_connect() -> str:
    """Connect to a server of one's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        theirs, _ = listener.accept()
        with theirs:
            theirs.sendall(b"hello")
        return ours.recv(100).decode()


def unix_sockets() -> str:
    """Talk over a pair of sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"hello")
        return theirs.recv(100).decode()


def move(source: str, target: str) -> None:
    """Move a file."""
    Path(source).rename(target)


def read_empty_pipe() -> bytes:
    """Read where there is nothing now: EAGAIN, as a fork at its limit."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    try:
        return os.read(ours, 1)
    finally:
        os.close(ours)
        os.close(theirs)


def set_up_ring() -> None:
    """Ask for io_uring; EFAULT without a sandbox, where the kernel has it."""
    _sandbox_system.system_call(_IO_URING_SETUP, 1, None)


def count_mounts() -> int:
    """Count what is mounted, as this process sees it."""
    return len(Path("/proc/self/mountinfo").read_text().splitlines())


def send_signal(pid: int, number: int) -> None:
    """Signal a process."""
    os.kill(pid, number)


def kill_own_child() -> int:
    """End a process that this one has made; gives the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    os.kill(pid, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def facts() -> dict[str, Any]:
    """Say who and where this process is."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    umask = os.umask(0)
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError:
        temporary = ""  # nothing is writable
    return {
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "cwd": str(Path.cwd()),
        "env": dict(os.environ),
        "umask": umask,
        "host": socket.gethostname(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "capabilities": int(status["CapEff"], 16),
        "bounding": int(status["CapBnd"], 16),
        "no_new_privs": status["NoNewPrivs"].strip(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "tmp": temporary,
        "landlock": landlock.version(),
        "user_namespace": str(Path("/proc/self/ns/user").readlink()),
    }


def user_number() -> int:
    """Say who this process is."""
    return os.getuid()


def mount_something(path: str) -> None:
    """What only root may do, or the lord of a user namespace."""
    _sandbox_system.mount("tmpfs", path, "tmpfs")


def interfaces() -> list[str]:
    """Name the network devices."""
    return [name for _, name in socket.if_nameindex()]


def open_device() -> int:
    """Write to a device."""
    with Path("/dev/null").open("wb") as file:
        return file.write(b"x")


def shared_memory() -> int:
    """Write to shared memory."""
    path = Path("/dev/shm/forkcore-test")  # noqa: S108 - the place itself is tested
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return path.write_bytes(struct.pack("I", 7))


def kill_all(outside: str) -> int:
    """Kill all that this process may signal; gives the signal that ended one that it has made.

    Args:
        outside: The PID namespace in which this must not be done.
    """
    if str(Path("/proc/self/ns/pid").readlink()) == outside:
        raise RuntimeError("there are others")
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    os.kill(-1, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def nothing(channel: socket.socket) -> None:
    """Return at once."""
