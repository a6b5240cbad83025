"""Layers and imports: who may import whom, when the code is read and when it runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import forkcore

PACKAGE = Path(forkcore.__file__).parent
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
# From left to right: a module imports only what stands further left, or beside it where noted.
LAYERS = [
    ["errors"],
    ["_messages"],
    ["_wire"],
    ["_status"],
    ["_state"],
    ["_fds", "_hazards", "_signals"],
    ["_owned"],
    ["_bell", "_proc", "_title"],
    ["_sandbox_group", "_sandbox_missing", "_sandbox_system", "_sandbox_values"],
    ["_sandbox_credentials", "_sandbox_landlock", "_sandbox_limits", "_sandbox_mounts", "_sandbox_namespaces"],
    ["_sandbox_environment", "_sandbox_seccomp"],
    ["_sandbox_steps"],
    ["_sandbox_apply"],
    ["_exec", "_child", "_items"],
    ["_call", "_executor_child", "_leave", "_link"],
    ["_template", "_running", "_sync_link"],
    ["_client", "_template_loop", "_sync_any"],
    ["_server"],
    ["_steps", "_base", "_base_child", "_spawn"],
    ["_many"],
    ["_sync_child"],
    ["_sync"],
    ["_context"],
    ["_loops"],
    ["aio"],
    ["early", "sandbox"],
    ["_group_folders"],
    ["groups"],
    ["_executor_calls"],
    ["_executor_queue", "_executor_template"],
    ["_executor_thread"],
    ["executor"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# What a template loads, every child of it pays for.
TEMPLATE_MODULES = [
    "errors",
    "_messages",
    "_wire",
    "_fds",
    "_hazards",
    "_title",
    "_child",
    "_leave",
    "_signals",
    "_call",
    "_template",
    "_template_loop",
    "_server",
]
LIGHT = {"_signal", "_socket", "atexit", "gc", "posix", "select", "sys", "__future__"}
HEAVY = ["socket", "selectors", "subprocess", "typing", "dataclasses", "enum", "os", "threading"]


def imports_of(module: str, *, top_only: bool) -> set[str]:
    """Give what a module imports at run time, as full names."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    nodes = tree.body if top_only else [*ast.walk(tree)]
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in nodes:
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            found.add(node.module)
            if node.module == "forkcore":
                found.update(f"forkcore.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if name in RANK])
def test_a_module_imports_only_from_its_left(module: str) -> None:
    """No import goes to the right, inside a function either."""
    for name in imports_of(module, top_only=False):
        package, _, other = name.partition(".")
        if package == "forkcore" and other:
            assert RANK[other] < RANK[module], f"{module} imports {other}"


def test_every_module_has_a_layer() -> None:
    """A new module is entered in the list above."""
    assert set(MODULES) - {"__init__"} <= set(RANK)


@pytest.mark.parametrize("module", TEMPLATE_MODULES)
def test_template_modules_import_next_to_nothing(module: str) -> None:
    """At their top they import each other, and what costs nothing."""
    for name in imports_of(module, top_only=True):
        assert name in LIGHT or name.partition(".")[0] == "forkcore", f"{module} imports {name}"


@pytest.mark.parametrize("module", ["forkcore"] + [f"forkcore.{name}" for name in MODULES if name != "__init__"])
def test_a_module_can_be_imported_alone(module: str) -> None:
    """Each module imports by itself, with warnings as errors."""
    command = [sys.executable, "-W", "error", "-c", f"import {module}"]
    subprocess.run(command, check=True, timeout=60)


@pytest.mark.usefixtures("no_leaks")
def test_a_running_template_has_loaded_next_to_nothing() -> None:
    """In an exec'd template and its child, none of the heavy modules is there."""
    with forkcore.new().run("targets:loaded_modules") as child:
        loaded = child.channel.recv(100_000).decode().split()
    # The module of the function imports some of its own.
    own = subprocess.run(
        [sys.executable, "-S", "-c", "import targets, sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent,
    ).stdout.split()
    assert not [name for name in HEAVY if name in loaded and name not in own]

    with (
        forkcore.new()
        .eval("def loaded(channel):\n    import sys\n    channel.sendall(' '.join(sys.modules).encode())")
        .run(":loaded") as child
    ):
        loaded = child.channel.recv(100_000).decode().split()
    assert not [name for name in HEAVY if name in loaded]
    ours = {name.partition(".")[2] for name in loaded if name.startswith("forkcore.")}
    assert ours == set(TEMPLATE_MODULES)
