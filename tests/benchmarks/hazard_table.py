"""Fork a process that has imported a library, or has computed with it, and compute with it in the child.

Run ``python -m benchmarks.hazard_table`` in the folder ``tests``, with the libraries installed that are of interest;
the others are left out. It prints the table of docs/explanation/hazards-of-fork.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import forkcore
from benchmarks.harness import say
from benchmarks.libraries import LIBRARIES, Library
from benchmarks.machine import describe_machine, machine_line

CHILD_LIMIT = 20.0
"""Seconds after which a child hangs; none of those that work takes a tenth of it."""
ROW_LIMIT = 120.0
"""Seconds for all of one row, with the imports."""


def threads() -> dict[str, int]:
    """Give the names of this process's threads but the main one, and how many have each."""
    found: dict[str, int] = {}
    for task in Path("/proc/self/task").iterdir():
        if task.name != str(os.getpid()):
            name = (task / "comm").read_text().strip()
            found[name] = found.get(name, 0) + 1
    return found


def try_library(library: Library, *, computes: bool) -> dict[str, Any]:
    """Import, compute if asked to, fork, and compute in the child; in this process.

    Returns:
        Threads before and after the fork, and what became of the child.
    """
    namespace: dict[str, Any] = {}
    exec(library.load, namespace)  # noqa: S102 - as benchmarks.libraries has it
    if computes:
        exec(library.use, namespace)  # noqa: S102

    def compute(channel: Any) -> None:
        exec(library.use, namespace)  # noqa: S102
        channel.sendall(b"done")

    before = threads()
    with forkcore.fork_here(namespace={"compute": compute}, allow_hazards=True) as template:
        after = threads()
        with template.run(":compute") as child:
            try:
                status = child.wait(CHILD_LIMIT)
            except forkcore.TimeoutExpired:
                child.kill()
                child.wait()
                result = "hangs"
            else:
                result = _describe(status, child.channel.recv(10) if status.code == 0 else b"")
    return {"before": before, "after": after, "result": result}


def _describe(status: forkcore.ExitStatus, word: bytes) -> str:
    if status.signal is not None:
        return f"crashes ({signal.Signals(status.signal).name})"
    return "works" if word == b"done" else "fails"


def _try_in_fresh_process(library: Library, *, computes: bool) -> dict[str, Any] | None:
    command = [sys.executable, "-m", "benchmarks.hazard_table", "--one", library.distribution]
    try:
        # Its stderr is this one's: what goes wrong there is seen, and does not disturb the table.
        done = subprocess.run(
            command + ["--computes"] * computes, stdout=subprocess.PIPE, check=True, text=True, timeout=ROW_LIMIT
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        say(f"{library.distribution} was not measured: {error}")
        return None
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def _version(library: Library) -> str | None:
    try:
        return importlib.metadata.version(library.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _list(found: dict[str, int]) -> str:
    own = Path("/proc/self/comm").read_text().strip()
    names = ["without a name" if name == own else f"`{name}`" for name in found]
    return ", ".join(f"{count} {name}" for count, name in zip(found.values(), names, strict=True)) or "none"


def print_table(names: list[str]) -> None:
    """Print a row for each library and each of the two forms."""
    print(machine_line(describe_machine()), "\n")
    print("| Library | Before the fork | Threads then | Threads left after it | In the child |")
    print("|---|---|---|---|---|")
    for library in LIBRARIES:
        version = _version(library)
        if version is None or (names and library.distribution not in names):
            continue
        for computes in (False, True):
            row = _try_in_fresh_process(library, computes=computes)
            cells = (
                ["?", "?", "not measured"]
                if row is None
                else [_list(row["before"]), _list(row["after"]), row["result"]]
            )
            label = f"{library.distribution} {version}"
            print("|", " | ".join([label, "computed" if computes else "imported", *cells]), "|", flush=True)


def main() -> None:
    """Print the table, or measure one row of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="*", help="names of distributions; all that are installed otherwise")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--computes", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        (library,) = [each for each in LIBRARIES if each.distribution == arguments.one]
        print(json.dumps(try_library(library, computes=arguments.computes)))
    else:
        print_table(arguments.libraries)


if __name__ == "__main__":
    main()
