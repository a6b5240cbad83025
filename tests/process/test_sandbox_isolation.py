"""Network, other processes, users and rights of a sandboxed child, by children that try to go beyond what they have."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from sandbox_runs import IDENTITIES, IS_ROOT, do, make_template, require_landlock, require_namespaces

import forkcore
from forkcore import Sandbox, SandboxUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces and Landlock are Linux's")
needs_root = pytest.mark.skipif(not IS_ROOT, reason="is for root")


@pytest.fixture
def server(_no_leaks: None) -> Iterator[int]:
    """Serve on the loopback device outside; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(b"outside")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def bystander(_no_leaks: None) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process outside that anybody may signal who is this test's user, or root."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_without_a_sandbox_the_server_is_reached(with_namespaces: forkcore.Template, server: int) -> None:
    """Or the tests below would show nothing."""
    assert do(with_namespaces, None, "connect", "127.0.0.1", server).result == "outside"
    assert do(with_namespaces, None, "serve_and_connect").result == "hello"


def test_no_network_but_loopback(with_namespaces: forkcore.Template, server: int) -> None:
    """A server of the child's own is reached; one outside is not, though it listens on the same address."""
    sandbox = Sandbox(network=False)
    inside = do(with_namespaces, sandbox, "serve_and_connect")
    assert (inside.result, inside.means) == ("hello", {"network": "namespace"})
    assert do(with_namespaces, sandbox, "connect", "127.0.0.1", server).errno == "ECONNREFUSED"
    assert do(with_namespaces, sandbox, "connect", "192.0.2.1", 80).errno == "ENETUNREACH"
    assert do(with_namespaces, sandbox, "interfaces").result == ["lo"]


def test_no_network_at_all(with_namespaces: forkcore.Template, server: int) -> None:
    """Not even a server of its own; sockets within the machine work."""
    sandbox = Sandbox(network="none")
    assert do(with_namespaces, sandbox, "connect", "127.0.0.1", server).errno == "ENETUNREACH"
    assert do(with_namespaces, sandbox, "serve_and_connect").error == "OSError"
    assert do(with_namespaces, sandbox, "unix_sockets").result == "hello"


def test_no_network_at_all_without_namespaces(without_namespaces: forkcore.Template, server: int) -> None:
    """By seccomp, the same."""
    sandbox = Sandbox(network="none")
    refused = do(without_namespaces, sandbox, "connect", "127.0.0.1", server)
    assert (refused.errno, refused.means) == ("EACCES", {"network": "seccomp"})
    assert do(without_namespaces, sandbox, "serve_and_connect").errno == "EACCES"
    assert do(without_namespaces, sandbox, "unix_sockets").result == "hello"
    # By which sockets can be made without a call of that name.
    assert do(without_namespaces, sandbox, "set_up_ring").errno == "ENOSYS"


@pytest.mark.parametrize("identity", IDENTITIES)
def test_no_network_at_all_with_nothing_for_it(identity: str) -> None:
    """Neither namespaces nor filters: it is refused."""
    with (
        make_template(identity, "filters", "namespaces") as template,
        pytest.raises(
            SandboxUnavailable, match=r"^network='none' needs seccomp filters, .* Remedy: a kernel with CONFIG_SECC"
        ),
    ):
        do(template, Sandbox(network="none"), "facts")


def test_loopback_needs_namespaces(without_namespaces: forkcore.Template, server: int) -> None:
    """Without them it is refused, or named where the child goes on."""
    with pytest.raises(SandboxUnavailable, match=r"^network=False needs namespaces, .* Remedy: run as root"):
        do(without_namespaces, Sandbox(network=False), "facts")
    went_on = do(without_namespaces, Sandbox(network=False, missing="ignore"), "connect", "127.0.0.1", server)
    assert went_on.result == "outside"
    assert went_on.missing[0].startswith("network=False needs namespaces")


def test_all_that_is_missing_is_named_at_once(without_namespaces: forkcore.Template) -> None:
    """One line for each."""
    with pytest.raises(SandboxUnavailable) as caught:
        do(without_namespaces, Sandbox(network=False, hostname="box", private_tmp=True), "facts")
    assert sorted(text.split()[0] for text in caught.value.missing) == ["hostname", "network=False", "private_tmp"]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_namespaces_where_apparmor_may_refuse_them(identity: str) -> None:
    """It is tried, in a process that is not needed any more: with success where it does not."""
    require_namespaces(identity)
    with make_template(identity) as template:
        template.eval("sandbox_targets.expect_apparmor()")
        assert do(template, Sandbox(network=False), "serve_and_connect").result == "hello"
    with make_template(identity, "namespaces") as template:
        template.eval("sandbox_targets.expect_apparmor()")
        with pytest.raises(SandboxUnavailable, match=r"^hostname needs namespaces"):
            do(template, Sandbox(hostname="box"), "facts")


@needs_root
@pytest.mark.parametrize("identity", IDENTITIES)
def test_namespaces_where_only_root_has_them(identity: str) -> None:
    """As with user.max_user_namespaces=0: root has the right to them, and an ordinary user is told what it lacks."""
    with make_template(identity, "user_namespaces") as template:
        if identity == "root":
            assert do(template, Sandbox(network=False), "serve_and_connect").result == "hello"
        else:
            with pytest.raises(SandboxUnavailable, match=r"^network=False needs namespaces, .* Remedy: run as root"):
                do(template, Sandbox(network=False), "serve_and_connect")


@needs_root
@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_world_without_namespaces_in_one_without_user_namespaces(identity: str) -> None:
    """Or tests that need such a world would fail on systems that are one."""
    with (
        make_template(identity, "user_namespaces", "namespaces") as template,
        pytest.raises(SandboxUnavailable, match=r"^hostname needs namespaces"),
    ):
        do(template, Sandbox(hostname="box"), "facts")


def test_hostname(with_namespaces: forkcore.Template) -> None:
    """Inside, and nowhere else."""
    before = socket.gethostname()
    assert do(with_namespaces, Sandbox(hostname="box"), "facts").result["host"] == "box"
    assert socket.gethostname() == before


def test_other_processes_cannot_be_signalled(
    with_namespaces: forkcore.Template, bystander: subprocess.Popen[bytes]
) -> None:
    """Not even by the same user; its own ones can."""
    require_landlock(6)
    sandbox = Sandbox(signal_others=False)
    killed = do(with_namespaces, sandbox, "send_signal", bystander.pid, signal.SIGKILL)
    assert killed.errno == "EPERM"
    assert bystander.poll() is None
    assert do(with_namespaces, sandbox, "kill_own_child").result == signal.SIGKILL
    assert do(with_namespaces, sandbox, "send_signal", 0, 0).error is None


KILL_ALL = """
import os, subprocess, sys
sys.path[0] = os.getcwd()
outside = os.readlink("/proc/self/ns/pid")
import sandbox_targets
sandbox_targets.enter_process_namespace()
import forkcore, sandbox_runs
bystander = subprocess.Popen(["sleep", "1000"])
with sandbox_runs.make_template(sys.argv[1]) as template:
    killed = sandbox_runs.do(template, forkcore.Sandbox(signal_others=False), "kill_all", outside)
    template.ready(20)
    print(killed.result, killed.status.code, bystander.poll())
    try:
        print(sandbox_runs.do(template, None, "kill_all", outside))
    except forkcore.TemplateDied as died:
        print(died)
    print(bystander.wait(20) if sys.argv[1] == "root" else bystander.poll())
"""


@pytest.mark.parametrize("identity", IDENTITIES)
def test_who_kills_all_that_it_sees_kills_its_own_alone(identity: str) -> None:
    """And all others where that is not forbidden: in a world of this test's own, in which there is nobody else."""
    require_landlock(6)
    require_namespaces(IDENTITIES[0])
    command = [sys.executable, "-c", KILL_ALL, identity]
    here = Path(__file__).parent.parent
    said = subprocess.run(command, cwd=here, check=False, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    bound, free, bystander = said.stdout.splitlines()
    assert bound == f"{signal.SIGKILL:d} 0 None"
    assert free == "the template of this child is gone, and its exit status with it"
    assert bystander == (f"{-signal.SIGKILL:d}" if identity == "root" or not IS_ROOT else "None")


def test_without_a_sandbox_a_bystander_can_be_killed(bystander: subprocess.Popen[bytes]) -> None:
    """Or the test above would show nothing."""
    with make_template(IDENTITIES[0]) as template:
        assert do(template, None, "send_signal", bystander.pid, signal.SIGKILL).error is None
    assert bystander.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize("identity", IDENTITIES)
def test_signals_need_landlock(identity: str) -> None:
    """Without it, an error names the remedy."""
    with (
        make_template(identity, "landlock") as template,
        pytest.raises(SandboxUnavailable, match=r"^signal_others=False needs Landlock of Linux 6.12"),
    ):
        do(template, Sandbox(signal_others=False), "facts")


@needs_root
def test_another_user(bystander: subprocess.Popen[bytes]) -> None:
    """Its number, its groups, and none of root's rights."""
    require_namespaces("root")
    with make_template("root") as template:
        sandbox = Sandbox(user="nobody")
        found = do(template, sandbox, "facts").result
        assert (found["uid"], found["capabilities"]) == (65534, 0)
        assert 0 not in found["groups"]
        assert do(template, sandbox, "read", "/proc/self/environ").error is None
        assert do(template, sandbox, "send_signal", bystander.pid, signal.SIGKILL).errno == "EPERM"
        assert do(template, sandbox, "write", "/etc/forkcore-test", 1).errno == "EACCES"
        together = Sandbox(user="nobody", network=False, read_only=True, private_tmp=True, hostname="box")
        assert do(template, together, "serve_and_connect").result == "hello"
        assert do(template, together, "write", "/tmp/file", 1).result == 1  # noqa: S108 - a private one
    assert bystander.poll() is None


def test_another_user_needs_root() -> None:
    """An ordinary user is told so."""
    with (
        make_template("ordinary") as template,
        pytest.raises(SandboxUnavailable, match=r"^user needs root, .* Remedy: run as root"),
    ):
        do(template, Sandbox(user=0), "facts")


@needs_root
def test_capabilities_of_root() -> None:
    """Those that are named are kept, and no program gets the others back."""
    with make_template("root") as template:
        found = do(template, Sandbox(capabilities=["chown", "kill"]), "facts").result
        assert (found["capabilities"], found["bounding"]) == (0b100001, 0b100001)
        none = Sandbox(capabilities=())
        assert do(template, none, "facts").result["capabilities"] == 0
        assert do(template, none, "mount_something", "/mnt").errno == "EPERM"


def test_capabilities_of_who_cannot_drop_them() -> None:
    """Programs could get them back where CAP_SETPCAP is missing: set-user-ID has no effect, then."""
    with make_template("ordinary") as template:
        assert do(template, None, "facts").result["no_new_privs"] == "0"
        found = do(template, Sandbox(capabilities=()), "facts").result
        assert (found["capabilities"], found["no_new_privs"]) == (0, "1")


def test_a_user_namespace_gives_no_rights() -> None:
    """An ordinary user in namespaces of its own is as mighty as before: not at all."""
    require_namespaces("ordinary")
    sandbox = Sandbox(network=False, private_tmp=True)
    with make_template("ordinary") as template:
        before = do(template, None, "facts").result
        inside = do(template, sandbox, "facts").result
        assert inside["uid"] == before["uid"]
        assert inside["capabilities"] == 0
        assert do(template, sandbox, "mount_something", "/mnt").errno == "EPERM"


@pytest.mark.parametrize("value", [True, False])
def test_no_new_privs(with_namespaces: forkcore.Template, value: Literal[True, False]) -> None:
    """As it was asked for."""
    found = do(with_namespaces, Sandbox(no_new_privs=value), "facts").result
    assert found["no_new_privs"] == str(int(value))
