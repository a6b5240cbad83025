"""Code that a template runs on request, and that takes what is the template's own."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest
from targets import result

import forkcore

TAKES_SIGCHLD = {
    "default": "signal.signal(signal.SIGCHLD, signal.SIG_DFL)",
    "ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "handler": "signal.signal(signal.SIGCHLD, lambda *_: None)",
    "wake-up": "signal.set_wakeup_fd(-1)",
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])",
    "asyncio": (
        "import asyncio\n"
        "async def main(): asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)\n"
        "asyncio.run(main())"
    ),
}


@pytest.mark.parametrize("code", TAKES_SIGCHLD.values(), ids=TAKES_SIGCHLD)
def test_exit_statuses_come_whoever_took_sigchld(template: forkcore.Template, code: str) -> None:
    """Of children that ran before as well as of those made afterwards."""
    template.preload("targets")
    before = template.fork().run("targets:wait_for_end")
    assert before.channel.recv(4) == b"here"
    template.eval("import signal\n" + code).ready(timeout=20)
    after = template.fork().run("targets:exit_with_text")
    assert after.wait(timeout=20).code == 1
    before.channel.shutdown(socket.SHUT_WR)
    assert before.wait(timeout=20).code == 0
    for child in (before, after):
        child.channel.close()


def test_what_eval_puts_in_place_of_the_templates_own_is_gone(template: forkcore.Template) -> None:
    """As the reference says: the handler of SIGCHLD, and the wake-up descriptor."""
    template.eval(
        "import signal, socket\n"
        "handler = lambda *_: None\n"
        "signal.signal(signal.SIGCHLD, handler)\n"
        "one, other = socket.socketpair()\n"
        "one.setblocking(False)\n"
        "signal.set_wakeup_fd(one.fileno())"
    )
    template.eval(
        "assert signal.getsignal(signal.SIGCHLD) is not handler\n"
        "assert signal.set_wakeup_fd(-1) not in (-1, one.fileno())"
    )
    template.ready(timeout=20)


WAITS = {
    "code": "os.waitpid(-1, 0)",
    "kernel": (
        "import signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "while os.path.exists(f'/proc/{int(args[0])}'): pass"
    ),
}


@pytest.mark.parametrize("code", WAITS.values(), ids=WAITS)
def test_a_status_that_somebody_else_took_is_unknown(template: forkcore.Template, tmp_path: Path, code: str) -> None:
    """Whoever waits for that child is told so, though others still run."""
    template.preload("targets", "os")
    ended, running = (template.fork().run("targets:wait_for_end") for _ in range(2))
    assert ended.channel.recv(4) == running.channel.recv(4) == b"here"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    lines = code.splitlines()
    # It has come to its last line once this can be opened.
    lines.insert(-1, "open(args[1]).close()")
    template.eval("import os\n" + "\n".join(lines), str(ended.pid), str(fifo))
    fifo.open("w").close()
    ended.channel.shutdown(socket.SHUT_WR)
    assert not ended.wait(timeout=20).is_known
    running.channel.shutdown(socket.SHUT_WR)
    assert running.wait(timeout=20).code == 0
    for child in (ended, running):
        child.channel.close()


def test_a_signal_that_the_system_refuses() -> None:
    """Is not sent, and does not end the template: it has given up the rights of its child's user."""
    with forkcore.new_exec() as own:
        own.preload("targets", "os")
        running = own.fork().run("targets:wait_for_end")
        bound = own.fork().run("targets:wait_for_end", die_with_parent=True)
        assert running.channel.recv(4) == bound.channel.recv(4) == b"here"
        own.eval("import os\nif os.getuid() == 0: os.setresuid(54321, 54321, 0)")
        running.send_signal(0)
        own.ready(timeout=20)
        for child in (running, bound):
            child.channel.shutdown(socket.SHUT_WR)
            assert child.wait(timeout=20).code == 0
            child.channel.close()


@pytest.mark.parametrize("flush", ["", "    def flush(self): raise RuntimeError('on purpose')\n"])
def test_an_output_stream_of_any_kind(template: forkcore.Template, flush: str) -> None:
    """The template forks all the same; the child says by its exit code that it could not flush."""
    template.eval(f"import sys\nclass Stream:\n    def write(self, text): pass\n{flush}sys.stdout = Stream()")
    child = template.preload("targets").fork().run("targets:nothing")
    assert child.wait(timeout=20).code == 120
    child.channel.close()
    assert result(template.eval("sys.stdout = None").fork().run("targets:echo_arguments")) == ()


def test_a_program_without_an_output_that_can_be_flushed() -> None:
    """It can be forked here: what is not there has nothing in its buffer."""
    closed = Path(os.devnull).open("w")  # noqa: SIM115
    closed.close()
    for stream in (closed, object()):
        with contextlib.redirect_stdout(stream):  # type: ignore[type-var]
            here = forkcore.fork_here()
        here.close()
