"""What runs in the template that pytest-xdist's workers are forked from, and in each worker before it is one."""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import os
import sys
import types
from typing import TYPE_CHECKING

import execnet
import pytest

from pytest_forkiso import _hazards
from pytest_forkiso._inner import PLUGIN_NAME

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator


class _Loaded(Exception):
    """The plugins are there: nothing more is wanted of this run of pytest."""


class _StopAfterPlugins:
    """A plugin that ends a run of pytest when all other plugins are imported, and before any conftest file is."""

    __name__ = PLUGIN_NAME  # what pluggy registers it as: this run begins no template of its own

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self) -> Generator[None, object, object]:
        raise _Loaded
        yield  # type: ignore[unreachable] # makes it a wrapper: called before what is none


def load_plugins(arguments: list[bytes]) -> None:
    """Import pytest's plugins as pytest itself does it, with assertions rewritten, and forget about them.

    Args:
        arguments: Command line of the run, which may name plugins; UTF-8.

    Raises:
        RuntimeError: They could not be loaded.
    """
    try:
        code = pytest.main([argument.decode() for argument in arguments], plugins=[_StopAfterPlugins()])
    except _Loaded:
        return
    raise RuntimeError(f"pytest did not load its plugins; it ended with {code!r}")


def settle() -> None:
    """Make the template ready for its first fork.

    Raises:
        RuntimeError: A plugin or a preload has started a thread.
    """
    _gateway_source()
    _hazards.refuse_threads()
    gc.freeze()


def run(_: socket.socket, flags: bytes, stdin: int, stdout: int, stderr: int) -> None:
    """Become what the interpreter would have become that pytest-xdist started.

    Args:
        flags: Of that interpreter: "-u", "-B".
        stdin: Descriptor; consumed, and so are the other two. execnet writes there what is to be executed.
        stdout: For execnet.
        stderr: Of pytest itself.
    """
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)
        os.close(fd)
    # That of the template may hold what was read there, or be None.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as this process lives
    sys.dont_write_bytecode = sys.dont_write_bytecode or b"-B" in flags.split()
    sys.argv[:] = ["-c"]
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    main.__dict__["sys"] = sys
    # As the code that execnet has an interpreter execute (execnet.gateway_io.popen_bootstrapline): the line that comes
    # is a literal, the source of a program.
    program = ast.literal_eval(sys.stdin.readline())
    source = _gateway_source()
    if program.startswith(source):
        # That of a module of execnet, whole, which is imported here. So execnet does it where it has not been told of
        # an interpreter; and its thread is known to be execnet's.
        main.__dict__.update({name: value for name, value in vars(execnet.gateway_base).items() if name[:2] != "__"})
        program = program[len(source) :]
    exec(program, main.__dict__)  # noqa: S102


@functools.cache  # the template reads the file, for all workers
def _gateway_source() -> str:
    return inspect.getsource(execnet.gateway_base)
