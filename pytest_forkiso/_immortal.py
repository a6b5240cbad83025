"""Reference counts that nobody writes to, for a child copies each page that it is the first to write to.

A template and its children only look at most of what they share, and CPython counts each look. Objects whose count has
one certain value are not counted: those that live as long as the interpreter (PEP 683). Functions, classes and modules
of the standard library and of pytest may live as long in a template and its children. CPython 3.12 and 3.13.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import types
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORTH_IT = 200
"""Forks from which on it pays."""

_VERSIONS = ((3, 12), (3, 13))
_IMMORTAL = 0xFFFF_FFFF  # `_Py_IMMORTAL_REFCNT` of these versions, on 64-bit systems
_OURS = frozenset({"_pytest", "pytest", "pluggy", "iniconfig", "pytest_forkiso", "forkcore"})
# Modules; instances of their classes are definitions, too: hooks, and what calls them.
_PLUMBING = ("pluggy.", "_pytest.config")
_LOOKS = 5

_ATOMS = frozenset({str, bytes, int, float, complex})
_WHOLES = frozenset(
    {
        tuple,
        frozenset,
        property,
        classmethod,
        staticmethod,
        cached_property,
        types.BuiltinFunctionType,
        types.ClassMethodDescriptorType,
        types.GetSetDescriptorType,
        types.MemberDescriptorType,
        types.MethodDescriptorType,
        types.WrapperDescriptorType,
    }
)


def spare_counts(forks: int, roots: Iterable[object] = ()) -> None:
    """Make definitions immortal in this process, where so many forks are worth the time; see `make_immortal`."""
    if forks >= WORTH_IT:
        make_immortal(roots)


def make_immortal(roots: Iterable[object] = ()) -> int:
    """Have the references to definitions of the standard library, of pytest and of this plugin counted no longer.

    They are never given up then, which is for processes only that leave by `os._exit`. What anybody else defines stays
    as it is, and so does what was made of a class. Where it is not certain what a count looks like, nothing is done.

    Args:
        roots: Where to look beside the modules.

    Returns:
        How many objects are immortal now that were not before.
    """
    if not is_layout_known():
        return 0
    count = 0
    address = ctypes.c_uint32.from_address
    for each in _Definitions().below(roots):
        low = address(id(each))
        if low.value != _IMMORTAL:
            low.value = _IMMORTAL
            count += 1
    return count


def is_layout_known() -> bool:
    """Tell whether reference counts of this interpreter are where they are thought to be, and mean what they should."""
    return (
        sys.implementation.name == "cpython"
        and sys.version_info[:2] in _VERSIONS
        and sys.byteorder == "little"
        and sys.maxsize > 1 << 32
        and not set(sys.abiflags) & {"t", "d"}  # builds without the global lock, and for debugging
        and not hasattr(sys, "getobjects")  # two pointers before the count
        and _reads_as_expected()
        and _writes_as_expected()
    )


def _reads_as_expected() -> bool:
    """Compare counts in memory with what the interpreter says of them."""
    whole = ctypes.c_ssize_t.from_address
    if any(not whole(id(each)).value == sys.getrefcount(each) == _IMMORTAL for each in (None, True, 1, object)):
        return False
    sample: list[object] = []
    count = whole(id(sample))
    held = []
    for _ in range(_LOOKS):
        held.append(sample)
        # One of the references that getrefcount knows is its own argument.
        if not count.value == sys.getrefcount(sample) - 1 == len(held) + 1:
            return False
    return True


def _writes_as_expected() -> bool:
    """Make a sample immortal, and see whether the interpreter takes it for that; it is as it was afterwards."""
    sample: list[object] = []
    count, low = ctypes.c_ssize_t.from_address(id(sample)), ctypes.c_uint32.from_address(id(sample))
    before = low.value
    low.value = _IMMORTAL
    held = [sample] * _LOOKS
    is_fine = count.value == sys.getrefcount(sample) == _IMMORTAL
    held.clear()
    is_fine = is_fine and count.value == sys.getrefcount(sample) == _IMMORTAL
    low.value = before
    return is_fine and count.value == before


class _Definitions:
    """Finds what modules define: their functions, classes and constants, and what those consist of."""

    def __init__(self) -> None:
        names = sys.stdlib_module_names | _OURS
        modules = {
            name: module
            for name, module in sys.modules.copy().items()
            if type(module) is types.ModuleType and name.partition(".")[0] in names and name != "__main__"
        }
        self._names = set(modules)
        self._modules = list(modules.values())
        self._namespaces = {id(vars(module)) for module in self._modules}
        # Of what was found; another dictionary or list may belong to anybody.
        self._containers = set(self._namespaces)
        self._seen: set[int] = set()

    def below(self, roots: Iterable[object]) -> Iterator[object]:
        """Give each of them once."""
        waiting: list[Any] = [*self._modules, *roots]
        while waiting:
            each = waiting.pop()
            if id(each) in self._seen:
                continue
            parts = self._parts(each)
            if parts is not None:
                self._seen.add(id(each))
                yield each
                waiting += parts

    def _parts(self, each: Any) -> Iterable[object] | None:
        """Give what is to be looked at next; None where it is not one of them."""
        kind = type(each)
        if kind in _ATOMS:
            return ()
        if kind in _WHOLES:
            return gc.get_referents(each)
        if kind is types.CodeType:
            return each.co_consts, each.co_names, each.co_name, each.co_qualname, each.co_filename
        if kind in (dict, list):
            return gc.get_referents(each) if id(each) in self._containers else None
        return self._own(each) if self._is_definition(each) else None

    def _is_definition(self, each: Any) -> bool:
        if isinstance(each, types.ModuleType):
            return id(vars(each)) in self._namespaces
        if isinstance(each, types.FunctionType):
            return id(each.__globals__) in self._namespaces and each.__module__ in self._names
        if isinstance(each, types.MethodType):
            return self._is_definition(each.__func__)
        if isinstance(each, type):
            return each.__module__ in self._names
        if isinstance(each, pluggy.HookImpl):
            return self._is_definition(each.function)  # a plugin of the user ends when it is unregistered
        return type(each).__module__.startswith(_PLUMBING)

    def _own(self, each: object) -> list[object]:
        """Give what an object refers to; dictionaries and lists among that are its own."""
        parts = gc.get_referents(each)
        self._containers.update(id(part) for part in parts if type(part) is dict or type(part) is list)
        return parts
