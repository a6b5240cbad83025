"""Templates as different users, with facilities present and absent, and what became of a deed in a child of one."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from targets import receive_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

import forkcore
from forkcore import Sandbox
from forkcore.groups import ControlGroups

MODULE = "sandbox_targets"
IDENTITIES = ("root", "ordinary") if os.getuid() == 0 else ("ordinary",)
IS_ROOT = os.getuid() == 0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a child has said, and how it ended."""

    status: forkcore.ExitStatus
    result: Any = None
    error: str | None = None
    errno: str | None = None
    notes: tuple[str, ...] = ()
    means: dict[str, str] = dataclasses.field(default_factory=dict)
    missing: tuple[str, ...] = ()


def make_template(identity: str, *denied: str, preload: Sequence[str] = ()) -> forkcore.Template:
    """Give a template of this user, in which facilities are denied.

    Args:
        identity: "root" or "ordinary".
        denied: "namespaces", "user_namespaces", "landlock", "filters", "mounts"; in this order.
        preload: Modules that an ordinary user may not be able to read later.
    """
    steps = [f"{MODULE}.deny_{one}()" for one in denied]
    if identity == "ordinary":
        steps.append(f"{MODULE}.become_ordinary()")
    # The directory of a test may be of no use to another user.
    return forkcore.new(cwd="/").preload(MODULE, *preload).eval(f"import {MODULE}").eval("\n".join(steps) or "pass")


@functools.cache
def _runs(code: str) -> bool:
    command = [sys.executable, "-c", f"import {MODULE} as t; {code}"]
    return (
        subprocess.run(command, cwd=Path(__file__).parent, check=False, capture_output=True, timeout=60).returncode == 0
    )


def require_namespaces(identity: str) -> None:
    """Skip the test where the system gives this user none: Ubuntu does so by AppArmor, and some containers."""
    become = "t.become_ordinary()" if identity == "ordinary" else "pass"
    enter = "assert not t.namespaces.enter([0x20000, 0x40000000]).refused"
    if not _runs(
        f"{become}; {enter}; t.mounts.arrange(read_only=True, writable=(), visible=(), hidden=(), private_size=None)"
    ):
        pytest.skip(f"this system gives no namespaces to {identity} users")


def require_user_namespaces() -> None:
    """Skip the test where the system gives none to anybody: as with user.max_user_namespaces=0."""
    if not _runs("t.become_ordinary_in_name()"):
        pytest.skip("this system gives no user namespaces")


def require_landlock(version: int) -> None:
    """Skip the test where the kernel's Landlock is older than that version of its interface."""
    if not _runs(f"assert t.landlock.version() >= {version}"):
        pytest.skip(f"this kernel has no Landlock of version {version}")


def require_read_only(identity: str) -> None:
    """Skip the test where this user can be given a read-only file system neither by mounts nor by Landlock."""
    if not _runs("assert t.landlock.version() >= 3"):
        require_namespaces(identity)


@contextlib.contextmanager
def delegated_group() -> Iterator[str]:
    """Give the folder of a control group that is delegated to whoever is in it; nobody is. Skips the test without."""
    try:
        groups = ControlGroups()
    except forkcore.SandboxUnavailable as error:
        pytest.skip(str(error))
    with groups, groups.make(Sandbox(memory="1G", processes=200)) as group:
        os.setxattr(group.path, "user.delegate", b"1")
        yield group.path


def do(template: forkcore.Template, sandbox: Sandbox | None, deed: str, *arguments: Any) -> Outcome:
    """Do something in a child of a template, in a sandbox.

    Args:
        template: Is forked; stays open.
        sandbox: Of the child.
        deed: Name of a function of the module of deeds.
        arguments: Of it.
    """
    plan = json.dumps([deed, arguments])
    with template.fork().send_arg(plan).run(f"{MODULE}:attempt", sandbox=sandbox) as child:
        said = receive_bytes(child.channel)
        status = child.wait(timeout=60)
    fields = json.loads(said) if said else {}
    for name in ("notes", "missing"):
        fields[name] = tuple(fields.get(name, ()))
    return Outcome(status, **fields)
