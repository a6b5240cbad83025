"""Functions for `forkcore.ForkExecutor` to call; imported in its children, by name."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

_LONGEST_WAIT = 60.0  # seconds, more than any test waits itself

state: dict[str, Any] = {}


def double(number: int) -> int:
    """Give twice the number."""
    return number * 2


def pid() -> int:
    """Give the id of the child."""
    return os.getpid()


def parent_pid() -> int:
    """Give the id of the template."""
    return os.getppid()


def fail(message: str) -> None:
    """Raise."""
    raise ValueError(message)


def fail_on(number: int, bad: int) -> int:
    """Raise for one number, and give back the others."""
    if number == bad:
        raise ValueError(f"{number} is bad")
    return number


def kill_itself(number: int = signal.SIGKILL) -> None:
    """Die with a signal."""
    os.kill(os.getpid(), number)
    threading.Event().wait()


def leave(code: int) -> None:
    """End the process without a result."""
    os._exit(code)


def exit_politely(code: int) -> None:
    """End the process as Python programs do."""
    sys.exit(code)


def size_of(data: bytes) -> int:
    """Say how much has arrived."""
    return len(data)


def zeros(size: int) -> bytes:
    """Give a result of that size."""
    return bytes(size)


def a_lock() -> Any:
    """Give what cannot be pickled."""
    return threading.Lock()


class Unpicklable:
    """Can be pickled, but not brought back."""

    def __reduce__(self) -> Any:
        return explode, ()


def explode() -> None:
    """Fail, where an object is to be brought back."""
    raise RuntimeError("cannot be brought back")


def an_unpicklable() -> Unpicklable:
    """Give what can be sent and not be brought back."""
    return Unpicklable()


class OddError(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


class LockedError(Exception):
    """Cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def raise_odd() -> None:
    """Raise what cannot be made again."""
    raise OddError("very", "odd")


def raise_locked() -> None:
    """Raise what cannot be pickled."""
    raise LockedError("with a lock")


def initialize(value: str) -> None:
    """Note that this was called."""
    state["value"] = value
    state["count"] = state.get("count", 0) + 1


def initialized() -> tuple[Any, Any]:
    """Say what `initialize` has noted."""
    return state.get("value"), state.get("count")


def remember(value: int) -> list[int]:
    """Say which values this child has seen."""
    state.setdefault("seen", []).append(value)
    return list(state["seen"])


def is_loaded(module: str) -> bool:
    """Say whether a module is loaded."""
    return module in sys.modules


def wait_for_file(path: str) -> int:
    """Stay until the file is there; gives the pid.

    Raises:
        TimeoutError: The test that should have made it is gone, or has waited for too long itself.
    """
    Path(path + f".{os.getpid()}").touch()
    deadline = time.monotonic() + _LONGEST_WAIT
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.002)
    return os.getpid()


def linger(path: str) -> str:
    """Leave a thread behind that ends when the file is there."""
    threading.Thread(target=wait_for_file, args=(path,)).start()
    return "done"


def retire() -> int:
    """Let this child end after the call; gives its pid."""
    import forkcore

    forkcore.retire()
    return os.getpid()


def environment(name: str) -> str | None:
    """Give a variable of the environment."""
    return os.environ.get(name)


def allocate(size: int) -> int:
    """Take so many bytes."""
    return len(bytearray(size))


def spin() -> None:
    """Use the CPU, for ever."""
    while True:
        pass


class Sealed(Exception):
    """An exception whose attributes cannot be set, as that of a frozen dataclass."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


def raise_sealed() -> None:
    """Raise an exception that nothing can be added to."""
    raise Sealed("on purpose")


class Leaver(Exception):
    """An exception whose text, and whose pickling, end the process."""

    def __str__(self) -> str:
        raise SystemExit(4)

    def __reduce__(self) -> Any:
        raise SystemExit(5)


def raise_leaver() -> None:
    """Raise an exception that cannot be described."""
    raise Leaver


def return_leaver() -> Leaver:
    """Return what ends the process where it is pickled."""
    return Leaver()


def answer_by_itself(reply: bytes) -> None:
    """Write to the channel of the executor, as if it had a right to."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                os.write(int(name), reply)


def fork_and_return() -> int:
    """Return in two processes."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return os.getpid()
