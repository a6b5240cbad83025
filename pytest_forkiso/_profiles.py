"""Named sets of marker arguments, in pyproject.toml and the ini file, and which of them a test gets."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import forkcore
    from forkcore.groups import ControlGroup
    from pytest_forkiso._bounds import Bounds


BOUNDS: pytest.StashKey[Bounds] = pytest.StashKey()
"""Of an item that is bound to something."""
SANDBOX_ARGUMENTS = frozenset(
    (
        "capabilities", "core_dumps", "cpu", "cwd", "env", "file_size", "hide", "home", "hostname", "memory", "network",
        "nice", "no_new_privs", "open_files", "private_tmp", "processes", "read_only", "signal_others", "umask", "user",
        "visible", "writable",
    )
)  # fmt: skip
"""Fields of `forkcore.Sandbox`, which is not loaded for a run that needs none."""
ARGUMENTS = SANDBOX_ARGUMENTS | {"profile", "sandbox_missing", "share", "timeout"}
"""Of the marker, and of profiles, which take no `profile` themselves."""
POLICIES = ("fail", "skip", "ignore")
"""What happens to a test whose sandbox cannot be had."""
_TABLE = "tool.pytest_forkiso"
_KEYS = frozenset(("profiles", "overrides"))


class Argument:
    """A value, and where it was found."""

    __slots__ = ("source", "value")

    def __init__(self, value: Any, source: str) -> None:
        self.value = value
        self.source = source


@dataclasses.dataclass(frozen=True)
class Override:
    """Arguments for the tests of a path.

    Attributes:
        path: A file or folder, relative to the root directory, or a pattern with ``*``.
        arguments: As for the marker.
        source: Where it was found.
    """

    path: str
    arguments: Mapping[str, Any]
    source: str

    def covers(self, path: str) -> bool:
        """Tell whether a path is meant, which is relative to the root directory."""
        return path == self.path or path.startswith(self.path.rstrip("/") + "/") or fnmatch.fnmatch(path, self.path)


class Profiles:
    """What was set outside of the markers.

    Attributes:
        named: Arguments by the name of their profile.
        sources: Where each profile was found.
        overrides: In the order in which they stand; a later one is stronger.
        default: Name of the profile of all forked tests; empty for none.
    """

    def __init__(
        self, named: Mapping[str, tuple[Mapping[str, Any], str]], overrides: Iterable[Override], default: str
    ) -> None:
        self.named = {name: arguments for name, (arguments, _) in named.items()}
        self.sources = {name: source for name, (_, source) in named.items()}
        self.overrides = tuple(overrides)
        self.default = default

    def arguments(self, item: pytest.Item) -> dict[str, Argument]:
        """Give what holds for a test: the closest marker decides, its profile comes next, then paths, then the default.

        Raises:
            pytest.UsageError: There is no such profile; names the test.
        """
        found: dict[str, Argument] = {}
        if self.default:
            self._add(found, {"profile": self.default}, "--fork-profile (or the ini option fork_profile)", item)
        if self.overrides:
            path = _relative_path(item)
            for override in self.overrides:
                if override.covers(path):
                    self._add(found, override.arguments, override.source, item)
        for marker in reversed(list(item.iter_markers("forked"))):
            self._add(found, marker.kwargs, "the marker 'forked'", item)
        return found

    def _add(self, found: dict[str, Argument], arguments: Mapping[str, Any], source: str, item: pytest.Item) -> None:
        name = arguments.get("profile")
        if name is not None:
            if name not in self.named:
                known = ", ".join(sorted(self.named)) or "there are none"
                raise pytest.UsageError(f"{item.nodeid}: {source}: no profile {name!r}; known ones: {known}")
            for key, value in self.named[name].items():
                found[key] = Argument(value, self.sources[name])
        for key, value in arguments.items():
            if key != "profile":
                found[key] = Argument(value, source)


def check_policy(value: Any, where: str) -> str:
    """Check what is to happen where a sandbox cannot be had.

    Raises:
        pytest.UsageError: It is none of `POLICIES`.
    """
    if value not in POLICIES:
        raise pytest.UsageError(f"{where} must be one of {', '.join(POLICIES)}, not {value!r}")
    return str(value)


def read_profiles(config: pytest.Config, default: str) -> Profiles:
    """Read profiles and overrides from pyproject.toml in the root directory, and from ini options.

    Args:
        config: Of the session.
        default: Name of the profile of all forked tests; empty for none.

    Raises:
        pytest.UsageError: Something there cannot be understood; says where.
    """
    named: dict[str, tuple[Mapping[str, Any], str]] = {}
    table = _read_table(config)
    overrides = [_read_override(entry) for entry in table.get("overrides", [])]
    for name, arguments in table.get("profiles", {}).items():
        named[name] = (arguments, f"[{_TABLE}.profiles.{name}] of pyproject.toml")
    for line in config.getini("fork_profiles"):
        name, arguments = _read_line(line, "fork_profiles")
        named[name] = (arguments, f"the ini option fork_profiles ({name})")
    for line in config.getini("fork_overrides"):
        path, arguments = _read_line(line, "fork_overrides")
        overrides.append(Override(path, arguments, f"the ini option fork_overrides ({path})"))
    profiles = Profiles(named, overrides, default)
    _check(profiles)
    return profiles


def _read_table(config: pytest.Config) -> dict[str, Any]:
    path = config.rootpath / "pyproject.toml"
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    if b"pytest_forkiso" not in data:
        return {}
    import tomllib

    try:
        table = tomllib.loads(data.decode()).get("tool", {}).get("pytest_forkiso", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"{path}: {error}") from error
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise pytest.UsageError(f"{path}: [{_TABLE}] has no key {unknown[0]!r}; it takes: {', '.join(sorted(_KEYS))}")
    if not all(isinstance(one, dict) for one in table.get("profiles", {}).values()):
        raise pytest.UsageError(f"{path}: each key of [{_TABLE}.profiles] must be a table")
    return dict(table)


def _read_override(entry: Any) -> Override:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise pytest.UsageError(f'[[{_TABLE}.overrides]] of pyproject.toml: each needs path = "…", not {entry!r}')
    arguments = {key: value for key, value in entry.items() if key != "path"}
    return Override(entry["path"], arguments, f"[[{_TABLE}.overrides]] of pyproject.toml ({entry['path']})")


def _read_line(line: str, option: str) -> tuple[str, dict[str, Any]]:
    """Take apart ``NAME: key = value, key = value``; the values are TOML's."""
    import tomllib

    name, colon, body = line.partition(":")
    try:
        if not colon or not name.strip():
            raise ValueError("there is no name with a colon at its beginning")
        return name.strip(), tomllib.loads("arguments = {" + body + "}")["arguments"]
    except ValueError as error:  # tomllib's is one of these
        raise pytest.UsageError(
            f'the ini option {option}: {line!r}: {error}; write it as: name: memory = "512M", network = false'
        ) from error


def _check(profiles: Profiles) -> None:
    """Check names; values are checked where they are used, with all others of a test."""
    places = [
        (arguments, profiles.sources[name], ARGUMENTS - {"profile"}) for name, arguments in profiles.named.items()
    ]
    places += [(override.arguments, override.source, ARGUMENTS) for override in profiles.overrides]
    for arguments, source, allowed in places:
        unknown = sorted(set(arguments) - allowed)
        if unknown:
            raise pytest.UsageError(f"{source}: no argument {unknown[0]!r}; known ones: {', '.join(sorted(allowed))}")
    missing = {override.arguments.get("profile") for override in profiles.overrides} | {profiles.default or None}
    for name in sorted(missing - {None} - set(profiles.named), key=str):
        known_names = ", ".join(sorted(profiles.named)) or "there are none"
        raise pytest.UsageError(
            f"no profile {name!r} (--fork-profile, fork_profile or overrides); known ones: {known_names}"
        )


def _relative_path(item: pytest.Item) -> str:
    try:
        return item.path.relative_to(item.config.rootpath).as_posix()
    except ValueError:
        return item.path.as_posix()


def explain(item: pytest.Item | None, status: forkcore.ExitStatus | None, group: ControlGroup | None) -> str:
    """Say which limit has ended the process of a test, to be added to a text; empty where none of them has."""
    bounds = None if item is None else item.stash.get(BOUNDS, None)
    if bounds is None or status is None:
        return ""
    reason = bounds.sandbox.explain(status)
    if reason is None and group is not None:
        reason = group.explain()
    return "" if reason is None else f"; {reason}"
