"""In pytest-xdist's controller: forks a worker from the template for each launcher that asks for one."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import forkcore

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER_SIZE = 4
_REQUEST_TIMEOUT = 10.0
"""Seconds that a launcher may take to say what it wants, once it has connected."""
_LONGEST_PATH = 100
"""Bytes; an address of AF_UNIX has room for a few more."""


class Request(NamedTuple):
    """What a worker is to be like.

    Attributes:
        umask: File mode creation mask.
        directory: Working directory.
        flags: Of the interpreter, by blanks.
        environment: All of it.
    """

    umask: int
    directory: str
    flags: bytes
    environment: dict[str, str]


def parse_request(data: bytes) -> Request:
    """Read what `_launcher.request` writes."""
    umask, directory, flags, *variables = data.split(b"\0")[:-1]
    pairs = (os.fsdecode(variable).partition("=") for variable in variables)
    return Request(int(umask), os.fsdecode(directory), flags, {name: value for name, _, value in pairs})


class WorkerServer:
    """Owns the template, the socket of the launchers, and a thread that serves them.

    The socket has a name in the file system, since a launcher inherits no descriptors but the standard ones: in a
    directory of its own, which is open to this user alone.
    """

    def __init__(self, template: forkcore.Template) -> None:
        """Begin to serve.

        Args:
            template: Ready to fork; consumed.
        """
        self._template = template
        self._directory = _make_directory()
        self.path = str(self._directory / "workers")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self._stop, self._stopped = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for source in (self._listener, self._stopped, template):
            self._selector.register(source, selectors.EVENT_READ)
        self._workers: dict[socket.socket, forkcore.Child] = {}
        self._thread = threading.Thread(target=self._serve, name="forkiso workers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the workers that are still there, and the template."""
        self._stop.close()
        self._thread.join()
        for connection, worker in self._workers.items():
            with contextlib.suppress(forkcore.ForkcoreError):  # the template is gone: a worker ends with its input
                worker.kill()
                worker.wait()
            _release(connection, worker)
        self._workers.clear()
        self._selector.close()
        self._stopped.close()
        self._template.close()
        shutil.rmtree(self._directory)

    # ------------------------------------------------------------------------------------------------------- the thread

    def _serve(self) -> None:
        try:
            while self._step():
                pass
        except forkcore.ForkcoreError:
            pass  # the template is gone. Its workers go on; their launchers see the end of the connection, and end
        finally:
            self._listener.close()
            if not self._template.is_usable:
                for connection in self._workers:
                    connection.shutdown(socket.SHUT_RDWR)

    def _step(self) -> bool:
        """Wait for something to happen, and act on it; tell whether to go on."""
        for key, _ in self._selector.select():
            if key.fileobj is self._stopped:
                return False
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._template:
                self._template.process_events()
            elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._workers:
                self._workers[key.fileobj].kill()  # its launcher was ended
                self._selector.unregister(key.fileobj)
        for connection, worker in list(self._workers.items()):
            self._tell_end(connection, worker)
        return True

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        try:
            self._workers[connection] = self._fork(connection)
            self._selector.register(connection, selectors.EVENT_READ)
        except (OSError, ValueError):
            pass  # ended half-way, or no launcher
        finally:
            if connection not in self._workers:
                connection.close()

    def _fork(self, connection: socket.socket) -> forkcore.Child:
        connection.settimeout(_REQUEST_TIMEOUT)
        with _received(connection) as (request, streams):
            new = self._template.fork(env=request.environment, cwd=request.directory, umask=request.umask)
            new.send_arg(request.flags).send_fd(*streams)
            return new.run(
                "pytest_forkiso._worker_process:run", title="forkiso: worker of pytest-xdist", die_with_parent=True
            )

    def _tell_end(self, connection: socket.socket, worker: forkcore.Child) -> None:
        """Tell a launcher how its worker has ended, if it has, or why it could not be forked."""
        words = _describe_end(worker)
        if words is None:
            return
        del self._workers[connection]
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection)
        with contextlib.suppress(OSError):  # the launcher was ended
            connection.sendall(words.encode() + b"\n")
        _release(connection, worker)


def _describe_end(worker: forkcore.Child) -> str | None:
    """Give the line that `_launcher.WAIT` reads; None for a worker that runs.

    Raises:
        forkcore.TemplateDied: Nobody will tell any more.
    """
    try:
        status = worker.poll()
    except forkcore.TemplateDied:
        raise
    except forkcore.ForkcoreError as error:
        return f"1 forkiso: no worker can be forked: {' '.join(str(error).split())}"
    if status is None:
        return None
    return str(1 if worker.returncode is None else worker.returncode)


@contextlib.contextmanager
def _received(connection: socket.socket) -> Iterator[tuple[Request, list[int]]]:
    """Receive a request and the three standard streams, which are closed afterwards."""
    header, streams, _, _ = socket.recv_fds(connection, _HEADER_SIZE, 3)
    try:
        if len(header) != _HEADER_SIZE or len(streams) != 3:  # noqa: PLR2004 - see above
            raise ValueError("no launcher")
        yield parse_request(_receive_all(connection, int.from_bytes(header, "big"))), streams
    finally:
        for fd in streams:
            os.close(fd)


def _receive_all(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("a launcher was ended")
        data += part
    return bytes(data)


def _release(connection: socket.socket, worker: forkcore.Child) -> None:
    connection.close()
    worker.channel.close()
    worker.detach()


def _make_directory() -> Path:
    """Make a directory for this user alone, with a path that is short enough for a socket's address."""
    made = Path(tempfile.mkdtemp(prefix="forkiso-"))
    if len(os.fsencode(made)) <= _LONGEST_PATH - len("/workers"):
        return made
    made.rmdir()
    return Path(tempfile.mkdtemp(prefix="forkiso-", dir="/tmp"))
