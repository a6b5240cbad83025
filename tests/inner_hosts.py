"""Hosts for pytest-xdist: a real sshd, on loopback or in a network of its own, and execnet's socket server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 2222
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port(address: str) -> int:
    """Give a port that nobody uses now."""
    with socket.create_server((address, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def answers(address: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def listening(command: list[str], address: str, port: int) -> Iterator[None]:
    """Run a server while the block runs."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as server:
        try:
            wait_for(lambda: server.poll() is not None or answers(address, port), f"{command[0]} listens")
            if server.poll() is not None:
                assert server.stderr is not None
                pytest.skip(f"{command[0]} does not start: {server.stderr.read().decode()[-200:]}")
            yield
        finally:
            server.kill()


@contextlib.contextmanager
def ssh_host(folder: Path, address: str, port: int, prefix: tuple[str, ...] = ()) -> Iterator[Path]:
    """Run an sshd with keys of its own; give a configuration for the host named ``elsewhere``.

    Args:
        folder: For keys and configuration.
        address: Where it listens.
        port: As above.
        prefix: Of the command, to run it in a namespace.
    """
    if SSHD is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("there is no sshd, or no ssh")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root separates its privileges there
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    (folder / "sshd_config").write_text(
        f"ListenAddress {address}\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n"
    )
    config = folder / "ssh_config"
    config.write_text(
        f"Host elsewhere\nHostName {address}\nPort {port}\nIdentityFile {folder}/user\nIdentitiesOnly yes\n"
        "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nBatchMode yes\n"
    )
    with listening([*prefix, SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], address, port):
        yield config


@contextlib.contextmanager
def network_namespace(name: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Make a host of its own network; give the prefix of commands that run there, and its address."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the command ip")
    near, far = f"{name}a", f"{name}b"
    here, there = "10.211.47.1", "10.211.47.2"
    setup = [
        ["netns", "add", name],
        ["link", "add", near, "type", "veth", "peer", "name", far, "netns", name],
        ["addr", "add", f"{here}/30", "dev", near],
        ["link", "set", near, "up"],
        ["-n", name, "addr", "add", f"{there}/30", "dev", far],
        ["-n", name, "link", "set", far, "up"],
        ["-n", name, "link", "set", "lo", "up"],
    ]
    try:
        for arguments in setup:
            done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
        yield ("ip", "netns", "exec", name), there
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextlib.contextmanager
def socket_server(environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Run execnet's server, which serves one client after another; give its address.

    Args:
        environment: Variables for it beside ours.
        folder: Its working directory.
    """
    from execnet.script import socketserver

    port = free_port("127.0.0.1")
    command = [sys.executable, socketserver.__file__, f"127.0.0.1:{port}"]
    null = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=null, stdout=null, stderr=null, cwd=folder, env=os.environ | environment
    ) as server:
        try:
            # Whoever looks for it by a connection would be its client.
            wait_for(lambda: server.poll() is not None or is_bound(port), "the socket server listens")
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


def is_bound(port: int) -> bool:
    """Tell whether somebody has the port, without a connection, which a server may serve only once."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return False
    return True
