"""The 18 flaws of the library's ancestor, each shown to be absent."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest
from targets import result

import forkcore
from forkcore import _fds

from helpers import exhaust_descriptors, process_state, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def test_01_arguments_sent_before_fork_are_in_both(template: forkcore.Template) -> None:
    """What was sent stays in the template and is in the clone, materialised or not."""
    template.send_arg(b"before")
    clones = [template.fork(), template.fork().send_arg(b"more")]
    materialised = template.fork().send_arg(b"own").ready()
    assert result(clones[0].run("targets:echo_arguments")) == (b"before",)
    assert result(clones[1].run("targets:echo_arguments")) == (b"before", b"more")
    assert result(materialised.run("targets:echo_arguments")) == (b"before", b"own")
    assert result(template.run("targets:echo_arguments")) == (b"before",)


def test_02_closed_file_and_bad_descriptor_are_refused(template: forkcore.Template) -> None:
    """A closed thing raises ValueError at the call; what was open then arrives, closed since."""
    with tempfile.TemporaryFile() as file:
        inode = os.fstat(file.fileno()).st_ino
        template.send_fd(file)
    with pytest.raises(ValueError, match="closed"):
        template.send_fd(file)
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError, match="closed"):
        template.send_fd(sock)
    for number in (-1, 999_999, 2**40):
        with pytest.raises(ValueError, match=r"closed|impossible"):
            template.send_fd(number)
    (described,) = result(template.run("targets:describe"))
    assert described["inode"] == inode


@pytest.fixture
def descriptor_limit() -> Iterator[None]:
    """Put back the limit of open files that the test changes."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("descriptor_limit")
def test_03_fork_at_the_descriptor_limit_changes_nothing(template: forkcore.Template) -> None:
    """EMFILE in fork, run and send_fd raises, and the template works on afterwards."""
    template.ready()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clone = template.fork().send_arg(b"kept")
    exhaust_descriptors()
    for call in (
        lambda: clone.run("targets:echo_arguments"),
        lambda: template.fork().ready(),
        lambda: template.send_fd(0),
    ):
        with pytest.raises(OSError, match="Too many open files") as caught:
            call()
        assert caught.value.errno == errno.EMFILE
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result(clone.run("targets:echo_arguments")) == (b"kept",)
    assert result(template.run("targets:echo_arguments")) == ()


def test_04_failed_eval_is_a_remote_error(template: forkcore.Template) -> None:
    """A failed eval or preload raises with its traceback; a failing function exits with 1."""
    with forkcore.new() as failed:
        failed.eval("def f():\n    raise KeyError('lost')\nf()")
        with pytest.raises(forkcore.RemoteError) as caught:
            failed.ready()
    assert caught.value.remote_type == "KeyError"
    assert "line 2, in f" in caught.value.remote_traceback
    with pytest.raises(forkcore.RemoteError, match="no_such_module"):
        forkcore.new().preload("no_such_module").run("targets:nothing")
    with template.run("targets:fail") as child:
        assert child.wait().code == 1


def test_05_missing_function_is_a_remote_error(template: forkcore.Template) -> None:
    """A module, name or callable that is not there is told to whoever waits."""
    for target in ("targets:missing", "no_such:f", ":missing", "targets:not_callable", "x", "a:"):
        for child in (template.fork().run(target), template.fork().ready().run(target)):
            with pytest.raises(forkcore.TargetNotFound):
                child.wait()
            assert child.returncode == 1
            child.channel.close()


def test_06_every_waiter_is_woken_when_the_template_dies(template: forkcore.Template) -> None:
    """Kill the template: each child's waiter and each call raises TemplateDied."""
    children = [template.fork().run("targets:wait_for_end") for _ in range(3)]
    for child in children:
        assert child.channel.recv(4) == b"here"
    os.kill(template.pid, signal.SIGKILL)
    for child in children:
        with pytest.raises(forkcore.TemplateDied):
            child.wait(timeout=20)
    with pytest.raises(forkcore.TemplateDied):
        template.fork().run("targets:nothing")
    for child in children:
        child.channel.close()


def test_07_written_and_ready_are_different(template: forkcore.Template, tmp_path: Path) -> None:
    """A queueing call returns at once; ready returns when it has been executed."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # Nobody writes into the FIFO yet: the template is stuck in this.
    template.eval("open(args[0]).close()", str(fifo))
    with pytest.raises(forkcore.TimeoutExpired):
        template.ready(timeout=0)
    fifo.open("w").close()
    template.ready(timeout=20)


def test_08_death_with_unread_commands_has_one_type(template: forkcore.Template) -> None:
    """A template killed with commands unread gives TemplateDied with the status, not ECONNRESET."""
    with forkcore.new_exec() as own:
        pid = own.ready().pid
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: process_state(pid).endswith("T"), "stopped")
        own.eval("never = 1").send_arg(b"x" * 1000)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(forkcore.TemplateDied) as caught:
            own.ready(timeout=20)
    assert caught.value.pid == pid
    assert caught.value.status is not None
    assert caught.value.status.signal == signal.SIGKILL


def test_09_environment_is_that_of_the_template_or_given(
    template: forkcore.Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child has what its template had when that was made, or what it was given."""
    template.ready()
    monkeypatch.setenv("LATER", "1")
    assert "LATER" not in result(template.fork().run("targets:facts"))["env"]
    path = [*sys.path, "/nowhere"]
    given = template.fork(env={"A": "ä"}, cwd=tmp_path, umask=0o27, sys_path=path)
    found = result(given.run("targets:facts"))
    assert found["env"] == {"A": "ä"}
    assert found["cwd"] == str(tmp_path)
    assert found["umask"] == 0o27
    assert found["path"] == path


def test_10_random_numbers_differ(template: forkcore.Template) -> None:
    """Each child of a template that has used random has numbers of its own."""
    template.eval("import random; random.seed(1); random.random()")
    seen = [result(template.fork().run("targets:random_numbers"))[0] for _ in range(4)]
    assert len(set(seen)) == 4


def test_11_exit_handlers_of_the_template_do_not_run(tmp_path: Path) -> None:
    """Neither atexit handlers nor destructors of the template run in a child or at its end; those of the child do."""
    log = tmp_path / "log"
    code = f"""
import atexit
def note(text): open({str(log)!r}, "a").write(text + " ")
class Destroyed:
    def __del__(self): note("destroyed")
    def done(self): note("template")
kept = Destroyed()
atexit.register(Destroyed().done)
def register(channel, *args):
    atexit.register(note, "first")
    atexit.register(note, "second")
    raise SystemExit(7)
"""
    with forkcore.new() as own:
        own.eval(code).ready()
        for target in ("targets:nothing", "targets:fail", "targets:missing"):
            with own.fork().run(target):
                pass
        with own.fork().ready() as idle:
            assert idle.pid
        assert not log.exists()
        # Code that runs later registers later: still the template's.
        own.eval("atexit.register(Destroyed().done)")
        with own.fork().eval("atexit.register(Destroyed().done)").run(":register") as child:
            assert child.wait().code == 7
        assert log.read_text() == "second first "
        with own.fork().run(":register") as child:
            assert child.wait().code == 7
    assert log.read_text() == "second first second first "


@pytest.mark.parametrize("make", [forkcore.new, forkcore.new_exec])
def test_11_exit_handlers_of_a_child_run_where_the_template_has_none(
    make: Callable[[], forkcore.Template], tmp_path: Path
) -> None:
    """In a fork and in an exec'd process; one that fails leaves the others and the exit code alone."""
    log = tmp_path / "log"
    code = f"""
def register(channel):
    import atexit
    atexit.register(lambda: open({str(log)!r}, "a").write("done"))
    atexit.register(lambda: 1 / 0)
"""
    with make().eval(code).run(":register") as child:
        assert child.wait().code == 0
    assert log.read_text() == "done"


def test_11_exit_handlers_before_an_end_of_its_own(tmp_path: Path) -> None:
    """A function that ends its process by itself calls its handlers before; what follows is not the template's."""
    log = tmp_path / "log"
    code = f"""
import atexit, os, forkcore
def note(text): open({str(log)!r}, "a").write(text + " ")
atexit.register(note, "template")
def none(channel): forkcore.run_exit_handlers(lambda: os._exit(3))
def some(channel):
    atexit.register(note, "first")
    atexit.register(note, "second")
    atexit.register(lambda: 1 / 0)
    none(channel)
def cleared(channel):
    atexit._clear()
    some(channel)
def returning(channel):
    atexit.register(note, "third")
    forkcore.run_exit_handlers(lambda: None)
def raising(channel):
    atexit.register(note, "fourth")
    forkcore.run_exit_handlers(lambda: 1 / 0)
"""
    with forkcore.new().eval(code) as own:
        codes = {}
        for name in ("none", "some", "cleared", "returning", "raising"):
            with own.fork().run(f":{name}") as child:
                codes[name] = child.wait().code
    assert codes == {"none": 3, "some": 3, "cleared": 3, "returning": 1, "raising": 1}
    assert log.read_text() == "second first second first third fourth "


def test_12_eval_has_a_namespace_of_its_own(template: forkcore.Template) -> None:
    """Code that deletes or overwrites all names that it sees breaks nothing."""
    template.eval("for name in [*globals()]:\n    if name != '__builtins__': del globals()[name]")
    template.eval("self = frame = serve = current = Server = posix = m = None").ready()
    assert result(template.run("targets:echo_arguments")) == ()


def test_13_exit_status_reaches_the_parent(template: forkcore.Template) -> None:
    """Code, signal and resource usage, for a fused run, a clone and an exec'd process."""
    makers: list[Callable[[], forkcore.Template]] = [
        template.fork,
        lambda: template.fork().ready(),
        forkcore.new_exec,
    ]
    for make in makers:
        with make().send_arg(b"7").run("targets:exit_with") as child:
            assert child.wait().code == 7
            assert child.returncode == 7
        with make().send_arg(b"15").run("targets:kill_itself") as child:
            assert child.wait().signal == signal.SIGTERM
            assert child.returncode == -signal.SIGTERM
        with make().run("targets:use_time_and_memory") as child:
            usage = child.wait().usage
        assert usage is not None
        assert usage.user_time + usage.system_time >= 0.05
        assert usage.max_rss_bytes > 64 * 1024 * 1024


def test_14_the_last_child_is_reaped_at_once(template: forkcore.Template) -> None:
    """No zombie stays, with no further command given."""
    child = template.fork().run("targets:wait_for_end")
    pid = child.pid
    assert child.channel.recv(4) == b"here"
    child.channel.close()
    wait_for(lambda: process_state(pid) == "", "reaped")
    assert child.wait().code == 0


def test_15_a_template_inherits_no_descriptors(template: forkcore.Template) -> None:
    """A descriptor that the parent left inheritable is not in an exec'd template or its child."""
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        os.set_inheritable(fd, True)
        found = result(forkcore.new_exec().run("targets:facts"))
    finally:
        os.close(fd)
    # stdin, stdout, stderr, the channel and the listing itself.
    assert found["fds"][:3] == [0, 1, 2]
    assert len(found["fds"]) == 5
    # What is the template's own is not in its children either, those included that are made by the same command.
    assert len(result(template.fork().run("targets:facts"))["fds"]) == 5
    template.preload("targets")
    assert [len(result(template.fork().run("targets:facts"))["fds"]) for _ in range(3)] == [5, 5, 5]


def test_16_bad_interpreter_is_an_error_at_the_call(tmp_path: Path) -> None:
    """No such interpreter: OSError at once, and nothing left behind."""
    with pytest.raises(FileNotFoundError):
        forkcore.new_exec(interpreter=tmp_path / "python")
    (tmp_path / "python").write_text("no program")
    with pytest.raises(PermissionError):
        forkcore.new_exec(interpreter=tmp_path / "python")
    with pytest.raises(FileNotFoundError):
        forkcore.new_exec(cwd=tmp_path / "missing")


def test_17_received_descriptors_are_close_on_exec(template: forkcore.Template) -> None:
    """Every kind of descriptor, the channel too, is close-on-exec in the child."""
    with tempfile.TemporaryFile() as file, socket.socket() as sock:
        child = template.send_fd(0, file, sock).run("targets:describe")
        assert [one["inheritable"] for one in result(child)] == [False, False, False]
    assert result(forkcore.new().run("targets:facts"))["channel_inheritable"] is False


def test_18_more_descriptors_than_one_message_carries(template: forkcore.Template) -> None:
    """300 descriptors in one frame arrive; a truncated control message is fatal."""
    from forkcore._wire import MAX_FDS_PER_MESSAGE, encode, split_frame

    parts = split_frame(encode(3, 0, b"", 300), [0] * 300)
    assert [len(fds) for _, fds in parts] == [MAX_FDS_PER_MESSAGE, 300 - MAX_FDS_PER_MESSAGE]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendmsg([b"x"], _fds.encode_descriptors([0] * MAX_FDS_PER_MESSAGE))
        with pytest.raises(OSError, match="Invalid argument"):
            ours.sendmsg([b"x"], _fds.encode_descriptors([0] * (MAX_FDS_PER_MESSAGE + 1)))
        data, fds = _fds.receive(theirs, 10)
        assert (data, len(fds)) == (b"x", MAX_FDS_PER_MESSAGE)
        _fds.close_all(fds)


def test_18_truncated_descriptors_are_fatal(descriptor_limit: None) -> None:
    """At the limit of open files the kernel cuts descriptors off: ProtocolError, and no leak."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendmsg([b"x"], _fds.encode_descriptors([0] * 5))
        exhaust_descriptors()
        with pytest.raises(forkcore.ProtocolError):
            _fds.receive(theirs, 10)
