"""The ways in which a child comes into a sandbox: each kind of template, asyncio, the executor, and by its own."""

from __future__ import annotations

import asyncio
import os
import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sandbox_runs import do, make_template
from targets import result

import forkcore
from forkcore import ChildDied, ForkExecutor, Sandbox, SandboxUnavailable, aio

import calls

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
BOUND = Sandbox(memory="48M", umask=0o071)
MAKERS: dict[str, Callable[[forkcore.Template], forkcore.Template]] = {
    "fused": lambda template: template.fork(),
    "clone": lambda template: template.fork().ready(),
    "exec": lambda _: forkcore.new_exec(),
    "here": lambda _: forkcore.fork_here(),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_each_kind_of_template(kind: str, template: forkcore.Template) -> None:
    """It holds before the function is called, and even before its module is imported."""
    idle = MAKERS[kind](template)
    child = idle.run("seen_at_import:tell", sandbox=BOUND)
    with child:
        assert result(child) == (0o071, True)


def test_with_asyncio() -> None:
    """The same, and the same exception."""

    async def main() -> None:
        async with aio.new() as template:
            child = await template.fork().run("targets:nothing", sandbox=BOUND)
            async with child:
                assert (await child.wait(20)).code == 0

    async def with_missing() -> None:
        async with aio.wrap(make_template("ordinary", "namespaces")) as template:
            child = await template.fork().run("sandbox_targets:attempt", sandbox=Sandbox(hostname="box"))
            async with child:
                await child.wait(20)

    asyncio.run(main())
    with pytest.raises(SandboxUnavailable, match="hostname needs namespaces"):
        asyncio.run(with_missing())


def test_an_executor_bounds_each_child() -> None:
    """An exception names the limit, a death does too, and other calls are not touched."""
    with ForkExecutor(2, sandbox=Sandbox(memory="48M", cpu=1)) as executor:
        beyond, within = executor.submit(calls.allocate, 60 << 20), executor.submit(calls.allocate, 1 << 20)
        endless = executor.submit(calls.spin)
        assert within.result(20) == 1 << 20
        with pytest.raises(MemoryError) as caught:
            beyond.result(20)
        assert caught.value.__notes__[0].startswith("sandbox limit memory=50331648: ")
        with pytest.raises(ChildDied, match="SIGXCPU") as died:
            endless.result(30)
        assert died.value.__notes__[0].startswith("sandbox limit cpu=1: ")


def test_an_executor_whose_sandbox_cannot_be_had() -> None:
    """Each call fails with what is missing."""
    with (
        make_template("ordinary", "namespaces", preload=["forkcore._executor_child", "calls"]) as origin,
        ForkExecutor(1, template=origin, sandbox=Sandbox(hostname="box")) as executor,
    ):
        future = executor.submit(calls.allocate, 1)
        with pytest.raises(SandboxUnavailable, match="hostname needs namespaces"):
            future.result(20)


def test_an_executor_with_an_unknown_user() -> None:
    """The call fails; the executor can be used, and shut down."""
    with ForkExecutor(1, sandbox=Sandbox(user="nobody-at-all")) as executor:
        with pytest.raises(LookupError, match="nobody-at-all"):
            executor.submit(calls.allocate, 1).result(20)
        with pytest.raises(LookupError):
            executor.submit(calls.allocate, 1).result(20)


def test_a_process_can_apply_one_to_itself() -> None:
    """Once."""
    code = """
import os
from forkcore import Sandbox, sandbox
applied = Sandbox(umask=0o22, open_files=3).apply()
assert sandbox.current() is applied and not applied.missing
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError as error:
    applied.relax()
    print(len(held), applied.explain(error), applied.explain(ValueError()))
    applied.tighten()
    try:
        os.dup(0)
    except OSError as error:
        os.close(held.pop())
        print("still", error.errno)
try:
    Sandbox().apply()
except RuntimeError as error:
    print(error)
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert printed.stdout.splitlines() == [
        "3 sandbox limit open_files=3: 3 beyond the template's are open now None",
        "still 24",
        "this process is in a sandbox already",
    ]


@pytest.mark.skipif(os.getuid() != 0, reason="is for root")
def test_another_user_dies_with_the_same_parent() -> None:
    """The kernel forgets at a change of user that the process has asked to die with its parent."""
    code = """
import ctypes
from forkcore import Sandbox, _sandbox_system as system
system.prctl(system.PR_SET_PDEATHSIG, 15)
Sandbox(user="nobody").apply()
number = ctypes.c_int()
system.prctl(system.PR_GET_PDEATHSIG, ctypes.byref(number))
print(number.value)
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert printed.stdout == "15\n"


def test_templates_that_use_none_load_nothing_of_it() -> None:
    """Neither the template nor its child."""
    with forkcore.new().run("targets:loaded_modules") as child:
        loaded = child.channel.recv(100_000).decode().split()
    assert not [name for name in loaded if "sandbox" in name]


def test_a_template_with_its_module_has_all_that_children_need() -> None:
    """Or each child would load the rest for itself, and as another user perhaps could not."""
    code = "import sys, forkcore.sandbox; print(*(name for name in sys.modules if '._sandbox' in name))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    there = {name for _, name, _ in pkgutil.iter_modules(forkcore.__path__, "forkcore.") if "._sandbox" in name}
    assert set(loaded.split()) == there


def test_an_error_in_the_sandbox_is_one_of_the_child(template: forkcore.Template) -> None:
    """A folder that is not there: nothing is called, and the template goes on."""
    with pytest.raises(forkcore.RemoteError, match="FileNotFoundError"):
        do(template, Sandbox(cwd="/nowhere/at/all"), "facts")
    assert do(template, Sandbox(cwd="/"), "facts").result["cwd"] == "/"


def test_root_and_others_are_told_apart() -> None:
    """The tests of this folder run as both, where they are run by root."""
    with make_template("ordinary") as template:
        assert do(template, None, "facts").result["uid"] != 0 or os.getuid() != 0
