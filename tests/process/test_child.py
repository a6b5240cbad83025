"""Running children: channel, status, signals, and who dies with whom."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
from targets import result

import forkcore
from forkcore._link import Link

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

from helpers import is_gone, process_state, wait_for

MAKERS: dict[str, Callable[[forkcore.Template], forkcore.Template]] = {
    "fused": lambda template: template.fork(),
    "clone": lambda template: template.fork().ready(),
    "exec": lambda _: forkcore.new_exec(),
    "adopted": lambda template: forkcore.adopt(template.fork().detach()),
}


@pytest.fixture(params=MAKERS)
def idle(request: pytest.FixtureRequest, template: forkcore.Template) -> forkcore.Template:
    """Give an idle process, made in each of the ways there are."""
    made: forkcore.Template = MAKERS[request.param](template)
    return made


def test_channel_ends_with_the_child(idle: forkcore.Template) -> None:
    """A blocking, close-on-exec stream socket; its end is the child's end."""
    child = idle.run("targets:wait_for_end")
    assert isinstance(child.channel, socket.socket)
    assert child.channel.getblocking()
    assert not os.get_inheritable(child.channel.fileno())
    assert child.channel.recv(10) == b"here"
    child.channel.shutdown(socket.SHUT_WR)
    assert child.channel.recv(10) == b""
    with child:
        assert child.wait().code == 0


def test_pid_poll_wait_returncode(idle: forkcore.Template) -> None:
    """Before the end there is none of them but the pid; afterwards they stay."""
    child = idle.run("targets:wait_for_end")
    assert child.channel.recv(10) == b"here"
    assert process_state(child.pid)
    assert (child.poll(), child.returncode) == (None, None)
    with pytest.raises(forkcore.TimeoutExpired) as caught:
        child.wait(timeout=0)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(forkcore.TimeoutExpired):
        child.wait(timeout=0.01)
    child.channel.close()
    status = child.wait(timeout=20)
    assert status == child.wait() == child.poll()
    assert (status.code, status.signal, child.returncode) == (0, None, 0)
    assert status.usage is not None
    assert "exited with code 0" in repr(child)


@pytest.mark.parametrize("method", ["terminate", "kill", "send_signal"])
def test_signals_reach_the_child(idle: forkcore.Template, method: str) -> None:
    """Each way to send one; after the end they do nothing."""
    child = idle.run("targets:wait_for_end")
    assert child.channel.recv(10) == b"here"
    number = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL, "send_signal": signal.SIGUSR1}
    arguments = [signal.SIGUSR1] if method == "send_signal" else []
    getattr(child, method)(*arguments)
    assert child.wait(timeout=20).signal == number[method]
    getattr(child, method)(*arguments)
    with pytest.raises(ValueError, match="no such signal"):
        child.send_signal(1000)
    child.channel.close()


def test_exceptions_and_exits_are_those_of_a_program(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback on stderr and code 1; SystemExit with its code or text; Ctrl-C by signal."""
    with forkcore.new_exec() as template:
        check_ways_to_fail(template, capfd)


def check_ways_to_fail(template: forkcore.Template, capfd: pytest.CaptureFixture[str]) -> None:
    """Run functions that fail, one after the other."""
    with template.fork().run("targets:fail") as child:
        assert child.wait().code == 1
    error = capfd.readouterr().err
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.endswith("ValueError: on purpose\n")
    assert "forkcore" not in error
    with template.fork().run("targets:exit_with_text") as child:
        assert child.wait().code == 1
    assert capfd.readouterr().err == "this is why\n"
    with template.fork().send_arg(str(int(signal.SIGINT))).run("targets:kill_itself") as child:
        assert child.wait().signal == signal.SIGINT
    assert "KeyboardInterrupt" in capfd.readouterr().err


def test_an_interrupted_child_ends_as_a_program_does(template: forkcore.Template, tmp_path: Path) -> None:
    """Its exit handlers run, its files are flushed, and SIGINT is what has ended it."""
    log, out = tmp_path / "log", tmp_path / "out"
    template.eval(
        "def interrupt(channel, out):\n"
        "    import atexit\n"
        f"    atexit.register(lambda: open({str(log)!r}, 'w').write('done'))\n"
        "    out.write('written')\n"
        "    raise KeyboardInterrupt"
    )
    with out.open("w") as file, template.send_fd(file).run(":interrupt") as child:
        assert child.wait().signal == signal.SIGINT
    assert (log.read_text(), out.read_text()) == ("done", "written")


def test_threads_of_a_child_are_waited_for(template: forkcore.Template) -> None:
    """As at the end of a program: what they have begun they finish."""
    template.eval(
        "def begin(channel):\n"
        "    import threading\n"
        "    threading.Thread(target=lambda: channel.sendall(channel.recv(10))).start()\n"
    )
    with template.run(":begin") as child:
        child.channel.sendall(b"finish")
        assert child.channel.recv(10) == b"finish"
        assert child.wait(timeout=20).code == 0


@pytest.mark.parametrize("code", [0, 3])
def test_output_that_cannot_be_written_is_a_failure(template: forkcore.Template, code: int) -> None:
    """With the code that Python exits with then, unless there is another one."""
    template.eval(
        "import posix, sys\n"
        "def write(channel):\n"
        "    sys.stdout = open(posix.open('/dev/full', posix.O_WRONLY), 'w')\n"
        "    sys.stdout.write('lost')\n"
        f"    sys.exit({code})\n"
    )
    with template.run(":write") as child:
        assert child.wait(timeout=20).code == (code or 120)


def test_a_lost_descendant_does_not_keep_the_status(template: forkcore.Template) -> None:
    """A grandchild that lives on does not hide the child's end."""
    template.eval(
        "import posix\n"
        "def leave_one(channel):\n"
        "    read, write = posix.pipe()\n"
        "    if posix.fork() == 0:\n"
        "        posix.close(write); channel.recv(10); posix._exit(0)\n"
    )
    with template.fork().ready().run(":leave_one") as child:
        assert child.wait(timeout=20).code == 0


def test_a_running_child_that_is_dropped_warns(template: forkcore.Template) -> None:
    """As subprocess does; not after detach."""
    child = template.fork().run("targets:wait_for_end")
    channel = child.channel
    with pytest.warns(ResourceWarning, match="still running"):
        del child
    channel.close()
    channel = template.fork().run("targets:wait_for_end").detach()
    assert channel.recv(10) == b"here"
    channel.close()


def test_many_threads_wait_for_children_of_one_template(template: forkcore.Template) -> None:
    """Each thread gets its own child's status, in whatever order they end."""
    children = [template.fork().run("targets:wait_for_end") for _ in range(20)]
    found: dict[int, int | None] = {}

    def wait(number: int) -> None:
        found[number] = children[number].wait(timeout=20).code

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for child in reversed(children):
        assert child.channel.recv(4) == b"here"
        child.channel.close()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(20), 0)


def test_threads_fork_from_one_template(template: forkcore.Template) -> None:
    """Calls from several threads do not mix up their children."""
    found: dict[int, object] = {}

    def work(number: int) -> None:
        for _ in range(10):
            child = template.fork().send_arg(b"%d" % number).run("targets:echo_arguments")
            found[number] = result(child)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: (b"%d" % number,) for number in range(8)}


def test_two_thousand_children_at_a_time(template: forkcore.Template) -> None:
    """Two thousand exit statuses, each its own, none lost."""
    template.preload("targets").ready()
    children = []
    for number in range(2000):
        child = template.fork().send_arg(b"%d" % (number % 200)).run("targets:exit_with")
        child.channel.close()
        children.append(child)
    assert [child.wait(timeout=60).code for child in children] == [n % 200 for n in range(2000)]


PARENT = """
import os, sys, forkcore
sys.path[:] = {path!r}
own = forkcore.new_exec()
idle = own.fork().ready()
here = forkcore.fork_here()
bound = [make().run("targets:stay_for_ever", die_with_parent=True)
         for make in (own.fork, forkcore.new_exec, lambda: own.fork().ready(), here.fork)]
free = own.fork().run("targets:wait_for_end")
for child in [*bound, free]:
    assert child.channel.recv(4) == b"here"
print(own.pid, idle.pid, here.pid, forkcore._context.DEFAULT.default_template().pid,
      *[child.pid for child in bound], free.pid, flush=True)
sys.stdin.read()
"""


def test_a_killed_parent_takes_templates_and_bound_children_with_it() -> None:
    """SIGKILL for the parent: idle templates end, and children that asked to; others go on."""
    code = PARENT.format(path=sys.path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 9
        parent.kill()
        parent.wait()
        try:
            for pid in pids[:-1]:
                wait_for(partial(is_gone, pid), "ended with the parent")
        finally:
            for pid in pids[:-1]:
                if not is_gone(pid):
                    os.kill(pid, signal.SIGKILL)
        # Its channel has reached its end with the parent, which is its own affair.
        wait_for(lambda: is_gone(pids[-1]), "ended by itself")


def test_children_go_on_when_the_template_is_killed(template: forkcore.Template) -> None:
    """The channel works on; status and pid are asked of nobody any more."""
    child = template.fork().run("targets:wait_for_end")
    assert child.channel.recv(4) == b"here"
    pid = child.pid
    os.kill(template.pid, signal.SIGKILL)
    with pytest.raises(forkcore.TemplateDied) as caught:
        template.ready(timeout=20)
    assert caught.value.status is not None
    assert caught.value.status.signal == signal.SIGKILL
    with pytest.raises(forkcore.TemplateDied):
        child.wait(timeout=20)
    with pytest.raises(forkcore.TemplateDied):
        child.kill()
    assert not is_gone(pid)
    child.channel.close()
    wait_for(lambda: is_gone(pid), "ended by itself")


def test_bound_children_outlive_a_closed_template() -> None:
    """close() of a template is not the end of the parent."""
    own = forkcore.new_exec()
    child = own.fork().run("targets:wait_for_end", die_with_parent=True)
    assert child.channel.recv(4) == b"here"
    own.close()
    del own
    assert child.poll() is None
    child.channel.close()
    assert child.wait(timeout=20).code == 0


def test_bound_children_that_nobody_asks_for_hold_no_descriptors() -> None:
    """Their templates, dropped long ago, are let go of by the next call once the children have ended."""
    for _ in range(5):
        with forkcore.new_exec() as own:
            own.preload("targets").ready()
            child = own.fork().run("targets:wait_for_end", die_with_parent=True)
            template_pid = own.pid
        assert child.channel.recv(4) == b"here"
        child.detach().close()
        del child
        # It ends once it has reported the end of the child.
        wait_for(partial(is_gone, template_pid), "ended")
        gc.collect()
        # One that has ended, and may not have been looked at yet.
        assert len(Link.kept) <= 1
    with forkcore.new_exec() as own, own.fork().run("targets:nothing", die_with_parent=True):
        assert len(Link.kept) == 1


def test_a_closed_template_lingers_for_its_children() -> None:
    """The exit status is known though the template was closed meanwhile."""
    own = forkcore.new_exec()
    child = own.fork().send_arg(b"9").run("targets:wait_for_end")
    assert child.channel.recv(4) == b"here"
    own.close()
    child.kill()
    assert child.wait(timeout=20).signal == signal.SIGKILL
    child.channel.close()


def test_readiness_for_an_event_loop(template: forkcore.Template) -> None:
    """A program with a loop of its own polls fileno, and asks when it is readable."""
    import select

    child = template.fork().run("targets:wait_for_end")
    assert child.channel.recv(4) == b"here"
    child.channel.close()
    while child.poll() is None:
        assert select.select([template.fileno()], [], [], 20)[0]
        template.process_events()
    assert child.returncode == 0
