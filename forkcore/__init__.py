"""New processes, fast and safely, from a program of any size with any number of threads.

A small, single-threaded *template* process forks on request. See `new`, `new_exec`, `fork_here`,
`Template` and `Child`.

Names are imported at their first use: a template loads the few modules that it needs, and every
child of it is smaller for that.

PYTEST_DONT_REWRITE: there are no assertions here, and pytest would warn where a template has loaded
this package before it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from forkcore._child import Channel
    from forkcore._context import Context, adopt, fork_here, new, new_exec
    from forkcore._executor_child import retire
    from forkcore._leave import run_exit_handlers
    from forkcore._many import Waited
    from forkcore._server import take_args
    from forkcore._status import ExitStatus, ResourceUsage
    from forkcore._sync import Template
    from forkcore._sync_child import Child, wait
    from forkcore.errors import (
        ChildDied,
        ForkcoreError,
        ForkFailed,
        ForkHazard,
        FrameTooLarge,
        NotPicklable,
        ObjectSpent,
        ProtocolError,
        RemoteError,
        SandboxUnavailable,
        TargetNotFound,
        TemplateDied,
        TimeoutExpired,
    )
    from forkcore.executor import ForkExecutor
    from forkcore.sandbox import Sandbox

__all__ = [
    "Channel",
    "Child",
    "ChildDied",
    "Context",
    "ExitStatus",
    "ForkExecutor",
    "ForkFailed",
    "ForkHazard",
    "ForkcoreError",
    "FrameTooLarge",
    "NotPicklable",
    "ObjectSpent",
    "ProtocolError",
    "RemoteError",
    "ResourceUsage",
    "Sandbox",
    "SandboxUnavailable",
    "TargetNotFound",
    "Template",
    "TemplateDied",
    "TimeoutExpired",
    "Waited",
    "adopt",
    "fork_here",
    "new",
    "new_exec",
    "retire",
    "run_exit_handlers",
    "take_args",
    "wait",
]

_HOMES = {
    "Channel": "_child",
    "Child": "_sync_child",
    "Context": "_context",
    "ExitStatus": "_status",
    "ForkExecutor": "executor",
    "ResourceUsage": "_status",
    "Sandbox": "sandbox",
    "Template": "_sync",
    "Waited": "_many",
    "adopt": "_context",
    "fork_here": "_context",
    "new": "_context",
    "new_exec": "_context",
    "retire": "_executor_child",
    "run_exit_handlers": "_leave",
    "take_args": "_server",
    "wait": "_sync_child",
}
_SUBMODULES = frozenset(("aio", "early", "errors", "executor", "groups", "sandbox"))


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        __import__(f"{__name__}.{name}")
        return globals()[name]
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = f"{__name__}.{_HOMES.get(name, 'errors')}"
    value = getattr(__import__(home, fromlist=(name,)), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
