"""What stands for a worker: it says what the worker needs, hands its streams over, and ends as the worker does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_forkiso import _launcher
from pytest_forkiso._worker_server import Request, parse_request

from helpers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Listen on a socket named "workers" in the current directory."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind("workers")
        made.listen()
        made.settimeout(20)
        yield made


def start(*, errors: int | None = None, **environment: str) -> subprocess.Popen[bytes]:
    """Start a launcher as execnet does it."""
    command = [sys.executable, "-I", "-S", _launcher.__file__, "workers", "-u", "-B", "-c", "no code"]
    everything = {**os.environ, **environment}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=everything)


def take(connection: socket.socket) -> tuple[Request, list[int]]:
    """Receive what a launcher has to say, and its streams."""
    header, streams, _, _ = socket.recv_fds(connection, 4, 10)
    size = int.from_bytes(header, "big")
    return parse_request(connection.recv(size, socket.MSG_WAITALL)), list(streams)


def test_what_it_says_and_hands_over(listener: socket.socket) -> None:
    """Umask, directory, flags, environment; input, output and errors; and it lets go of the first two itself."""
    previous = os.umask(0o027)
    try:
        process = start(ODD="a=b\nc", LARGE="x" * 100_000)
    finally:
        os.umask(previous)
    assert process.stdin is not None
    assert process.stdout is not None
    connection, _ = listener.accept()
    with connection:
        request, streams = take(connection)
        assert (request.umask, request.directory, request.flags) == (0o027, str(Path.cwd()), b"-u -B")
        assert (request.environment["ODD"], len(request.environment["LARGE"])) == ("a=b\nc", 100_000)
        assert len(streams) == 3
        process.stdin.write(b"in")
        process.stdin.close()
        assert os.read(streams[0], 10) == b"in"
        os.write(streams[1], b"out")
        for fd in streams:
            os.close(fd)
        assert process.stdout.read() == b"out"  # to the end: nobody else holds it
        connection.sendall(b"0\n")
    process.stdout.close()
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("said", "code"),
    [(b"0\n", 0), (b"3\n", 3), (b"-11\n", -signal.SIGSEGV), (b"-9\n", -signal.SIGKILL), (b"-15\n", -signal.SIGTERM)],
)
def test_it_ends_as_the_worker(listener: socket.socket, said: bytes, code: int) -> None:
    """By the exit code, or by the signal, that it is told."""
    with start() as process:
        connection, _ = listener.accept()
        with connection:
            for fd in take(connection)[1]:
                os.close(fd)
            connection.sendall(said)
        assert process.wait(20) == code


def test_why_there_is_no_worker(listener: socket.socket) -> None:
    """It passes the reason on."""
    with start(errors=subprocess.PIPE) as process:
        assert process.stderr is not None
        connection, _ = listener.accept()
        with connection:
            for fd in take(connection)[1]:
                os.close(fd)
            connection.sendall(b"1 not a\\nworker, 'really'\n")
        assert process.stderr.read() == b"not a\\nworker, 'really'\n"
        assert process.wait(20) == 1


def test_nobody_tells(listener: socket.socket) -> None:
    """It ends, and not with 0, where the connection does."""
    with start() as process:
        connection, _ = listener.accept()
        for fd in take(connection)[1]:
            os.close(fd)
        connection.close()
        assert process.wait(20) == 1


def test_ctrl_c_is_the_worker_s(listener: socket.socket) -> None:
    """It goes on waiting."""
    with start() as process:
        connection, _ = listener.accept()
        with connection:
            for fd in take(connection)[1]:
                os.close(fd)
            shell = Path(f"/proc/{process.pid}/comm")
            wait_for(lambda: shell.read_text() == "sh\n", "it has become the shell that waits")
            process.send_signal(signal.SIGINT)
            connection.sendall(b"5\n")
        assert process.wait(20) == 5


def test_nobody_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so."""
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-I", "-S", _launcher.__file__, "workers", "-c", ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert done.stderr.startswith("forkiso: no worker can be forked: ")
