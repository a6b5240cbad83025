"""Who imports whom in the plugin, and what a run of pytest without forked tests loads of it."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

_SPEC = importlib.util.find_spec("pytest_forkiso")
assert _SPEC is not None
assert _SPEC.origin is not None
PACKAGE = Path(_SPEC.origin).parent
MODULES = {path.stem: path for path in PACKAGE.glob("*.py") if path.stem != "__init__"}

# What drives children from pytest's own process. The rest is used there as well as in templates and children.
DRIVING = {
    "_child_source", "_control", "_conversation", "_deadline", "_ending_steps", "_endings", "_file_template",
    "_file_templates", "_groups", "_incoming", "_ladder", "_loop", "_losses", "_processes", "_replay", "_reporter",
    "_run", "_scheduler", "_session", "_sharing", "_snapshot", "_source", "_source_bare", "_source_exec",
    "_source_fork", "_sources", "_summary", "_xdist_jobs", "plugin",
}  # fmt: skip
# Where they know of each other, they take it as an argument.
IN_CHILDREN = {"_audit", "_bare", "_exec", "_file_session", "_inchild", "_preload", "_seeds", "_shared", "_stream"}


def imports_of(module: str) -> set[str]:
    """Find the modules of the plugin that one imports, in functions too, but for annotations."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            package, _, name = node.module.partition(".")
            if package == "pytest_forkiso":
                found |= {name} if name else {alias.name for alias in node.names}
    return found & set(MODULES)


def everything_below(module: str) -> set[str]:
    """Find what a module imports, and what that imports."""
    found: set[str] = set()
    rest = {module}
    while rest:
        name = rest.pop()
        found.add(name)
        rest |= imports_of(name) - found
    return found - {module}


def test_the_lists_are_right() -> None:
    """They name modules that are there."""
    assert set(MODULES) >= DRIVING
    assert set(MODULES) >= IN_CHILDREN


@pytest.mark.parametrize("module", sorted(IN_CHILDREN))
def test_code_in_children_imports_no_driver(module: str) -> None:
    """What runs after a fork belongs to its own layer, and so does all that it loads."""
    assert not everything_below(module) & DRIVING


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_imports_itself_in_a_circle(module: str) -> None:
    """Nothing that a module loads loads that module."""
    assert all(module not in everything_below(other) for other in imports_of(module))


def test_only_one_module_knows_what_is_private_of_pytest() -> None:
    """Others ask it."""
    knowing = {name for name, path in MODULES.items() if "from _pytest" in path.read_text(encoding="utf-8")}
    assert knowing == {name for name in MODULES if name.startswith("_private")}


def test_a_run_without_forked_tests_loads_little() -> None:
    """Whoever has the plugin installed pays for its options, and for nothing that forks."""
    code = "import sys, pytest_forkiso.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    assert not {"forkcore", "ctypes", "pickle", "tomllib", "statistics"} & loaded
    assert not {f"pytest_forkiso.{name}" for name in ("_scheduler", "_run", "_inchild", "_private", "_report")} & loaded
