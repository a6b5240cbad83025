"""Test suites for `benchmarks.plugin`, written to a folder as they are needed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEAVY = ("numpy", "pandas")
_TRIALS = 5

_CPU_BODY = """\
    total = 0
    for number in range({work}):
        total += number * number
    assert total > 0
"""


@dataclass(frozen=True)
class Suite:
    """One kind of suite.

    Attributes:
        title: For people.
        tests: How many, in all files together; 0 where they are somebody else's.
        files: How many files they are spread over.
        modules: What each file imports.
        body: Of each test; ``{work}`` is replaced by `loops_for`'s number for `cpu_seconds`.
        cpu_seconds: What a test burns.
        pyargs: An installed package whose tests are run instead.
    """

    title: str
    tests: int = 500
    files: int = 10
    modules: tuple[str, ...] = ()
    body: str = "    assert 1 + 1 == 2\n"
    cpu_seconds: float = 0
    pyargs: str | None = None

    def of_size(self, tests: int | None) -> Suite:
        """Give the same kind of suite with another number of tests; None leaves it as it is."""
        if tests is None or self.pyargs is not None:
            return self
        return replace(self, tests=tests, files=min(self.files, tests))


SUITES = {
    "trivial": Suite("trivial, no imports"),
    "heavy": Suite("trivial, numpy and pandas", modules=_HEAVY),
    "sklearn": Suite("trivial, scikit-learn", modules=("sklearn.linear_model", "sklearn.ensemble")),
    "cpu": Suite("20 ms of CPU each", tests=200, body=_CPU_BODY, cpu_seconds=0.02),
    "sleep": Suite("sleep 20 ms each", tests=200, modules=("time",), body="    time.sleep(0.02)\n"),
    "networkx": Suite("networkx.classes", tests=0, modules=("networkx",), pyargs="networkx.classes"),
    "networkx_algorithms": Suite(
        "networkx.algorithms.tests", tests=0, modules=("networkx",), pyargs="networkx.algorithms.tests"
    ),
}


def loops_for(seconds: float) -> int:
    """Find how many turns of the loop of a CPU-bound test take so long on this machine."""
    if not seconds:
        return 0
    turns = 20_000
    trials = []
    for _ in range(_TRIALS):
        began = time.process_time()
        total = 0
        for number in range(turns):
            total += number * number
        trials.append(time.process_time() - began)
    return max(1, int(turns * seconds / min(trials)))


def write_suite(suite: Suite, folder: Path, *, ballast_mb: int = 0) -> list[str]:
    """Write the files of a suite.

    Args:
        suite: Its kind.
        folder: Where to; made if need be.
        ballast_mb: Megabytes that its conftest touches.

    Returns:
        Arguments for pytest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    if ballast_mb:
        (folder / "conftest.py").write_text(
            f"BALLAST = bytearray({ballast_mb} << 20)\n"
            "for offset in range(0, len(BALLAST), 4096):\n"
            "    BALLAST[offset] = 1\n"
        )
    if suite.pyargs is not None:
        return ["--pyargs", suite.pyargs]
    body = suite.body.replace("{work}", str(loops_for(suite.cpu_seconds)))
    imports = "".join(f"import {module}\n" for module in suite.modules)
    for number in range(suite.files):
        tests = range(number, suite.tests, suite.files)
        text = "".join(f"\n\ndef test_{test:06}():\n{body}" for test in tests)
        (folder / f"test_{number:03}.py").write_text(imports + text)
    return ["."]
