"""Faults injected one by one: the documented exception, nothing half done, nothing leaked."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from targets import result

import forkcore
from forkcore import _messages as m
from forkcore._context import direct_core
from forkcore._fds import encode_descriptors
from forkcore._server import run
from forkcore._spawn import fork_this_process
from forkcore._sync import Template
from forkcore._wire import MAX_PAYLOAD, encode

from helpers import exhaust_descriptors, process_state, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

# As an ordinary user, which limits of processes apply to; a user id that nobody else has.
ORDINARY_USER = "import posix\nif posix.getuid() == 0: posix.setgid(54321); posix.setuid(54321)\n"


@pytest.fixture
def stopped() -> Iterator[forkcore.Template]:
    """Give a template that is stopped; it goes on afterwards."""
    with forkcore.new_exec() as own:
        own.preload("targets")
        pid = own.ready().pid
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: process_state(pid).endswith("T"), "stopped")
        yield own
        os.kill(pid, signal.SIGCONT)


def test_fork_at_the_limit_of_processes() -> None:
    """RLIMIT_NPROC in the template: ForkFailed with EAGAIN for run and clone; it lives on."""
    with forkcore.new_exec() as own:
        own.preload("targets").eval(
            ORDINARY_USER + "import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (0, 100))"
        ).ready()
        child = own.fork().run("targets:nothing")
        for call in (child.wait, child.poll, lambda: child.pid):
            with pytest.raises(forkcore.ForkFailed) as caught:
                call()
            assert caught.value.errno == errno.EAGAIN
        assert child.channel.recv(1) == b""
        child.channel.close()
        clone = own.fork()
        with pytest.raises(forkcore.ForkFailed):
            clone.ready()
        with pytest.raises(forkcore.ForkFailed):
            assert clone.pid
        clone.close()
        own.eval("resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))").ready()
        assert result(own.fork().run("targets:echo_arguments")) == ()


def test_fork_without_memory(template: forkcore.Template) -> None:
    """ENOMEM of fork arrives as such; the next one works."""
    template.preload("targets").eval(
        "import posix\n"
        "real = posix.fork\n"
        "def fork():\n"
        "    posix.fork = real\n"
        f"    raise OSError({errno.ENOMEM}, 'Cannot allocate memory')\n"
        "posix.fork = fork"
    )
    child = template.fork().run("targets:nothing")
    with pytest.raises(forkcore.ForkFailed) as caught:
        child.wait()
    assert caught.value.errno == errno.ENOMEM
    child.channel.close()
    assert result(template.fork().run("targets:echo_arguments")) == ()


def test_fork_here_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing fork of this very process leaves nothing open."""

    def fail() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fail)
    with pytest.raises(BlockingIOError):
        forkcore.fork_here()


def test_fork_here_at_the_limit_of_descriptors() -> None:
    """Nothing is forked, and nothing stays open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    exhaust_descriptors()
    try:
        for make in (forkcore.fork_here, forkcore.new_exec):
            with pytest.raises(OSError, match="Too many open files") as caught:
                make()
            assert caught.value.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_template_at_the_limit_of_descriptors() -> None:
    """What it is sent is cut off: it ends in order, and whoever waits is told. Its children go on."""
    with forkcore.new_exec() as own:
        running = own.preload("targets").fork().run("targets:wait_for_end")
        assert running.channel.recv(4) == b"here"
        own.eval("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))").ready()
        child = own.fork().send_fd(*range(3), *range(3), *range(3), *range(3)).run("targets:nothing")
        with pytest.raises(forkcore.TemplateDied) as caught:
            child.wait(timeout=20)
        assert child.channel.recv(1) == b""
        child.channel.close()
        with pytest.raises(forkcore.TemplateDied) as caught:
            own.ready(timeout=20)
        assert caught.value.status is not None
        assert caught.value.status.code == 0
    running.channel.sendall(b"still there?")
    running.channel.close()


def test_a_stopped_template_times_out(stopped: forkcore.Template) -> None:
    """Queueing never waits; whatever waits, times out, and can be asked again."""
    stopped.send_arg(b"x")
    with pytest.raises(forkcore.TimeoutExpired):
        stopped.ready(timeout=0.05)
    with pytest.raises(forkcore.TimeoutExpired):
        stopped.eval("y = 1").fork().run("targets:echo_arguments", timeout=0.05)
    pid = stopped.pid
    os.kill(pid, signal.SIGCONT)
    assert result(stopped.fork().run("targets:echo_arguments")) == (b"x",)


def test_a_child_of_a_stopped_template_times_out(stopped: forkcore.Template) -> None:
    """Its run is queued; its wait times out until the template goes on."""
    child = stopped.fork().run("targets:nothing")
    with pytest.raises(forkcore.TimeoutExpired):
        child.wait(timeout=0.05)
    assert child.poll() is None
    os.kill(stopped.pid, signal.SIGCONT)
    assert child.wait(timeout=20).code == 0
    child.channel.close()


def test_full_socket_buffers(stopped: forkcore.Template) -> None:
    """Ten megabytes to a stopped template are queued at once; run waits for room, or times out."""
    block = bytes(range(256)) * 400
    for _ in range(100):
        stopped.send_arg(block)
    with pytest.raises(forkcore.TimeoutExpired):
        stopped.fork().run("targets:lengths", timeout=0.05)
    thread = threading.Timer(0.05, os.kill, (stopped.pid, signal.SIGCONT))
    thread.start()
    assert result(stopped.fork().run("targets:lengths")) == [len(block)] * 100
    thread.join()


def test_a_stopped_template_can_be_closed() -> None:
    """It has nothing left to do, and is killed after a moment."""
    own = forkcore.new_exec()
    pid = own.ready().pid
    os.kill(pid, signal.SIGSTOP)
    own.close()
    assert process_state(pid) == ""


def test_a_parent_that_does_not_read(template: forkcore.Template) -> None:
    """Thousands of events nobody reads do not stop the template from forking."""
    template.preload("targets").ready()
    children = []
    for _ in range(1500):
        child = template.fork().run("targets:nothing")
        assert child.channel.recv(1) == b""
        child.channel.close()
        children.append(child)
    assert all(child.wait(timeout=20).code == 0 for child in children)


def test_interrupted_system_calls() -> None:
    """A storm of signals in the parent and in the template loses nothing."""
    hits = []
    before = signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        with forkcore.new_exec() as own:
            own.preload("targets").eval(
                "import signal\n"
                "signal.signal(signal.SIGALRM, lambda *_: None)\n"
                "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
            )
            for number in range(100):
                child = own.fork().send_arg(b"%d" % number).run("targets:echo_arguments")
                assert result(child) == (b"%d" % number,)
            own.eval("signal.setitimer(signal.ITIMER_REAL, 0, 0)").ready()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_standard_descriptors_closed_in_the_parent(closed: list[int], tmp_path: Path) -> None:
    """No socket of ours becomes a stdin, stdout or stderr, at either end."""
    code = (
        "import os, sys\n"
        f"sys.path[:] = {sys.path!r}\n"
        "import forkcore, targets\n"
        f"for fd in {closed!r}: os.close(fd)\n"
        "makers = [forkcore.new, forkcore.new_exec, lambda: forkcore.new().fork().ready()]\n"
        "log = []\n"
        "for make in makers:\n"
        "    child = make().send_arg(b'x').run('targets:echo_arguments')\n"
        "    log.append((targets.receive(child.channel), child.wait().code))\n"
        "here = forkcore.fork_here()\n"
        "child = here.fork().run('targets:print_something')\n"
        "log.append(child.wait().code); child.channel.close(); here.close()\n"
        "found = targets.result(forkcore.new_exec().run('targets:facts'))\n"
        "log.append(found['fds'][:3])\n"
        f"open({str(tmp_path / 'log')!r}, 'w').write(repr(log))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    printed = (tmp_path / "log").read_text()
    assert printed == repr([((b"x",), 0)] * 3 + [0, [0, 1, 2]])


def fork_raw() -> tuple[socket.socket, Template]:
    """Give a template, and a second hold of its control socket to say anything over."""
    forked = fork_this_process({}, ())
    if not isinstance(forked, tuple):
        run(forked)
    fd, process = forked
    raw = socket.socket(fileno=os.dup(fd))
    return raw, Template(direct_core(fd, process))


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.one_of(
        st.binary(min_size=1, max_size=100),
        st.builds(encode, st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40)),
    ),
    st.integers(0, 3),
)
@example(encode(m.SEND, 0, m.pack([(m.INTEGER, b"")])), 0)
@example(encode(m.SEND, 0, m.pack([(m.INTEGER, b"")]), 2), 2)
def test_garbage_does_not_crash_a_template(data: bytes, count: int) -> None:
    """Whatever it is told, it serves on or leaves in order: never by a signal or a traceback."""
    raw, own = fork_raw()
    with raw:
        process = own._core.process
        raw.sendmsg([data], encode_descriptors([0] * count))
        raw.shutdown(socket.SHUT_RDWR)
        own.close()
    status = process.poll() if process is not None else None  # type: ignore[union-attr]
    assert status is not None
    assert status.code == 0


def test_half_a_frame_and_then_the_end() -> None:
    """A frame cut off by the end of the stream is dropped, with its descriptors."""
    raw, own = fork_raw()
    with raw:
        raw.sendmsg([encode(m.SEND, 0, b"x" * 100, 1)[:50]], encode_descriptors([0]))
        raw.shutdown(socket.SHUT_RDWR)
        with pytest.raises(forkcore.TemplateDied) as caught:
            own.ready(timeout=20)
    assert caught.value.status is not None
    assert caught.value.status.code == 0
    own.close()


def test_a_template_allocates_no_more_than_the_frame_limit() -> None:
    """A header that announces too much is refused; one that announces the limit allocates nothing."""
    raw, own = fork_raw()
    with raw:
        pid = own.pid
        raw.sendall(MAX_PAYLOAD.to_bytes(11, "little") + b"some")
        status = Path(f"/proc/{pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0])
        raw.shutdown(socket.SHUT_RDWR)
        own.close()
    own_peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    assert peak < own_peak + MAX_PAYLOAD // 1024 // 2
    raw, own = fork_raw()
    with raw:
        raw.sendall((MAX_PAYLOAD + 1).to_bytes(11, "little"))
        with pytest.raises(forkcore.TemplateDied):
            own.ready(timeout=20)
    own.close()


@pytest.mark.parametrize("data", [b"\xff" * 20, encode(99, 1), encode(m.STARTED, 1, b"x"), encode(m.READY, 1)[:5]])
def test_garbage_from_a_template_is_its_death(data: bytes) -> None:
    """A peer that is no template: TemplateDied for every waiter, and the socket is closed."""
    ours, theirs = socket.socketpair()
    adopted = forkcore.adopt(ours)
    child = adopted.fork().run("a:b")
    with theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(forkcore.TemplateDied):
            child.wait(timeout=20)
        with pytest.raises(forkcore.TemplateDied):
            adopted.ready(timeout=20)
    adopted.close()
    child.channel.close()


def test_descriptors_from_a_template_are_refused() -> None:
    """They are closed, and the connection with them."""
    ours, theirs = socket.socketpair()
    adopted = forkcore.adopt(ours)
    with theirs:
        theirs.sendmsg([encode(m.READY, 1, b"", 1)], encode_descriptors([0]))
        with pytest.raises(forkcore.TemplateDied):
            adopted.ready(timeout=20)
    adopted.close()


def test_sigchld_ignored_in_the_parent() -> None:
    """Statuses from templates come all the same; that of a direct child is unknown."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with forkcore.new_exec() as own:
            with own.fork().send_arg(b"3").run("targets:exit_with") as child:
                assert child.wait().code == 3
            with forkcore.new_exec().send_arg(b"3").run("targets:exit_with") as child:
                assert not child.wait().is_known
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_an_interpreter_that_is_none() -> None:
    """A program that starts but is no template: TemplateDied with its status."""
    with forkcore.new_exec(interpreter="/bin/false") as own, pytest.raises(forkcore.TemplateDied) as caught:
        own.ready(timeout=20)
    assert caught.value.status is not None
    assert caught.value.status.code == 1
