"""Profiles and overrides: where they are read from, which of them a test gets, and what is wrong with them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from forkcore import Sandbox
from pytest_forkiso._config import check_marker, item_timeout, read_settings
from pytest_forkiso._profiles import BOUNDS, SANDBOX_ARGUMENTS

if TYPE_CHECKING:
    from pytest_forkiso._bounds import Bounds

PYPROJECT = """
[tool.pytest_forkiso.profiles.strict]
memory = "1M"
network = false
cpu = 3

[tool.pytest_forkiso.profiles.loose]
memory = "9M"

[[tool.pytest_forkiso.overrides]]
path = "slow"
profile = "loose"
cpu = 7
"""


def bounds_of(pytester: pytest.Pytester, source: str, *arguments: str) -> Bounds | None:
    """Give what the only test of a module is bound to."""
    path = pytester.path / "slow" / "test_it.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"import pytest\n{source}\n")
    plugin = [] if pytester.plugins else ["-p", "forkiso"]
    config = pytester.parseconfigure(*plugin, "-p", "no:cacheprovider", "--rootdir", str(pytester.path), *arguments)
    (item,) = pytester.genitems([pytester.getnode(config, path)])
    check_marker(item, read_settings(config))
    return item.stash.get(BOUNDS, None)


def test_arguments_are_the_fields_of_a_sandbox() -> None:
    """Each of them, but for `missing`, which `sandbox_missing` stands for, and for the group, which pytest makes."""
    assert {field.name for field in dataclasses.fields(Sandbox)} - {"group", "missing"} == SANDBOX_ARGUMENTS


def test_no_bounds(pytester: pytest.Pytester) -> None:
    """Neither for a plain marker nor for one that unbinds."""
    assert bounds_of(pytester, "def test_it(): pass") is None
    assert bounds_of(pytester, "@pytest.mark.forked(timeout=3, memory=None)\ndef test_it(): pass") is None


@pytest.mark.parametrize(
    ("source", "arguments", "expected"),
    [
        ("def test_it(): pass", [], {"memory": "9M", "cpu": 7}),
        ("def test_it(): pass", ["--fork-profile=strict"], {"memory": "9M", "cpu": 7, "network": False}),
        ("def test_it(): pass", ["-o", "fork_profile=strict"], {"memory": "9M", "cpu": 7, "network": False}),
        ("@pytest.mark.forked(cpu=1)\ndef test_it(): pass", [], {"memory": "9M", "cpu": 1}),
        (
            "@pytest.mark.forked(profile='strict', cpu=None)\ndef test_it(): pass",
            [],
            {"memory": "1M", "network": False},
        ),
        (
            (
                "pytestmark = pytest.mark.forked(memory='2M', nice=1)\n"
                "@pytest.mark.forked(memory='3M')\ndef test_it(): pass"
            ),
            [],
            {"memory": "3M", "cpu": 7, "nice": 1},
        ),
        ("def test_it(): pass", ["-o", "fork_overrides=slow/test_*: cpu = 1"], {"memory": "9M", "cpu": 1}),
        ("def test_it(): pass", ["-o", "fork_overrides=slo: cpu = 1"], {"memory": "9M", "cpu": 7}),
    ],
)
def test_the_closest_decides(
    pytester: pytest.Pytester, source: str, arguments: list[str], expected: dict[str, Any]
) -> None:
    """Marker, its profile, a marker further away, the path, the default."""
    (pytester.path / "pyproject.toml").write_text(PYPROJECT)
    found = bounds_of(pytester, source, *arguments)
    assert found is not None
    assert found.sandbox == Sandbox(**expected)


def test_profiles_in_an_ini_file(pytester: pytest.Pytester) -> None:
    """As in pyproject.toml; the values are written as there."""
    pytester.makeini(
        "[pytest]\nfork_profile = a\nfork_profiles =\n    a: memory = '1M', hide = ['x']\n    b: cpu = 1\n"
        "fork_sandbox_missing = skip"
    )
    found = bounds_of(pytester, "@pytest.mark.forked(profile='b', cwd='tmp', home='h')\ndef test_it(): pass")
    assert found is not None
    root = pytester.path
    assert found.sandbox == Sandbox(memory="1M", hide=[str(root / "x")], cpu=1, home=str(root / "h"))
    assert (found.policy, found.has_folder, found.has_home) == ("skip", True, False)


@pytest.mark.parametrize("policy", ["fail", "skip", "ignore"])
def test_policy(pytester: pytest.Pytester, policy: str) -> None:
    """The sandbox itself only goes on where everything is to be ignored."""
    source = f"@pytest.mark.forked(cpu=1, sandbox_missing={policy!r})\ndef test_it(): pass"
    found = bounds_of(pytester, source)
    assert found is not None
    assert (found.policy, found.sandbox.missing) == (policy, "ignore" if policy == "ignore" else "error")


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ("memory='much'", r"slow/test_it.py::test_it: the marker 'forked': memory must be a number of bytes from 1 to"),
        ("speed=1", r"slow/test_it.py::test_it: the marker 'forked' has no argument 'speed'; it takes: capabilities, "),
        (
            "profile='none'",
            r"slow/test_it.py::test_it: the marker 'forked': no profile 'none'; known ones: loose, strict",
        ),
        ("profile='strict', network='far'", r"test_it: the marker 'forked': network must be True, False or 'none'"),
        ("sandbox_missing='never'", r"sandbox_missing must be one of fail, skip, ignore, not 'never'"),
        ("user='nobody-at-all'", r"test_it: the marker 'forked': user='nobody-at-all': there is no such user"),
        ("cwd='tmp', user=0", r"cwd='tmp' with user= needs private_tmp=True"),
        ("writable='x', read_only=True", r"the marker 'forked': writable takes several values"),
    ],
)
def test_wrong_markers(pytester: pytest.Pytester, marker: str, text: str) -> None:
    """A usage error that names the test and the place."""
    (pytester.path / "pyproject.toml").write_text(PYPROJECT)
    with pytest.raises(pytest.UsageError, match=text):
        bounds_of(pytester, f"@pytest.mark.forked({marker})\ndef test_it(): pass")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (
            "[tool.pytest_forkiso]\nprofile = 1",
            r"\[tool.pytest_forkiso\] has no key 'profile'; it takes: overrides, prof",
        ),
        ("[tool.pytest_forkiso.profiles]\na = 1", r"each key of \[tool.pytest_forkiso.profiles\] must be a table"),
        ("[tool.pytest_forkiso.profiles.a]\nspeed = 1", r"profiles.a\] of pyproject.toml: no argument 'speed'"),
        ("[tool.pytest_forkiso.profiles.a]\nprofile = 'b'", r"profiles.a\] of pyproject.toml: no argument 'profile'"),
        ("[[tool.pytest_forkiso.overrides]]\ncpu = 1", r"each needs path = "),
        (
            "[[tool.pytest_forkiso.overrides]]\npath = 'a'\nprofile = 'b'",
            r"no profile 'b' .*; known ones: there are none",
        ),
        ("[tool.pytest_forkiso.profiles.a]\ncpu = 0", r"profiles.a\] of pyproject.toml: cpu must be from 1"),
    ],
)
def test_wrong_tables(pytester: pytest.Pytester, table: str, text: str) -> None:
    """A usage error that names the place."""
    (pytester.path / "pyproject.toml").write_text(table)
    with pytest.raises(pytest.UsageError, match=text):
        bounds_of(pytester, "@pytest.mark.forked(profile='a')\ndef test_it(): pass")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (
            "fork_profiles=a memory=1",
            r"fork_profiles: 'a memory=1': there is no name with a colon.*write it as: name: mem",
        ),
        ("fork_profiles=a: memory=", r"fork_profiles: 'a: memory=': .*write it as"),
        ("fork_overrides=a: speed=1", r"fork_overrides \(a\): no argument 'speed'"),
        ("fork_profile=a", r"no profile 'a'"),
        ("fork_sandbox_missing=never", r"the ini option fork_sandbox_missing must be one of fail, skip, ignore"),
    ],
)
def test_wrong_ini_options(pytester: pytest.Pytester, option: str, text: str) -> None:
    """A usage error that names the option."""
    with pytest.raises(pytest.UsageError, match=text):
        bounds_of(pytester, "def test_it(): pass", "-o", option)


def test_timeouts_in_profiles(pytester: pytest.Pytester) -> None:
    """As of a marker."""
    (pytester.path / "pyproject.toml").write_text("[tool.pytest_forkiso.profiles.a]\ntimeout = 4")
    path = pytester.makepyfile("import pytest\n@pytest.mark.forked(profile='a')\ndef test_it(): pass")
    config = pytester.parseconfigure("-p", "forkiso", "--rootdir", str(pytester.path))
    (item,) = pytester.genitems([pytester.getnode(config, path)])
    assert item_timeout(item, read_settings(config)) == 4.0
