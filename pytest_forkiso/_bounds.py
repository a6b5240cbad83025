"""What a test may use and touch: marker arguments and profiles, as a sandbox of forkcore."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forkcore.sandbox import Sandbox
from pytest_forkiso import _sandboxed  # noqa: F401 - here, so that no child has to load it
from pytest_forkiso._profiles import SANDBOX_ARGUMENTS, check_policy

if TYPE_CHECKING:
    from pytest_forkiso._profiles import Argument

_PATHS = ("cwd", "home")
_PATH_LISTS = ("writable", "hide", "visible")
_TEMPORARY = "tmp"
_FILE_SYSTEM = ("read_only", "private_tmp", "user", "hide")


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What a test is bound to.

    Attributes:
        sandbox: But for temporary folders.
        policy: One of `pytest_forkiso._profiles.POLICIES`.
        has_folder: The test begins in a folder of its own.
        has_home: HOME is a folder of its own.
    """

    sandbox: Sandbox
    policy: str
    has_folder: bool
    has_home: bool

    @property
    def limits_files(self) -> bool:
        """Whether the test sees, or may write, less of the file system."""
        return any(getattr(self.sandbox, name) for name in _FILE_SYSTEM) or self.sandbox.user == 0

    @property
    def hides_processes(self) -> bool:
        """Whether the test sees no processes, not even its own."""
        return "/proc" in self.sandbox.hide


def make_bounds(item: pytest.Item, arguments: dict[str, Argument], policy: str) -> Bounds:
    """Make the bounds of a test.

    Args:
        item: The test.
        arguments: From its markers and profiles.
        policy: Where these have none.

    Raises:
        pytest.UsageError: A value is wrong; names the test and where the value stands.
    """
    chosen = arguments.get("sandbox_missing")
    if chosen is not None:
        policy = check_policy(chosen.value, f"{item.nodeid}: {chosen.source}: sandbox_missing")
    values = {
        name: argument.value
        for name, argument in arguments.items()
        if name in SANDBOX_ARGUMENTS and argument.value is not None
    }
    temporary = {name: values.get(name) == _TEMPORARY for name in _PATHS}
    values = {name: value for name, value in values.items() if not temporary.get(name)}
    values["missing"] = "ignore" if policy == "ignore" else "error"
    try:
        sandbox = Sandbox(**_with_absolute_paths(values, item.config.rootpath))
        sandbox.fields()  # looks for the user
        _check_temporary(sandbox, temporary)
    except (ValueError, TypeError, LookupError) as error:
        raise pytest.UsageError(f"{item.nodeid}: {_source(str(error), arguments)}: {error}") from error
    return Bounds(sandbox, policy, has_folder=temporary["cwd"], has_home=temporary["home"])


def _source(text: str, arguments: dict[str, Argument]) -> str:
    """Say where the argument stands that an error begins with."""
    named = [argument.source for name, argument in arguments.items() if text.startswith((name, f"no such {name}"))]
    return named[0] if named else "; ".join(sorted({argument.source for argument in arguments.values()}))


def _with_absolute_paths(values: dict[str, Any], root: Path) -> dict[str, Any]:
    """Take relative paths as relative to the root directory, wherever pytest was started."""
    absolute = dict(values)
    for name in _PATHS:
        if name in values:
            absolute[name] = _absolute(values[name], root)
    for name in _PATH_LISTS:
        if name in values and not isinstance(values[name], str | os.PathLike):
            absolute[name] = [_absolute(path, root) for path in values[name]]
    return absolute


def _absolute(path: Any, root: Path) -> str:
    return str(root / Path(path).expanduser())


def _check_temporary(sandbox: Sandbox, temporary: dict[str, bool]) -> None:
    for name, is_temporary in temporary.items():
        if is_temporary and sandbox.user is not None and not sandbox.private_tmp:
            raise ValueError(
                f"{name}='tmp' with user= needs private_tmp=True: the folders of pytest belong to its own user"
            )
