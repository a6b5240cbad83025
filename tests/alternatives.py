"""What other plugins that isolate tests do in situations that have one right answer; prints a table in Markdown.

    python tests/alternatives.py [--project .] [TOOL …]

makes a virtual environment for each, with its newest release and the newest pytest, and runs small suites there. Those
that fail every test with that pytest have another column, with the newest one that they work with.
What they cost is measured elsewhere: ``python -m benchmarks.plugin`` in this folder.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

LIMIT = 100
TOOLS = {
    "pytest-forkiso": ["--forked"],
    "pytest-forked": ["--forked"],
    "pytest-isolate": ["--isolate"],
    "pytest-isolated": ["--isolated"],
    "pytest-zygote": ["--workers=2"],
}
PYTESTS = {
    "pytest-forked": ["pytest", "pytest<9.2"],
    "pytest-isolate": ["pytest", "pytest<9.2"],
}
TIME_LIMITS = {
    "pytest-forkiso": ["--fork-timeout=15"],
    "pytest-isolate": ["--isolate-timeout=15"],
    "pytest-isolated": ["--isolated-timeout=15"],
}


class Situation(NamedTuple):
    """A suite, and what is right.

    Attributes:
        question: In the first column of the table.
        tests: The module.
        options: For pytest, beside those of the tool.
        right: Patterns that the output must have.
        wrong: Patterns that it must not have.
        needs_limit: Only tools with a time limit can answer.
    """

    question: str
    tests: str
    options: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    needs_limit: bool = False


SITUATIONS = [
    Situation("Tests pass", "def test_a(): pass\ndef test_b(): pass", right=(r"\b2 passed",)),
    Situation(
        "Each test has a process of its own",
        "import os\nseen = []\ndef test_a(): seen.append(1); assert seen == [1]\n"
        "def test_b(): seen.append(1); assert seen == [1]",
        right=(r"\b2 passed",),
    ),
    Situation(
        "A crash costs one test",
        "import os\ndef test_a(): pass\ndef test_b(): os.abort()\ndef test_c(): pass",
        right=(r"1 (failed|error)", r"\b2 passed"),
    ),
    Situation(
        "Output before a crash is in that test's report",
        "import os\ndef test_a(): print('so far', flush=True); os.abort()\ndef test_b(): assert 0",
        right=(r"(?s)test_a _.*so far.*test_b _",),
    ),
    Situation(
        "The signal is named",
        "import os\ndef test_a(): os.abort()",
        right=(r"(?i)SIGABRT|signal (6|-6)|Aborted",),
    ),
    Situation(
        "`os._exit(0)` in a test is a failure",
        "import os\ndef test_a(): os._exit(0)\ndef test_b(): pass",
        right=(r"1 (failed|error)", r"\b1 passed"),
    ),
    Situation(
        "A test that hangs is ended",
        "import time\ndef test_a(): pass\ndef test_b():\n    while True: time.sleep(0.01)\ndef test_c(): pass",
        right=(r"1 (failed|error)", r"\b2 passed"),
        needs_limit=True,
    ),
    Situation(
        "Warnings of tests are in the summary",
        "import warnings\ndef test_a(): warnings.warn('careful now')",
        right=(r"careful now",),
    ),
    Situation(
        "`xfail(raises=…)` does not excuse a crash",
        "import os, pytest\n@pytest.mark.xfail(raises=KeyError)\ndef test_a(): os.abort()",
        right=(r"1 (failed|error)",),
    ),
    Situation(
        "Failing subtests fail",
        "def test_a(subtests):\n    with subtests.test('x'): assert 0",
        right=(r"failed",),
        wrong=(r"= 1 passed",),
    ),
    Situation(
        "pytest-cov has the lines of tests",
        "import measured\ndef test_a(): assert measured.f() == 1",
        options=("--cov=measured", "--cov-report=term"),
        right=(r"measured\.py\s+2\s+0\s+100%",),
    ),
    Situation(
        "pytest-rerunfailures runs tests again",
        "import os\ndef test_a():\n    with open('tries', 'a') as file: file.write('x')\n"
        "    assert os.path.getsize('tries') == 2",
        options=("--reruns=2",),
        right=(r"1 passed", r"1 rerun"),
    ),
    Situation(
        "`pytest.exit` ends the run with its message",
        "import pytest\ndef test_a(): pytest.exit('enough')\ndef test_b(): pass",
        right=(r"Exit: enough",),
    ),
    Situation(
        "A thread of a conftest file does no harm",
        "import threading\nlock = threading.Lock()\nheld = threading.Event()\n"
        "def hold():\n    with lock: held.set(); threading.Event().wait()\n"
        "threading.Thread(target=hold, daemon=True).start()\nheld.wait()\n"
        "def test_a(): assert lock.acquire(timeout=5) is False and threading.active_count() == 2",
        right=(r"\b1 passed",),
    ),
]


def make_environment(folder: Path, tool: str, pytest: str, project: Path) -> Path:
    """Make a virtual environment with a tool and a version of pytest; give its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    what = str(project) if tool == "pytest-forkiso" else tool
    install = [str(python), "-m", "pip", "install", "--quiet", what, pytest, "pytest-cov", "pytest-rerunfailures"]
    subprocess.run(install, check=True)
    return python


def version(python: Path, name: str) -> str:
    """Ask an environment for the version of a package."""
    code = f"import importlib.metadata; print(importlib.metadata.version({name!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def answer(python: Path, tool: str, situation: Situation) -> str:
    """Run a suite with a tool, and judge what it says."""
    if situation.needs_limit and tool not in TIME_LIMITS:
        return "no time limit"
    options = [*TOOLS[tool], *(TIME_LIMITS[tool] if situation.needs_limit else []), *situation.options]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "measured.py").write_text("def f():\n    return 1\n")
        Path(folder, "test_it.py").write_text(situation.tests)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
        command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *options]
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, check=False, timeout=LIMIT, capture_output=True, text=True
            )
        except subprocess.TimeoutExpired:
            return "hangs"
    text = done.stdout + done.stderr
    is_right = all(re.search(pattern, text) for pattern in situation.right)
    return "yes" if is_right and not any(re.search(pattern, text) for pattern in situation.wrong) else "no"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("tools", nargs="*", choices=[[], *TOOLS])
    arguments = parser.parse_args()
    heads: list[str] = []
    columns: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="alternatives") as folder:
        for tool in arguments.tools or TOOLS:
            for pytest in PYTESTS.get(tool, ["pytest"]):
                python = make_environment(Path(folder, f"{tool}{len(heads)}"), tool, pytest, arguments.project)
                heads.append(f"{tool} {version(python, tool)}, pytest {version(python, 'pytest')}")
                columns.append([answer(python, tool, each) for each in SITUATIONS])
                sys.stderr.write(f"{heads[-1]}: {columns[-1]}\n")
    today = dt.datetime.now(tz=dt.UTC).date()
    rows = zip((each.question for each in SITUATIONS), *columns, strict=True)
    lines = [
        f"Seen on {today} with Python {platform.python_version()} on {platform.system()}.\n",
        f"| | {' | '.join(heads)} |",
        "|---" * (len(heads) + 1) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
