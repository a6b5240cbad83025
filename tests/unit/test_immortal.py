"""References that are not counted: to definitions of the standard library and of pytest, and to nothing else."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_forkiso import _immortal

if TYPE_CHECKING:
    from collections.abc import Callable

IS_KNOWN = _immortal.is_layout_known()
known = pytest.mark.skipif(not IS_KNOWN, reason="counts of this interpreter are left alone")
PRELUDE = """
import functools, gc, json, sys, types, weakref
import pluggy, pytest
from pytest_forkiso import _immortal
class Own: "Of a user."
def own(first=("a", 1.5)): return Own
own_tuple = (Own, own)
counts = lambda *values: {sys.getrefcount(value) for value in values}
"""


def run_alone(script: str) -> list[str]:
    """Run a script in a process of its own, since nobody else could live with its counts; give the words it prints."""
    command = [sys.executable, "-c", PRELUDE + script]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()


def test_where_it_is_done() -> None:
    """CPython 3.12 and 3.13 as they are usually built."""
    is_usual = sys.implementation.name == "cpython" and not set(sys.abiflags) & {"t", "d"} and sys.maxsize > 1 << 32
    assert (is_usual and sys.version_info[:2] in ((3, 12), (3, 13))) is IS_KNOWN


@known
def test_definitions_of_others_are_counted_no_longer() -> None:
    """Functions, classes, modules, their constants and their code: however often they are referred to."""
    script = """
made = _immortal.make_immortal()
function = json.dumps
whom = (function, function.__code__, function.__globals__, function.__code__.co_consts, json, json.JSONEncoder,
        json.JSONEncoder.encode, json.JSONEncoder.__dict__["encode"], pytest.Item, vars(pytest),
        functools.cached_property, types.SimpleNamespace, json.JSONEncoder.__mro__, pytest.Item.__dict__["location"])
held = [list(whom) for _ in range(10)]
print(made > 10_000, *counts(*whom))
held.clear()
print(*counts(*whom), _immortal.make_immortal())
"""
    assert run_alone(script) == ["True", "4294967295", "4294967295", "0"]


@known
def test_what_a_user_defines_is_counted() -> None:
    """And ends with its last reference: functions, classes, instances, modules, and what is put into the library."""
    script = """
mine = types.ModuleType("mine")
exec("def inner(): pass", vars(mine))
json.own_hook, json.mine, json.own_class = own, mine, Own  # put into a module of the library
wrapped = functools.wraps(own)(lambda: own())
print(_immortal.make_immortal([own, Own, mine, wrapped]) > 10_000)
owned = own, Own, mine, mine.inner, wrapped, own_tuple, own.__code__, own.__dict__, sys.modules, Own()
print(max(counts(*owned)) < 1000)
gone = [weakref.ref(each) for each in (own, Own, mine, mine.inner, wrapped)]
del owned, own, Own, mine, wrapped, own_tuple, json.own_hook, json.mine, json.own_class
gc.collect()
print(*[each() for each in gone])
"""
    assert run_alone(script) == ["True", "True", *["None"] * 5]


@known
def test_hooks_are_definitions_too() -> None:
    """Those of pytest's plugins are, with what calls them; plugins of the user are not."""
    script = """
class Plugin:
    @pluggy.HookimplMarker("own")
    def pytest_runtest_setup(self): pass
manager = pluggy.PluginManager("own")
plugin = Plugin()
manager.register(plugin)
_immortal.make_immortal([manager])
print(counts(manager, manager.hook, manager.hook.pytest_runtest_setup) == {4294967295})
print(max(counts(plugin, Plugin, Plugin.pytest_runtest_setup)) < 1000)
gone = weakref.ref(plugin)
manager.unregister(plugin)
del plugin
print(gone())
"""
    assert run_alone(script) == ["True", "True", "None"]


@pytest.mark.parametrize(
    "pretend",
    [
        lambda patch: patch.setattr(_immortal, "_VERSIONS", ()),
        lambda patch: patch.setattr(_immortal, "_IMMORTAL", 0xFFFF_FFFE),
        lambda patch: patch.setattr(sys, "getrefcount", lambda _: 0xFFFF_FFFF),
        lambda patch: patch.setattr(sys, "abiflags", "t"),
        lambda patch: patch.setattr(sys, "abiflags", "d"),
        lambda patch: patch.setattr(sys, "byteorder", "big"),
        lambda patch: patch.setattr(sys, "maxsize", (1 << 31) - 1),
        lambda patch: patch.setattr(sys, "getobjects", id, raising=False),
        lambda patch: patch.setattr(sys.implementation, "name", "pypy"),
    ],
    ids=["version", "value", "counts", "free-threaded", "debug", "byte-order", "32-bit", "traced", "pypy"],
)
def test_nothing_is_done_to_what_is_not_known(
    monkeypatch: pytest.MonkeyPatch, pretend: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Where an interpreter is another one, or its counts are not what they should be, nothing is written."""
    pretend(monkeypatch)
    assert not _immortal.is_layout_known()
    assert _immortal.make_immortal() == 0


@known
def test_the_sample_is_as_it_was() -> None:
    """To try what the interpreter makes of an immortal object leaves none."""
    script = """
class Sample(list): pass
import builtins
before = len(gc.get_objects())
print(all(_immortal._writes_as_expected() for _ in range(100)), len(gc.get_objects()) - before < 50)
"""
    assert run_alone(script) == ["True", "True"]


def test_few_forks_are_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a run with many forked tests spends the time."""
    calls: list[object] = []
    monkeypatch.setattr(_immortal, "make_immortal", calls.append)
    _immortal.spare_counts(_immortal.WORTH_IT - 1, [1])
    assert calls == []
    _immortal.spare_counts(_immortal.WORTH_IT, [2])
    assert calls == [[2]]
