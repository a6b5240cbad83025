"""The parts of the benchmarks that measure nothing: turns, medians, ratios, tables, parsers."""

from __future__ import annotations

import argparse
import ast
import json
import os
import runpy
from typing import TYPE_CHECKING

import pytest
from benchmarks import aims, forkcore, growth, harness, machine, plugin, processes, results, suites
from benchmarks.harness import NotMeasured, Series

if TYPE_CHECKING:
    from pathlib import Path


def test_contenders_take_turns() -> None:
    """Each round measures all, in the same order."""
    asked = []

    def measure(name: str) -> harness.Sample:
        asked.append(name)
        return {"rate": float(len(asked))}

    series = harness.take_turns(["a", "b"], 3, measure)
    assert asked == ["a", "b", "a", "b", "a", "b"]
    assert series["a"].values("rate") == [1, 3, 5]
    assert series["b"].median("rate") == 4


def test_contender_that_fails_is_out() -> None:
    """It is not asked again, keeps what it gave, and the others go on in step."""
    asked = []

    def measure(name: str) -> harness.Sample:
        asked.append(name)
        if name == "b" and len(asked) > 2:
            raise NotMeasured("broken")
        return {"rate": 1.0}

    series = harness.take_turns(["a", "b"], 3, measure)
    assert asked == ["a", "b", "a", "b", "a"]
    assert series["b"].samples == [{"rate": 1.0}, None, None]
    assert series["b"].reason == "broken"
    assert harness.left_out(series) == "- b: broken"


def test_nobody_takes_part() -> None:
    """One line says so, where the reason is the same for all."""
    series = {name: Series([None], reason="missing") for name in "ab"}
    assert harness.left_out(series) == "- nobody took part: missing"


def test_other_exceptions_are_not_hidden() -> None:
    """A mistake in the benchmark is no contender that is out."""

    def measure(_name: str) -> harness.Sample:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        harness.take_turns(["a"], 1, measure)


def test_ratio_is_within_rounds() -> None:
    """A machine that becomes slow between two rounds does not change the ratio."""
    fast = Series([{"rate": 100.0}, {"rate": 10.0}, {"rate": 50.0}])
    slow = Series([{"rate": 50.0}, {"rate": 5.0}, {"rate": 25.0}])
    assert harness.ratio(fast, slow, "rate") == 2
    assert harness.difference(fast, slow, "rate") == 25


def test_ratio_without_common_rounds() -> None:
    """Where no round has both, there is no ratio; a zero below gives none either."""
    ours = Series([{"rate": 1.0}, None])
    theirs = Series([None, {"rate": 1.0}])
    assert harness.ratio(ours, theirs, "rate") is None
    assert harness.difference(ours, theirs, "rate") is None
    assert harness.ratio(ours, Series([{"rate": 0.0}, {"rate": 0.0}]), "rate") is None


def test_series_without_samples() -> None:
    """Nothing measured is None, not zero; a single value has no spread."""
    series = Series([None], reason="missing")
    assert series.median("rate") is None
    assert series.spread("rate") is None
    assert Series([{"rate": 1.0}]).spread("rate") is None


def test_spread() -> None:
    """It is the whole width, in parts of the median."""
    assert Series([{"rate": 9.0}, {"rate": 10.0}, {"rate": 12.0}]).spread("rate") == pytest.approx(0.3)


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1), (0.5, 3), (0.95, 4), (1.0, 4)])
def test_quantile(part: float, expected: float) -> None:
    """It is one of the values, whatever their order."""
    assert harness.quantile([3, 1, 4, 2], part) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (0, "0"),
        (0.0421, "0.042"),
        (0.4242, "0.424"),
        (4.242, "4.24"),
        (42.42, "42.4"),
        (424.2, "424"),
        (4242.4, "4,242"),
        (-1.26, "-1.26"),
    ],
)
def test_numbers_for_people(value: float | None, expected: str) -> None:
    """Three digits at least, thousands apart."""
    assert harness.show(value) == expected


def test_markdown_table() -> None:
    """Names stand to the left, figures to the right, all columns in line."""
    table = harness.markdown_table(["", "rate"], [["fork", "1,000"], ["spawn", "9"]])
    assert table.splitlines() == [
        "|       |  rate |",
        "| :---- | ----: |",
        "| fork  | 1,000 |",
        "| spawn |     9 |",
    ]


def test_results_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON holds each sample, the medians and the reasons; the report is printed, written, and put into a page."""
    series = {"a": Series([{"rate": 1.0}, {"rate": 3.0}]), "b": Series([None, None], reason="missing")}
    file, table, page = tmp_path / "results.json", tmp_path / "table.md", tmp_path / "page.md"
    page.write_text("<!-- x: begin --><!-- x: end -->")
    parser = argparse.ArgumentParser()
    results.add_result_options(parser, "x")
    files = [f"--json={file}", f"--table={table}", f"--page={page}"]
    benchmark = results.Benchmark("this", parser.parse_args(files))
    benchmark.write(["| table |", ""], {"runs": {20: series}, "count": 3})
    read = json.loads(file.read_text())
    assert (read["benchmark"], read["machine"], read["count"]) == ("this", benchmark.machine, 3)
    assert read["options"] == {"part": "x"}
    assert read["runs"]["20"]["a"]["median"] == {"rate": 2.0}
    assert read["runs"]["20"]["a"]["samples"] == [{"rate": 1.0}, {"rate": 3.0}]
    assert read["runs"]["20"]["b"] == {"median": {}, "spread": {}, "samples": [None, None], "reason": "missing"}
    text = f"{machine.machine_line(benchmark.machine)}\n\n| table |\n"
    assert table.read_text() == text
    assert capsys.readouterr().out == text
    assert page.read_text() == f"<!-- x: begin -->\n\n{text}\n<!-- x: end -->"


def test_stat_of_a_process_with_an_ugly_name() -> None:
    """Blanks and parentheses in the name of a program do not shift the fields."""
    text = "7 (a) b (c) Z 5 7 7 0 -1 4 0 0 0 0 100 50 30 20 20 0 1 0 9 0 0"
    stat = processes.parse_stat(text)
    assert (stat.state, stat.parent) == ("Z", 5)
    assert stat.cpu == 200 / os.sysconf("SC_CLK_TCK")


def test_memory_of_a_process() -> None:
    """Private pages are the clean and the dirty ones."""
    text = "0-f ---p 0 00:00 0 [rollup]\nRss: 40 kB\nPss: 20 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 8 kB\n"
    assert processes.parse_memory(text) == processes.Memory(rss=40 << 10, pss=20 << 10, private=12 << 10)


@pytest.mark.usefixtures("no_leaks")
def test_process_that_is_gone() -> None:
    """It has no memory and no state; that is no error, for processes end while one looks."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert processes.stat_of(pid) is None
    assert processes.memory_of(pid) == processes.Memory(0, 0, 0)
    assert processes.descendants_of(pid) == []


def test_aims() -> None:
    """An aim is reached, missed or not measured."""
    rates = {
        0: {
            "forkcore": Series([{"rate_w1": 200.0, "rate_w4": 700.0, "cpu_w4": 1.0}]),
            "mp_forkserver": Series([{"rate_w4": 100.0}]),
            "anyevent_fork": Series([{"rate_w1": 100.0, "rate_w4": 700.0, "cpu_w4": 1.0}]),
        },
        200: {"forkcore": Series([{"rate_w4": 650.0}])},
    }
    found = aims.find_aims(aims.Results(rates=rates, idle={}, footprint=Series(), series={}))
    assert "yes |" in harness.aims_table(found, "forkcore against")
    by_aim = {aim.text: aim.verdict for aim in found}
    assert by_aim["rate, multiprocessing forkserver at its best, 4 in flight"] == "yes"
    assert by_aim["rate, AnyEvent::Fork, 4 in flight"] == "no"
    assert by_aim["CPU, AnyEvent::Fork, 4 in flight"] == "no"
    assert by_aim["rate, AnyEvent::Fork, one at a time"] == "yes"
    assert by_aim["rate, itself in the smallest parent, 4 in flight"] == "yes"
    assert by_aim["private MB of a child"] == "not measured"


def test_report_names_who_is_out() -> None:
    """A contender that is missing here is named with its reason, and has no row."""
    rates = {
        "forkcore": Series([{"rate_w1": 10.0, "cpu_w1": 0.001, "latency_w1": 0.1, "latency_p95_w1": 0.2}]),
        "anyevent_fork": Series([None], reason="not installed"),
    }
    found = aims.Results(rates={0: rates}, idle={}, footprint=Series(), series={})
    options = forkcore.parse_options(["--windows", "1"])
    text = "\n".join(forkcore.report(options, found))
    assert "- anyevent_fork: not installed" in text
    assert "| AnyEvent::Fork" not in text
    assert "1,000" in text  # microseconds of CPU


def test_options_of_a_quick_run() -> None:
    """What is asked for outright counts more than --quick."""
    options = forkcore.parse_options(["--quick", "--memory", "0,5", "--creators", "forkcore,os_fork"])
    assert (options.rounds, options.memory) == (2, [0, 5])
    assert options.creators == ["forkcore", "os_fork"]


def test_unknown_creator(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a usage error that names it."""
    with pytest.raises(SystemExit):
        forkcore.parse_options(["--creators", "fork_nothing"])
    assert "fork_nothing" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, suite in suites.SUITES.items() if suite.pyargs is None])
def test_suite_is_as_large_as_it_says(name: str, tmp_path: Path) -> None:
    """Each generated suite is Python, and has the number of tests and files that was asked for."""
    suite = suites.SUITES[name].of_size(7)
    assert suites.write_suite(suite, tmp_path / "suite") == ["."]
    files = sorted((tmp_path / "suite").glob("test_*.py"))
    trees = [ast.parse(file.read_text()) for file in files]
    functions = [node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert len(files) == suite.files == 7
    assert len(functions) == len(set(functions)) == suite.tests == 7


@pytest.mark.parametrize(
    ("name", "package"),
    [("networkx", "networkx.classes"), ("networkx_algorithms", "networkx.algorithms.tests")],
)
def test_suite_of_somebody_else(name: str, package: str, tmp_path: Path) -> None:
    """Its tests are where they are installed, and their number is not ours to choose."""
    suite = suites.SUITES[name].of_size(7)
    assert suite.tests == 0
    assert suites.write_suite(suite, tmp_path) == ["--pyargs", package]
    assert not list(tmp_path.glob("test_*.py"))


def test_ballast_is_in_the_conftest(tmp_path: Path) -> None:
    """Memory that a conftest holds is there in the process that forks."""
    suites.write_suite(suites.SUITES["trivial"].of_size(1), tmp_path, ballast_mb=1)
    namespace = runpy.run_path(str(tmp_path / "conftest.py"))
    assert namespace["BALLAST"].count(1) == (1 << 20) // 4096


def test_overhead_is_per_test_and_within_rounds() -> None:
    """What is over plain pytest is divided by the number of tests."""
    plain = Series([{"wall": 1.0, "tests": 10.0}, {"wall": 2.0, "tests": 10.0}])
    ours = Series([{"wall": 2.0, "tests": 10.0}, {"wall": 3.0, "tests": 10.0}])
    assert plugin.overhead(ours, plain, "wall") == pytest.approx(0.1)
    assert plugin.overhead(ours, Series([None, None]), "wall") is None


def test_aims_of_the_plugin() -> None:
    """Overheads are compared with each other, not the times that plain pytest is part of."""

    def sample(wall: float) -> Series:
        return Series([{"wall": wall, "cpu": wall, "first": 1.0, "tests": 10.0}])

    found = plugin.find_aims({"trivial": {"plain": sample(1), "forkiso": sample(2), "forked": sample(11)}})
    by_aim = {aim.text: aim for aim in found}
    assert by_aim["trivial, no imports: overhead to pytest-forked's, wall"].value == pytest.approx(0.1)
    assert by_aim["trivial, no imports: overhead to pytest-forked's, wall"].verdict == "yes"
    assert by_aim["20 ms of CPU each: two jobs to plain, wall"].verdict == "not measured"


def test_aims_of_growth() -> None:
    """The overhead per test of the largest suite is compared with that of the smallest one that is not tiny."""

    def series(tests: float, each: float) -> dict[str, Series]:
        def sample(seconds: float) -> Series:
            return Series([{"wall": seconds, "cpu": seconds, "faults": seconds, "tests": tests}])

        return {"plain": sample(1), "forkiso": sample(1 + tests * each)}

    results = {100: series(100, 9), 1000: series(1000, 2), 10_000: series(10_000, 3)}
    assert [aim.value for aim in growth.find_aims(results)] == [pytest.approx(1.5)] * 3
    assert growth.find_aims({100: results[100], 1000: results[1000]}) == []


def test_options_of_a_quick_plugin_run(capsys: pytest.CaptureFixture[str]) -> None:
    """One round of few tests, all of them generated; an unknown peer is a usage error that names it."""
    options = plugin.parse_options(["--quick"])
    assert (options.rounds, options.tests) == (1, 50)
    assert "trivial" in options.suites
    assert not {"networkx", "networkx_algorithms"} & set(options.suites)
    assert "zygote" in options.peers
    assert "isolated" not in options.peers  # an interpreter for each test
    with pytest.raises(SystemExit):
        plugin.parse_options(["--peers", "pytest_nothing"])
    assert "pytest_nothing" in capsys.readouterr().err


def test_pages_are_filled() -> None:
    """What is between the comments is replaced, again and again; nothing else is."""
    page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin --><!-- y: end -->\n"
    filled = results.fill_page(page, "x", "new\n")
    assert filled == page.replace("\nold\n", "\n\nnew\n\n")
    assert results.fill_page(filled, "x", "new") == filled
    for name, text in (("z", page), ("x", "<!-- x: end --><!-- x: begin -->")):
        with pytest.raises(ValueError, match=f"{name}: begin"):
            results.fill_page(text, name, "new")
