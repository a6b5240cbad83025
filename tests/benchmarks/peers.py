"""Ways to run a suite, for `benchmarks.plugin`, and a virtual environment that has them all."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import NotMeasured, say

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent

REQUIREMENTS = (
    "pytest~=9.1.0",  # the last one on which pytest-forked works
    "pytest-forked==1.7.5",
    "pytest-isolate",
    "pytest-isolated",
    "pytest-zygote",
    "pytest-xdist",
    "networkx",
    "numpy",
    "pandas",
    "scikit-learn",
)


@dataclass(frozen=True)
class Peer:
    """One way to run a suite.

    Attributes:
        title: For people.
        plugins: Modules that are loaded, and no others.
        arguments: For pytest.
        preloads: It is told what the suite imports, with ``--fork-preload``.
    """

    title: str
    plugins: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    preloads: bool = False


_OURS = ("pytest_forkiso.plugin",)
PEERS = {
    "plain": Peer("pytest"),
    "forkiso": Peer("--forked", _OURS, ("--forked",), preloads=True),
    "forkiso_2": Peer("--forked --fork-jobs 2", _OURS, ("--forked", "--fork-jobs", "2"), preloads=True),
    "forkiso_counted": Peer(
        "--forked, fork_immortal=false", _OURS, ("--forked", "-o", "fork_immortal=false"), preloads=True
    ),
    "forked": Peer("pytest-forked", ("pytest_forked",), ("--forked",)),
    "isolate": Peer("pytest-isolate", ("pytest_isolate.plugin",), ("--isolate",)),
    "isolated": Peer("pytest-isolated", ("pytest_isolated.plugin",), ("--isolated",)),
    "zygote": Peer("pytest-zygote --workers 2", ("pytest_zygote.plugin",), ("--workers", "2")),
    "xdist": Peer("pytest-xdist -n 2", ("xdist.plugin",), ("-n", "2")),
    "xdist_forked": Peer(
        "pytest-xdist -n 2, pytest-forked", ("xdist.plugin", "pytest_forked"), ("-n", "2", "--forked")
    ),
    "xdist_forkiso": Peer("pytest-xdist -n 2, --forked", ("xdist.plugin", *_OURS), ("-n", "2", "--forked")),
}


def make_environment(folder: Path) -> str:
    """Make a virtual environment with all peers, unless it is there, and install this project in it anew.

    Returns:
        Its interpreter.
    """
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet"]
    if not python.exists():
        say(f"making {folder}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    # Of an environment that was made when there were fewer peers, too.
    subprocess.run([*install, *REQUIREMENTS], check=True)
    # What is measured is the checkout as it is now, not as it was when the environment was made.
    subprocess.run([*install, str(_ROOT)], check=True)
    subprocess.run([*install, "--force-reinstall", "--no-deps", str(_ROOT)], check=True)
    return str(python)


def check_modules(python: str, modules: Sequence[str]) -> None:
    """Refuse what cannot be run.

    Raises:
        NotMeasured: A module is not installed there.
    """
    for module in modules:
        if not _can_import(python, module):
            raise NotMeasured(f"{module} cannot be imported")


@functools.cache
def _can_import(python: str, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
