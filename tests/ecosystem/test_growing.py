"""Plugins that gather in a list of theirs while tests run: it is whole in pytest's own process, as is their report."""

from __future__ import annotations

import json
import pstats
import re
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

every_way = pytest.mark.parametrize(
    "ways", [[], ["--fork-template=exec"], ["--fork-template=bare"], ["--fork-jobs=2"]], ids=" ".join
)


@every_way
def test_durations(suite: Suite, ways: list[str]) -> None:
    """pytest-durations has the calls of each fixture and each test."""
    pytest.importorskip("pytest_durations")
    suite.write(
        test_long="""
        import pytest
        @pytest.fixture
        def fixture(): yield
        def test_one(fixture): pass
        def test_two(fixture): assert 0
        """
    )
    options = ("-p", "pytest-durations", "--pytest-durations-json=out.json")
    suite.plain(*options)
    plain = json.loads((suite.path / "out.json").read_text())
    suite.forked(*options, *ways)
    forked = json.loads((suite.path / "out.json").read_text())
    assert _without_numbers(forked) == _without_numbers(plain)
    assert "test_one" in str(forked)


def _without_numbers(value: object) -> object:
    """Give the shape of what was measured."""
    if isinstance(value, dict):
        return {key: _without_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        found = [_without_numbers(each) for each in value]
        return sorted(found, key=str)  # the longest comes first
    return None if isinstance(value, float) else value


@every_way
def test_profiling(suite: Suite, ways: list[str]) -> None:
    """pytest-profiling joins the profiles of all tests."""
    pytest.importorskip("pytest_profiling")
    suite.write(test_profiles="def work(): pass\ndef test_one(): work()\ndef test_two():\n    work()\n    work()")
    run = suite.forked("-p", "profiling", "--profile", *ways)
    assert "combined.prof" in run.out
    stats = pstats.Stats(str(suite.path / "prof" / "combined.prof"))
    ((calls, *_),) = [value for key, value in stats.stats.items() if key[2] == "work"]  # type: ignore[attr-defined]
    assert calls == 3


RETRIED = """
import pathlib
import pytest
@pytest.mark.flaky(retries=2)
def test_comes_right():
    with pathlib.Path("attempts").open("a+") as file:
        file.write("x")
        assert file.tell() > 1
@pytest.mark.flaky(retries=1)
def test_fails(): assert 0
def test_passes(): pass
"""


@pytest.mark.parametrize("ways", [[], ["--fork-jobs=2"]], ids=" ".join)
def test_retry(suite: Suite, ways: list[str]) -> None:
    """pytest-retry reports each attempt."""
    pytest.importorskip("pytest_retry")
    suite.write(test_retried=RETRIED)
    plain = suite.plain("-p", "pytest-retry")
    (suite.path / "attempts").unlink()
    forked = suite.forked("-p", "pytest-retry", *ways)
    assert_same(plain, forked)
    assert "test_comes_right passed on attempt 2!" in forked.out


def test_retry_elsewhere(suite: Suite) -> None:
    """pytest-retry cannot be loaded by a template that is no fork, and that is said."""
    pytest.importorskip("pytest_retry")
    suite.write(test_retried=RETRIED)
    run = suite.forked("-p", "pytest-retry", "--fork-template=exec")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "pytest-retry works with --fork-template=fork only" in run.out


def test_retry_with_workers(suite: Suite) -> None:
    """With pytest-xdist, tests' processes talk to its own server."""
    pytest.importorskip("pytest_retry")
    suite.write(test_retried=RETRIED)
    run = suite.forked("-p", "xdist", "-p", "pytest-retry", "-n2", "--fork-timeout=60")
    assert "test_comes_right passed on attempt 2!" in run.out
    assert "test_fails failed after 2 attempts!" in run.out


@every_way
def test_codspeed(suite: Suite, ways: list[str]) -> None:
    """pytest-codspeed writes and counts what was measured."""
    pytest.importorskip("pytest_codspeed")
    suite.write(
        test_speed="""
        import pytest
        @pytest.mark.benchmark
        def test_marked(): sum(range(10))
        def test_called(benchmark): benchmark(sum, range(10))
        """
    )
    limits = [f"--codspeed-{name}" for name in ("warmup-time=0.01", "max-time=0.05", "max-rounds=3", "mode=walltime")]
    run = suite.forked("-p", "codspeed", "--codspeed", *limits, *ways)
    assert re.search("=+ 2 benchmarked =+", run.out), run.out
    (path,) = (suite.path / ".codspeed").glob("results_*.json")
    assert [each["name"] for each in json.loads(path.read_text())["benchmarks"]] == ["test_marked", "test_called"]


def files(suite: Suite) -> dict[str, bytes]:
    """Give all files of a suite."""
    paths = [path for path in sorted(suite.path.rglob("*")) if path.suffix in {".json", ".py", ".out"}]
    return {str(path.relative_to(suite.path)): path.read_bytes() for path in paths}


@every_way
def test_mpl(suite: Suite, ways: list[str]) -> None:
    """pytest-mpl writes the hashes of all figures, and a summary."""
    pytest.importorskip("pytest_mpl")
    suite.write(
        test_figures="""
        import matplotlib
        import pytest
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        @pytest.mark.mpl_image_compare
        @pytest.mark.parametrize("end", [2, 3])
        def test_figure(end):
            figure = plt.figure()
            figure.add_subplot().plot([1, end])
            return figure
        """
    )
    summary = ("-p", "pytest_mpl", "--mpl", "--mpl-hash-library=plain.json", "--mpl-generate-summary=json")
    suite.plain("-p", "pytest_mpl", "--mpl-generate-hash-library=plain.json")
    suite.plain(*summary, "--mpl-results-path=plain")
    suite.forked("-p", "pytest_mpl", "--mpl-generate-hash-library=forked.json", *ways)
    run = suite.forked(*summary, "--mpl-results-path=forked", *ways)
    found = {name: json.loads(text) for name, text in files(suite).items() if name.endswith("json")}
    assert len(found["plain.json"]) == len(found["plain/results.json"]) == 2, run.out
    assert found["forked.json"] == found["plain.json"]
    assert found["forked/results.json"] == found["plain/results.json"]


@every_way
@pytest.mark.parametrize(
    ("module", "plugin", "options"),
    [
        ("pytest_doctestplus", "pytest_doctestplus", ["--doctest-plus", "--doctest-plus-generate-diff=overwrite"]),
        ("pytest_accept", "accept", ["--doctest-modules", "--accept"]),
        ("pytest_regtest", "regtest", ["--regtest-reset"]),
    ],
    ids=["doctestplus", "accept", "regtest"],
)
def test_files_are_written(suite: Suite, module: str, plugin: str, options: list[str], ways: list[str]) -> None:
    """What tests should have expected is written into them, or beside them, and it is said how much."""
    pytest.importorskip(module)
    source = {
        "test_regtest": "def test_output(regtest): regtest.write('text')" if plugin == "regtest" else "",
        "documented": '''
        def add():
            """
            >>> 1 + 1
            3
            >>> 2 + 2
            5
            """
        def multiply():
            """
            >>> 2 * 3
            7
            """
        ''',
    }
    options = ["-p", plugin, *options]
    suite.write(**source)
    before = files(suite)
    plain = suite.plain(*options)
    wanted = files(suite)
    assert wanted != before
    for name in wanted:
        (suite.path / name).unlink()
    suite.write(**source)
    forked = suite.forked(*options, *ways)
    assert files(suite) == wanted
    assert_same(plain, forked)
