"""pytest-benchmark: what is measured in children is compared, shown and saved as ever."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("pytest_benchmark")

TESTS = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_called(benchmark, n):
    benchmark.extra_info["n"] = n
    assert benchmark.pedantic(sum, args=([n, 2],), rounds=3, iterations=2) == n + 2

@pytest.mark.benchmark(group="others", max_time=0.01, min_rounds=2)
def test_calibrated(benchmark): assert benchmark(lambda: 3) == 3

def test_fails(benchmark): benchmark.pedantic(int, args=("x",))

def test_without(): pass
"""
FAST = ("-p", "benchmark", "--benchmark-max-time=0.01")


def saved(suite: Suite, name: str) -> list[dict[str, Any]]:
    """Give the benchmarks of a file, without what differs from run to run."""
    benchmarks = json.loads((suite.path / name).read_text())["benchmarks"]
    for benchmark in benchmarks:
        stats = benchmark.pop("stats")
        assert len(stats["data"]) == stats["rounds"] > 0
        if benchmark["name"].startswith("test_called"):
            assert (stats["rounds"], stats["iterations"]) == (3, 2)
    return list(benchmarks)


def test_results_are_saved(suite: Suite) -> None:
    """The file has the same benchmarks, with groups, parameters, options and the user's own information."""
    suite.write(test_speed=TESTS)
    suite.plain(*FAST, "--benchmark-json=plain.json")
    run = suite.forked(*FAST, "--benchmark-json=forked.json")
    assert run.outcomes() == {
        "test_called[1]": "passed",
        "test_called[2]": "passed",
        "test_calibrated": "passed",
        "test_fails": "failed",
        "test_without": "passed",
    }
    assert saved(suite, "forked.json") == saved(suite, "plain.json")
    assert "benchmark 'others': 1 tests" in run.out


def test_results_are_compared(suite: Suite) -> None:
    """A regression against an earlier run fails the run, in the plugin's words."""
    suite.write(test_speed="def test_it(benchmark): benchmark.pedantic(sum, args=(range(9),), rounds=5)")
    assert suite.plain(*FAST, "--benchmark-save=before").code == 0
    compare = [*FAST, "--benchmark-compare", "--benchmark-compare-fail=min:1%"]
    (stored,) = suite.path.rglob("0001_before.json")
    stored.write_text(stored.read_text().replace('"min": ', '"min": 1e-12, "was": '))
    plain, forked = suite.plain(*compare), suite.forked(*compare)
    assert "Performance has regressed" in forked.out
    assert forked.code == plain.code != 0


def test_profiles(suite: Suite) -> None:
    """A profile that was taken in a child is shown."""
    suite.write(test_speed="def work(): return sum(range(9))\ndef test_it(benchmark): benchmark(work)")
    run = suite.forked(*FAST, "--benchmark-cprofile=tottime")
    assert "cProfile (time in s)" in run.out
    assert "test_speed.py:1(work)" in run.out
