"""Functions for children to run; imported there, by name."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from typing import Any


def reply(channel: Any, value: object) -> None:
    """Send one value; `receive` reads it."""
    channel.sendall(pickle.dumps(value))


def receive_bytes(channel: Any) -> bytes:
    """Read all up to the end of the stream, in the parent."""
    parts = []
    while part := channel.recv(65536):
        parts.append(part)
    channel.close()
    return b"".join(parts)


def receive(channel: Any) -> Any:
    """Read all up to the end of the stream, in the parent, and give the value that was sent."""
    data = receive_bytes(channel)
    return pickle.loads(data) if data else None  # noqa: S301 - of our own child


def result(child: Any) -> Any:
    """Give what a child replied, and wait for its end, in the parent."""
    value = receive(child.channel)
    child.wait(timeout=20)
    return value


def nothing(channel: Any, *arguments: object) -> None:
    """Return at once."""


def echo_arguments(channel: Any, *arguments: bytes) -> None:
    """Reply with the arguments."""
    reply(channel, arguments)


def lengths(channel: Any, *arguments: bytes) -> None:
    """Reply with the length of each argument."""
    reply(channel, [len(argument) for argument in arguments])


def describe(channel: Any, *arguments: Any) -> None:
    """Say what each argument is."""
    said = []
    for argument in arguments:
        fd = argument if isinstance(argument, int) else -1
        if hasattr(argument, "fileno"):
            fd = argument.fileno()
        said.append(
            {
                "type": type(argument).__name__,
                "mode": getattr(argument, "mode", None),
                "encoding": getattr(argument, "encoding", None),
                "errors": getattr(argument, "errors", None),
                "inheritable": os.get_inheritable(fd) if fd >= 0 else None,
                "inode": os.fstat(fd).st_ino if fd >= 0 else None,
                "data": argument if isinstance(argument, bytes) else None,
            }
        )
    reply(channel, said)


def facts(channel: Any, *arguments: object) -> None:
    """Say what the process is like."""
    umask = os.umask(0)
    os.umask(umask)
    reply(
        channel,
        {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "cwd": os.getcwd(),  # noqa: PTH109 - without loading pathlib
            "env": dict(os.environ),
            "umask": umask,
            "path": list(sys.path),
            "flags": tuple(sys.flags),
            "xoptions": sys._xoptions,
            "warnoptions": sys.warnoptions,
            "executable": sys.executable,
            "fds": sorted(int(name) for name in os.listdir("/proc/self/fd")),  # noqa: PTH208 - as above
            "sigint": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            "sigchld": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
            "sigterm": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
            "mask": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
            "wakeup": signal.set_wakeup_fd(-1),
            "channel": type(channel).__module__ + "." + type(channel).__name__,
            "channel_blocking": channel.getblocking(),
            "channel_inheritable": os.get_inheritable(channel.fileno()),
        },
    )


def wait_for_end(channel: Any, *arguments: object) -> None:
    """Say hello and stay until the parent closes the channel."""
    channel.sendall(b"here")
    while channel.recv(100):
        pass


def exit_with(channel: Any, code: bytes) -> None:
    """Exit with a code."""
    sys.exit(int(code))


def exit_with_text(channel: Any) -> None:
    """Exit with a text, as sys.exit takes it."""
    sys.exit("this is why")


def kill_itself(channel: Any, number: bytes) -> None:
    """Send itself a signal."""
    os.kill(os.getpid(), int(number))
    time.sleep(60)


def fail(channel: Any, *arguments: object) -> None:
    """Raise."""
    raise ValueError("on purpose")


def use_time_and_memory(channel: Any) -> None:
    """Use CPU time that can be measured, and 64 MB."""
    block = bytearray(64 * 1024 * 1024)
    block[::4096] = b"x" * len(block[::4096])
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass


def random_numbers(channel: Any) -> None:
    """Reply with one number of each global generator that is loaded."""
    import random

    numbers = [random.random()]  # noqa: S311 - no secret
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numbers.append(float(numpy_random.random()))
    reply(channel, numbers)


def print_something(channel: Any) -> None:
    """Write to stdout, and do not flush."""
    sys.stdout.write("from the child\n")


def loaded_modules(channel: Any, *arguments: object) -> None:
    """Say what is loaded, without loading more."""
    channel.sendall(" ".join(sys.modules).encode())


async def not_called(channel: Any) -> None:
    """Exist."""


not_callable = 5


def stay_for_ever(channel: Any) -> None:
    """Say hello and stay, whatever becomes of the parent."""
    channel.sendall(b"here")
    while True:
        signal.pause()


def stay_silently(channel: Any) -> None:
    """Stay until the parent is gone, and say nothing."""
    channel.recv(1)
