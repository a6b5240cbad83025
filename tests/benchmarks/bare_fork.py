"""``os.fork``, or fork in C, in a Python that has loaded next to nothing: the floor.

Run as ``python -I -S bare_fork.py MEGABYTES SECONDS WINDOWS [LIBRARY]``; prints the same JSON as
the driver. With LIBRARY, made from ``c_fork.c``, loop and child are C: neither Python's fork hooks
nor any Python code runs for a process.
"""

from __future__ import annotations

import _socket
import posix
import resource
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Create(Protocol):
        """Give the seconds that each process took, of as many as were created in a while."""

        def __call__(self, window: int, seconds: float, /) -> list[float]:
            """Do it."""

    Running = list[tuple[float, int, _socket.socket]]


_LEAST = 3
_WARM_UP = 0.1
_MOST = 32_768  # processes in a sample of the C loop: more room would make what is forked larger


def own_cpu() -> float:
    """Give the CPU seconds of this process and of the children that it has reaped."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def create_here(window: int, seconds: float) -> list[float]:
    """Create processes with Python's fork."""
    running: Running = []
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    while True:
        now = time.perf_counter()
        if now > end and len(latencies) + len(running) >= _LEAST:
            break
        ours, theirs = _socket.socketpair()
        pid = posix.fork()
        if pid == 0:
            posix._exit(0)
        theirs.close()
        running.append((now, pid, ours))
        if len(running) >= window:
            latencies.append(finish_oldest(running))
    while running:
        latencies.append(finish_oldest(running))
    return latencies


def finish_oldest(running: Running) -> float:
    """See the socket close and reap; give the seconds since the start."""
    began, pid, ours = running.pop(0)
    ours.recv(1)
    ours.close()
    if posix.waitpid(pid, 0)[1]:
        raise RuntimeError("a child failed")
    return time.perf_counter() - began


def load_c_loop(path: str) -> Create:
    """Load the same loop in C."""
    import ctypes

    library = ctypes.CDLL(path, use_errno=True)
    library.create.argtypes = [ctypes.c_int, ctypes.c_double, ctypes.c_void_p, ctypes.c_long]
    library.create.restype = ctypes.c_long
    room = (ctypes.c_double * _MOST)()

    def create_in_c(window: int, seconds: float) -> list[float]:
        count = library.create(window, seconds, room, _MOST)
        if count < 0:
            raise OSError(ctypes.get_errno(), "the C loop failed")
        return list(room[:count])

    return create_in_c


def measure(create: Create, window: int, seconds: float) -> str:
    """Measure one window; give the members of a JSON object."""
    create(window, min(_WARM_UP, seconds))
    cpu = own_cpu()
    began = time.perf_counter()
    latencies = sorted(create(window, seconds))
    wall = time.perf_counter() - began
    cpu = own_cpu() - cpu
    count = len(latencies)
    found = {
        "count": count,
        "rate": count / wall,
        "cpu": cpu / count,
        "latency": latencies[count // 2],
        "latency_p95": latencies[int(count * 0.95)],
    }
    return ", ".join([f'"{metric}_w{window}": {value}' for metric, value in found.items()])


def main() -> None:
    """Take one sample, and print it."""
    megabytes, seconds, windows = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3].split(",")
    create = load_c_loop(sys.argv[4]) if sys.argv[4:] else create_here
    block = bytearray(megabytes << 20)
    for offset in range(0, len(block), 4096):
        block[offset] = 1
    found = [measure(create, int(window), seconds) for window in windows]
    print("{" + ", ".join(found) + "}")
    del block


if __name__ == "__main__":
    main()
