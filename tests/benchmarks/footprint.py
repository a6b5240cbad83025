"""Memory of an idle template, of what is forked from it, and of interpreters to compare it with."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import forkcore
from benchmarks.processes import children_of, descendants_of, memory_of
from benchmarks.targets import greet_and_linger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import ForkServerContext

    from benchmarks.harness import Sample

    Note = Callable[[str, int], None]

_BLOCK = "import sys; sys.stdout.write('.'); sys.stdout.flush(); sys.stdin.read()"


@contextlib.contextmanager
def interpreter(*flags: str) -> Iterator[int]:
    """Have an interpreter that has started and waits; gives its pid."""
    command = [sys.executable, *flags, "-c", _BLOCK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.read(1)
        yield process.pid
        process.stdin.close()


@contextlib.contextmanager
def forkcore_child(template: forkcore.Template) -> Iterator[int]:
    """Have a child that waits in its function; gives its pid."""
    with template.run("benchmarks.targets:greet_and_linger") as child:
        child.channel.recv(1)
        yield child.pid


@contextlib.contextmanager
def multiprocessing_child(context: ForkServerContext) -> Iterator[int]:
    """Have a child of the fork server; gives its pid."""
    ours, theirs = socket.socketpair()
    with ours:
        process = context.Process(target=greet_and_linger, args=(theirs,))
        process.start()
        theirs.close()
        ours.recv(1)
        assert process.pid is not None
        yield process.pid
    process.join()


def measure_footprint() -> Sample:
    """Give private and proportional memory of each kind of process, in bytes.

    Shared pages are divided by who shares them: the interpreters to compare with run meanwhile, so
    that the text of the executable is shared alike.
    """
    found: Sample = {}

    def note(name: str, pid: int) -> None:
        memory = memory_of(pid)
        found.update({f"{name}_private": memory.private, f"{name}_pss": memory.pss})

    with interpreter("-I", "-S") as bare, interpreter() as full:
        _note_forkcore(note, bare)
        note("interpreter", full)
        _note_multiprocessing(note)
    return found


def _note_forkcore(note: Note, bare: int) -> None:
    context = forkcore.Context()
    template = context.default_template().ready()
    # Alone, without a fork that shares its pages.
    note("template", template.pid)
    note("interpreter_bare", bare)
    template.preload("benchmarks.targets").ready()
    with context.new() as idle:
        idle.ready()
        note("idle_fork", idle.pid)
    with forkcore_child(context.new()) as pid:
        note("child", pid)
    with forkcore_child(context.new_exec()) as pid:
        note("child_exec", pid)
    context.close()


def _note_multiprocessing(note: Note) -> None:
    context = multiprocessing.get_context("forkserver")
    before = set(children_of(os.getpid()))
    with multiprocessing_child(context) as pid:
        note("mp_child", pid)
    # The fork server and the resource tracker, which it needs.
    for server in set(descendants_of(os.getpid())) - before:
        arguments = _command_line(server)
        if "forkserver" in arguments:
            note("mp_forkserver", server)
        elif "resource_tracker" in arguments:
            note("mp_resource_tracker", server)


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
