"""The value that describes a sandbox: what is checked, and what crosses to a child."""

from __future__ import annotations

import dataclasses
import os
import pickle
import pwd
import signal
from pathlib import Path
from typing import Any

import pytest

import forkcore
from forkcore.sandbox import Sandbox, current, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [(1, 1), ("1", 1), ("12k", 12 << 10), ("512M", 512 << 20), ("2GiB", 2 << 30), ("3 MB", 3 << 20), ("1T", 1 << 40)],
)
def test_sizes(text: int | str, size: int) -> None:
    """Numbers, and units that are powers of 1,024."""
    assert parse_size(text) == size


@pytest.mark.parametrize("value", [0, -1, "", "M", "1.5M", "12X", "0", "99999999T", 1 << 70])
def test_what_is_no_size(value: int | str) -> None:
    """The error calls it by its name and shows how to write it."""
    with pytest.raises(ValueError, match=r"^memory must be a number of bytes from 1 to 2\*\*60 or text as '512M'"):
        Sandbox(memory=value)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"memory": True}, TypeError, "memory must be"),
        ({"cpu": 0}, ValueError, "cpu must be from 1 to"),
        ({"cpu": 0.5}, TypeError, "cpu must be a whole number"),
        ({"processes": -1}, ValueError, "processes must be from 0"),
        ({"nice": 20}, ValueError, "nice must be from -20 to 19"),
        ({"umask": 0o1000}, ValueError, "umask must be from 0 to 511"),
        ({"network": "loopback"}, ValueError, "network must be True, False or 'none'"),
        ({"env": "empty"}, ValueError, "env must be a mapping or 'clean'"),
        ({"writable": ["/tmp"]}, ValueError, "read_only=True"),  # noqa: S108 - no file is made
        ({"read_only": True, "writable": "/tmp"}, TypeError, "writable takes several values"),  # noqa: S108 - as above
        ({"hide": Path("/x")}, TypeError, "hide takes several values"),
        ({"read_only": True, "writable": ["/a/b"], "hide": ["/a"]}, ValueError, "is hidden by '/a'"),
        ({"capabilities": ["fly"]}, ValueError, "no such capability: 'fly'; they are: chown,"),
        ({"hostname": ""}, ValueError, "hostname must have 1 to 64"),
        ({"missing": "skip"}, ValueError, "missing must be 'error' or 'ignore'"),
        ({"read_only": 1}, TypeError, "read_only must be True or False"),
        ({"speed": 1}, TypeError, "speed"),
    ],
)
def test_wrong_values(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    """Each is refused at once, by its name."""
    with pytest.raises(error, match=text):
        Sandbox(**arguments)


def test_it_is_a_value() -> None:
    """Frozen, equal, hashable, picklable, and to be changed by `dataclasses.replace`."""
    one = Sandbox(memory="1M", hide=["/x"], env={"A": "1"})
    assert one == Sandbox(memory="1M", hide=("/x",), env={"A": "1"})
    assert hash(one) == hash(Sandbox(memory="1M", hide=("/x",), env={"A": "1"}))
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own
    assert dataclasses.replace(one, memory=None).memory is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.memory = 5  # type: ignore[misc]


def test_nothing_is_bound_by_default() -> None:
    """No fields, and so nothing to do."""
    assert Sandbox().fields() == {}


def test_fields() -> None:
    """Sizes are numbers, paths are absolute, and a user is its numbers."""
    somebody = pwd.getpwall()[0]
    sandbox = Sandbox(
        memory="1M",
        file_size=7,
        core_dumps=False,
        private_tmp=True,
        read_only=True,
        writable=["~", "here"],
        network=False,
        signal_others=False,
        capabilities=(),
        umask=0,
        user=somebody.pw_name,
        missing="ignore",
    )
    fields = sandbox.fields()
    user, group, groups = fields.pop("user")
    assert (user, group, group in groups) == (somebody.pw_uid, somebody.pw_gid, True)
    assert fields == {
        "memory": 1 << 20,
        "file_size": 7,
        "no_core_dumps": True,
        "private_tmp": 0,
        "read_only": True,
        "writable": (os.path.realpath(Path.home()), os.path.realpath("here")),
        "network": "loopback",
        "own_signals": True,
        "capabilities": (),
        "umask": 0,
        "ignores_missing": True,
    }
    assert Sandbox(network="none", private_tmp="2K").fields() == {"network": "none", "private_tmp": 2048}


def test_an_unknown_user() -> None:
    """Is looked for when the sandbox is used."""
    with pytest.raises(LookupError, match="user='nobody-at-all': there is no such user"):
        Sandbox(user="nobody-at-all").fields()


@pytest.mark.parametrize(
    ("number", "seconds", "is_explained"),
    [(signal.SIGXCPU, 2.0, True), (signal.SIGKILL, 6.5, True), (signal.SIGKILL, 2.0, False), (None, 3.0, False)],
)
def test_an_end_is_explained_where_it_is_the_limit(number: int | None, seconds: float, is_explained: bool) -> None:  # noqa: FBT001 - a parameter
    """By its signal, and by what was used."""
    status = forkcore.ExitStatus(
        code=None if number else 0,
        signal=number,
        usage=forkcore.ResourceUsage(seconds, 0.0, 0),
        core_dumped=False,
    )
    text = Sandbox(cpu=2).explain(status)
    expected = f"sandbox limit cpu=2: {seconds:.2f} seconds of CPU time were used"
    assert text == (expected if is_explained else None)
    assert Sandbox().explain(status) is None


def test_this_process_is_in_none() -> None:
    """Nobody has put it into one."""
    assert current() is None
