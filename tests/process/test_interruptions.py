"""Handlers of signals and destructors that run in the middle of a call, and raise, or call forkcore themselves."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import signal
import socket
import threading
import warnings
from typing import TYPE_CHECKING

import pytest
from interruptions import Interrupted, interrupt, interrupted
from targets import result

import forkcore
from forkcore._proc import DirectProcess

from helpers import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

# Each of some hundred points would take minutes; the number has no divisor in common with loops of the code.
STEP = 23


def run(template: forkcore.Template) -> None:
    """Fork and run in one step."""
    child = template.fork().send_arg(b"x").send_fd(0).run("targets:nothing")
    child.channel.close()
    assert child.wait(PATIENCE).code == 0


def clone(template: forkcore.Template) -> None:
    """Make an idle process, which becomes a child."""
    idle = template.fork().send_arg(b"x").ready(PATIENCE)
    assert result(idle.run("targets:echo_arguments")) == (b"x",)


def wait(template: forkcore.Template) -> None:
    """Wait in each of the ways there are."""
    child = template.fork().run("targets:wait_for_end")
    assert child.channel.recv(4) == b"here"
    with contextlib.suppress(forkcore.TimeoutExpired):
        child.wait(0)
    child.kill()
    forkcore.wait([child], PATIENCE, return_when="FIRST_COMPLETED")
    assert child.wait(PATIENCE).signal == signal.SIGKILL
    child.channel.close()


def execute(_: forkcore.Template) -> None:
    """Execute an interpreter."""
    with forkcore.new_exec() as own:
        own.ready(PATIENCE)


OPERATIONS = [run, clone, wait, execute]


def check(template: forkcore.Template) -> None:
    """The template takes commands in order, and its children's statuses come."""
    assert result(template.fork().send_arg(b"n").run("targets:echo_arguments")) == (b"n",)
    template.ready(PATIENCE)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
# Without `execute`, since subprocess itself loses a process that it is interrupted at making.
@pytest.mark.parametrize("operation", OPERATIONS[:-1])
def test_a_handler_that_raises(template: forkcore.Template, operation: Callable[[forkcore.Template], None]) -> None:
    """Wherever it comes, no command is sent twice or by halves, no event is lost, and no lock stays held."""
    template.preload("targets").ready()
    for number in itertools.count(0, STEP):
        with contextlib.suppress(Interrupted), interrupted(number, interrupt) as interruption:
            operation(template)
        check(template)
        if not interruption.has_come:
            break
    gc.collect()
    assert number > STEP


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_handler_that_uses_the_same_template(
    template: forkcore.Template, operation: Callable[[forkcore.Template], None]
) -> None:
    """Wherever it comes, both do what they are to do: the handler waits in the middle of the other one."""
    template.preload("targets").ready()
    for number in itertools.count(0, STEP):
        with interrupted(number, lambda: check(template)) as interruption:
            operation(template)
        if not interruption.has_come:
            break
    assert number > STEP


def test_a_handler_that_waits_while_its_program_waits(template: forkcore.Template) -> None:
    """For children of the same template: it reads what the other one would have read."""
    template.preload("targets")
    first, second = (template.fork().run("targets:wait_for_end") for _ in range(2))
    assert first.channel.recv(4) == second.channel.recv(4) == b"here"
    codes = []

    def handle(*_: object) -> None:
        second.channel.shutdown(socket.SHUT_WR)
        codes.append(second.wait(PATIENCE).code)
        first.channel.shutdown(socket.SHUT_WR)

    link = template._core.link
    assert link is not None
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def send() -> None:
        wait_for(lambda: link.is_reading, "the program waits")
        signal.pthread_kill(main_thread, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        assert first.wait(PATIENCE).code == 0
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert codes == [0]
    for child in (first, second):
        child.channel.close()


def test_a_status_outlives_an_interruption_of_its_taking() -> None:
    """Whatever the step at which a handler raises: wait4 gives it once."""
    for number in itertools.count():
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {})
        process = DirectProcess(pid)
        with contextlib.suppress(Interrupted), interrupted(number) as interruption:
            process.wait()
        status = process.wait()
        assert status is not None
        assert status.code == 3
        if not interruption.has_come:
            break
    assert number > 5


def test_a_default_template_in_the_making_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler, or a destructor, that needs one while it is made: there is one of them in the end."""
    context = forkcore.Context()
    made = []
    new_exec = context.new_exec

    def interrupted_new_exec() -> forkcore.Template:
        monkeypatch.undo()
        made.append(context.default_template())
        return new_exec()

    monkeypatch.setattr(context, "new_exec", interrupted_new_exec)
    assert context.default_template() is made[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        context.close()
