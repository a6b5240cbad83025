"""Templates as different users, with facilities present and absent, and what became of a deed in a child of one."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

from targets import receive_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

import forkcore
from forkcore import Sandbox

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
        denied: "namespaces", "landlock".
        preload: Modules that an ordinary user may not be able to read later.
    """
    steps = [f"{MODULE}.deny_{one}()" for one in denied]
    if identity == "ordinary":
        steps.append(f"{MODULE}.become_ordinary()")
    # The directory of a test may be of no use to another user.
    return forkcore.new(cwd="/").preload(MODULE, *preload).eval(f"import {MODULE}").eval("\n".join(steps) or "pass")


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
