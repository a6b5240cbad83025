"""The benchmarks run, from one end to the other, as small as they can be made."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they read /proc")


def run(*arguments: str | Path) -> str:
    """Run a benchmark in the folder where it is meant to be run; give what it prints."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=TESTS, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_forkcore(tmp_path: Path) -> None:
    """Every section gives figures for every creator that is asked for, and none is out."""
    creators = "forkcore,forkcore_ahead,forkcore_idle,os_fork,bare_fork,mp_forkserver,mp_script"
    small = [
        "--rounds",
        "1",
        "--seconds",
        "0.01",
        "--memory",
        "0,1",
        "--windows",
        "1,2",
        "--idle",
        "3",
        "--series",
        "20",
    ]
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- forkcore: begin -->\nold\n<!-- forkcore: end -->\nrest\n")
    files = ["--json", str(tmp_path / "results.json"), "--page", str(page)]
    text = run("benchmarks.forkcore", "--creators", creators, *small, *files)
    results = json.loads((tmp_path / "results.json").read_text())
    for size in ("0", "1"):
        for name in creators.split(","):
            one = results["rates"][size][name]
            assert one["reason"] is None, name
            assert all(one["median"][metric] > 0 for metric in ("rate_w1", "rate_w2", "latency_w1")), name
    assert results["idle"]["forkcore"]["median"]["child_private"] > 0
    assert results["series"]["forkcore"]["median"]["parent_descriptors_growth"] == 0
    assert results["footprint"]["footprint"]["median"]["template_private"] > 0
    assert "### Aims" in text
    assert page.read_text().startswith("# Title\n\n<!-- forkcore: begin -->\n\n")
    assert text.strip() in page.read_text()
    assert page.read_text().endswith("<!-- forkcore: end -->\nrest\n")


def test_sharing(tmp_path: Path) -> None:
    """A suite with fixtures that take time is run in all four ways, and all its tests pass."""
    small = ["--rounds", "1", "--tests", "4", "--modules", "2", "--session", "0.01", "--module", "0.01"]
    text = run("benchmarks.sharing", *small, "--json", tmp_path / "results.json")
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]
    ways = ("plain", "shared", "shared, two jobs", "unshared")
    assert {name: one["reason"] for name, one in runs.items()} == dict.fromkeys(ways)
    assert "shared / unshared" in text


def test_plugin(tmp_path: Path) -> None:
    """Plain and forked runs of a small suite are timed, and their results are those of the suite."""
    small = ["--rounds", "1", "--tests", "3", "--suites", "trivial", "--peers", "plain,forkiso"]
    text = run("benchmarks.plugin", *small, "--json", tmp_path / "results.json")
    series = json.loads((tmp_path / "results.json").read_text())["suites"]["trivial"]
    for name in ("plain", "forkiso"):
        median = series[name]["median"]
        assert series[name]["reason"] is None, name
        assert median["tests"] == 3, name
        assert 0 < median["first"] < median["wall"], name
        assert median["peak"] > 0, name
    assert "trivial, no imports, 3 tests" in text


def test_growth(tmp_path: Path) -> None:
    """Suites of two sizes are run both ways, and the memory of pytest's own process is known."""
    text = run("benchmarks.growth", "--sizes", "4,3", "--json", tmp_path / "results.json")
    sizes = json.loads((tmp_path / "results.json").read_text())["sizes"]
    assert list(sizes) == ["3", "4"]
    for tests, series in sizes.items():
        for one in series.values():
            assert one["reason"] is None
            assert one["median"]["tests"] == int(tests)
            assert one["median"]["own_peak"] > 1 << 20
    assert "more bytes/test" in text


def test_sandbox(tmp_path: Path) -> None:
    """Each part is measured, as each kind of user; groups too, or it is said why not."""
    text = run("benchmarks.sandbox", "--rounds", "1", "--json", tmp_path / "results.json")
    for figures in json.loads((tmp_path / "results.json").read_text())["identities"].values():
        assert all(one["median"]["latency"] > 0 for one in figures.values() if one["reason"] is None)
        assert len(figures) > 15
        assert set(figures) >= {"none", "strict", "network=False"}
    assert ("| strict " in text) != ("Not measured: " in text)
    assert ("| group (" in text) != ("No control group could be made: " in text)


def test_pages(tmp_path: Path) -> None:
    """Processes of both kinds fork; the children of a suite say what memory they have; a page is filled."""
    page = tmp_path / "page.md"
    page.write_text("<!-- pages: begin --><!-- pages: end -->\n")
    run("benchmarks.pages", "--rounds", "1", "--megabytes", "1", "--json", tmp_path / "results.json", "--page", page)
    results = json.loads((tmp_path / "results.json").read_text())
    assert {name: one["reason"] for name, one in results["forks"]["1"].items()} == dict.fromkeys(
        ("as it is", "in huge pages")
    )
    trivial = results["private"]["trivial"]
    assert trivial["reason"] is None
    assert trivial["median"]["private"] > 0
    assert trivial["median"]["faults"] > 0
    assert "| 1 MB " in page.read_text()


def test_hazard_table() -> None:
    """A row each for a library that is only imported and for one that has computed."""
    version = importlib.metadata.version("numpy")
    rows = [line.split(" | ") for line in run("benchmarks.hazard_table", "numpy").splitlines() if "numpy" in line]
    assert [row[:2] for row in rows] == [[f"| numpy {version}", "imported"], [f"| numpy {version}", "computed"]]
    assert [row[-1] for row in rows] == ["works |", "works |"]


def test_workers(tmp_path: Path) -> None:
    """Both ways to get workers of pytest-xdist give all figures."""
    pytest.importorskip("xdist")
    small = ["--rounds", "1", "--workers", "1", "--modules", "json,decimal"]
    text = run("benchmarks.workers", *small, "--json", tmp_path / "results.json")
    runs = json.loads((tmp_path / "results.json").read_text())["workers"]["1"]
    assert {name: one["reason"] for name, one in runs.items()} == dict.fromkeys(("xdist", "xdist --fork-workers"))
    assert all(one["median"][metric] > 0 for one in runs.values() for metric in ("ready", "cpu", "memory"))
    assert "### Aims" in text


def test_fork_parts() -> None:
    """Each way of forking is measured beside the first."""
    text = run("benchmarks.fork_parts", "--rounds", "1", "--forks", "2")
    assert "| fork of C " in text
    assert "| os.fork " in text
    assert "mappings, and " in text
