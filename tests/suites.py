"""Runs suites of public packages plainly and forked, and compares all that pytest says of each test.

    python tests/suites.py [NAME …] [-- OPTIONS FOR THE FORKED RUN]

needs the packages (``tox -e suites`` installs them): their wheels have their tests. A difference that two plain runs
have as well is none. Exits with 1 where something differs, or where no test was forked.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from inner import PLUGINS, RUN_LIMIT
from inner_compare import steady

SUITES = {
    "networkx": ["networkx.classes", "networkx.utils", "networkx.algorithms.shortest_paths"],
    "numpy": ["numpy.lib.tests.test_index_tricks", "numpy.ma.tests.test_extras", "numpy.linalg.tests.test_regression"],
    "sympy": ["sympy.core.tests.test_basic", "sympy.sets", "sympy.logic"],
}
PLAIN = ("-p", "no:forkiso")
LIMIT = 10 * RUN_LIMIT


class Run(NamedTuple):
    """A run that has ended.

    Attributes:
        code: Exit code.
        records: What was recorded of each test, as lines without times and addresses.
        seconds: That it took.
        children: That were forked.
    """

    code: int
    records: dict[str, list[str]]
    seconds: float
    children: int


def run(modules: list[str], options: tuple[str, ...]) -> Run:
    """Run a suite from its installed package.

    Args:
        modules: Names for ``--pyargs``.
        options: For pytest.
    """
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record")
        path = os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")])
        variables = {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": path,
            "REPORT_RECORDER_FILE": str(record),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "report_recorder", "-p", "no:cacheprovider", *options]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--pyargs", *modules],
            cwd=folder,
            env=os.environ | variables,
            check=False,
            timeout=LIMIT,
            capture_output=True,
            text=True,
        )
        seconds = time.monotonic() - began
        if not record.exists():
            raise SystemExit(f"pytest reports nothing:\n{done.stdout}{done.stderr}")
        rows = [json.loads(steady(line)) for line in record.read_text().splitlines()]
        forked = re.search(r"^forkiso: (\d+) child(?:ren)? forked", done.stdout, re.MULTILINE)
        return Run(done.returncode, by_test(rows), seconds, int(forked[1]) if forked else 0)


def by_test(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Sort records by the test that they are of; warnings last, which of a forked test come early."""
    found: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row["kind"] == "warning"):
        found.setdefault(str(row.get("nodeid")), []).append(json.dumps(row, sort_keys=True))
    return found


def differences(first: Run, second: Run) -> dict[str, list[str]]:
    """Give the lines that differ, for each test where some do."""
    found = {}
    for nodeid in first.records.keys() | second.records.keys():
        one, other = first.records.get(nodeid, []), second.records.get(nodeid, [])
        if one != other:
            found[nodeid] = list(difflib.unified_diff(one, other, "plain", "forked", n=0, lineterm=""))
    return found


def compare(name: str, options: tuple[str, ...]) -> bool:
    """Compare a suite's runs, and print what differs; tell whether nothing does."""
    plain, again = run(SUITES[name], PLAIN), run(SUITES[name], PLAIN)
    forked = run(SUITES[name], ("-p", "forkiso", "--forked", f"--fork-preload={name}", *options))
    unsteady = differences(plain, again)
    different = {nodeid: lines for nodeid, lines in differences(plain, forked).items() if nodeid not in unsteady}
    for nodeid, lines in sorted(different.items()):
        sys.stdout.write("\n".join([f"{name}: {nodeid}", *lines, ""]))
    sys.stdout.write(
        f"{name}: {len(plain.records)} tests, {len(different)} differ, {len(unsteady)} differ without forks as well, "
        f"exit codes {plain.code} and {forked.code}, {forked.children} children forked, "
        f"{plain.seconds:.1f} s and {forked.seconds:.1f} s\n"
    )
    return not different and plain.code == forked.code and forked.children > 0


def main() -> None:
    """Compare the suites that are named, or all."""
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    names, options = arguments[:end] or list(SUITES), tuple(arguments[end + 1 :])
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise SystemExit(f"there is no suite {unknown[0]!r}; there are {', '.join(SUITES)}")
    results = [compare(name, options) for name in names]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
