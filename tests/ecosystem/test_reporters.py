"""Plugins that report: of forked tests they have all that they have of others."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from pathlib import Path

    from inner import Suite

TESTS = """
import sys
import warnings
import pytest
def test_passes(): print("out"); print("err", file=sys.stderr)
def test_fails(record_property): record_property("key", 1); print("out"); assert [1] == [2]
@pytest.mark.skip(reason="why not")
def test_skipped(): pass
@pytest.mark.xfail(reason="known")
def test_expected(): assert 0
@pytest.fixture
def broken(): raise ValueError("in a fixture")
def test_error(broken): pass
def test_warns(): warnings.warn("careful")
"""
CRASH = "import os\ndef test_dies(): print('so far'); os.abort()\ndef test_after(): pass"


def steady_json(value: Any) -> Any:
    """Leave out what differs from run to run: times, durations, identifiers made for one run, file names."""
    volatile = {"uuid", "start", "stop", "duration", "created", "source", "generated", "environment", "children"}
    if isinstance(value, dict):
        return {key: steady_json(each) for key, each in value.items() if key not in volatile}
    if isinstance(value, list):
        return [steady_json(each) for each in value]
    return re.sub(r"0x[0-9a-f]+|\d\d:\d\d:\d\d|\d+ ms|\d+-MainThread", "…", value) if isinstance(value, str) else value


def html_results(path: Path) -> Any:
    """Give what a page of pytest-html holds."""
    blob = re.search(r'data-jsonblob="(.*?)"', path.read_text(), re.DOTALL)
    assert blob is not None
    return steady_json(json.loads(html.unescape(blob[1]))["tests"])


def test_html(suite: Suite) -> None:
    """pytest-html: the page has the same rows, with their logs."""
    pytest.importorskip("pytest_html")
    suite.write(test_reported=TESTS)
    plugins = ("-p", "metadata", "-p", "html")
    suite.plain(*plugins, "--html=plain.html")
    suite.forked(*plugins, "--html=forked.html")
    forked = html_results(suite.path / "forked.html")
    assert forked == html_results(suite.path / "plain.html")
    assert len(forked) == 6


def test_html_of_a_crash(suite: Suite) -> None:
    """The row says what happened, and has the output."""
    pytest.importorskip("pytest_html")
    suite.write(test_dies=CRASH)
    suite.forked("-p", "metadata", "-p", "html", "--html=page.html")
    results = html_results(suite.path / "page.html")
    (row,) = results["test_dies.py::test_dies"]
    assert row["result"] == "Failed"
    assert "SIGABRT" in row["log"]
    assert "so far" in row["log"]


def allure_results(folder: Path) -> list[dict[str, Any]]:
    """Give what allure has of each test, with the texts of its attachments."""
    results = []
    for path in folder.glob("*-result.json"):
        result = json.loads(path.read_text())
        attachments = {each["name"]: (folder / each["source"]).read_text() for each in result.get("attachments", [])}
        results.append(steady_json(result) | {"texts": attachments})
    return sorted(results, key=lambda result: str(result["name"]))


def test_allure(suite: Suite) -> None:
    """allure-pytest: the same results, with steps, labels and attachments that were made in the test."""
    pytest.importorskip("allure_pytest")
    suite.write(
        test_reported=TESTS + "import allure\n@allure.title('A title')\n@allure.severity('minor')\ndef test_steps():\n"
        "    with allure.step('first'): allure.attach('body', 'an attachment')\n    allure.dynamic.link('there')\n"
    )
    suite.plain("-p", "allure_pytest", "--alluredir=plain")
    suite.forked("-p", "allure_pytest", "--alluredir=forked")
    plain, forked = (allure_results(suite.path / name) for name in ("plain", "forked"))
    for one in (plain, forked):
        for result in one:
            result.get("statusDetails", {}).pop("trace", None)  # has the frames of pytest's own machinery
    assert forked == plain
    assert len(forked) == 7


def test_allure_of_a_crash(suite: Suite) -> None:
    """Its result is written by pytest's own process: what happened, parameters, labels and output."""
    pytest.importorskip("allure_pytest")
    suite.write(
        test_dies="""
        import os
        import allure
        import pytest
        @allure.severity("critical")
        @pytest.mark.parametrize("number", [5])
        def test_dies(number): print("so far"); os.abort()
        @pytest.fixture
        def dies(): os._exit(3)
        def test_setup(dies): pass
        @pytest.mark.xfail(reason="known")
        def test_expected(): os.abort()
        def test_after(): pass
        """
    )
    suite.forked("-p", "allure_pytest", "--alluredir=results")
    results = {result["name"]: result for result in allure_results(suite.path / "results")}
    assert {name: result["status"] for name, result in results.items()} == {
        "test_dies[5]": "broken",
        "test_setup": "broken",
        "test_expected": "skipped",
        "test_after": "passed",
    }
    crash = results["test_dies[5]"]
    assert "SIGABRT" in crash["statusDetails"]["message"]
    assert "in test_dies" in crash["statusDetails"]["trace"]
    assert crash["texts"]["Captured stdout call"] == "so far\n"
    assert crash["parameters"] == [{"name": "number", "value": "5"}]
    assert {"name": "severity", "value": "critical"} in crash["labels"]
    assert "XFAIL known" in results["test_expected"]["statusDetails"]["message"]


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("pytest_sugar", ["-p", "sugar"]),
        ("pytest_rich", ["-p", "rich", "--rich"]),
        ("pytest_instafail", ["-p", "instafail", "--instafail"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_terminals(suite: Suite, module: str, options: list[str]) -> None:
    """What replaces or adds to pytest's own reporter shows the same."""
    pytest.importorskip(module)
    suite.write(test_reported=TESTS)
    plain, forked = suite.plain(*options), suite.forked(*options)
    assert_same(plain, forked)


def test_json_report(suite: Suite) -> None:
    """pytest-json-report: the same stages, outcomes, crashes and captured texts."""
    pytest.importorskip("pytest_jsonreport")
    suite.write(test_reported=TESTS)
    plugins = ("-p", "metadata", "-p", "pytest_jsonreport", "--json-report")
    suite.plain(*plugins, "--json-report-file=plain.json")
    suite.forked(*plugins, "--json-report-file=forked.json")
    plain, forked = (json.loads((suite.path / f"{name}.json").read_text()) for name in ("plain", "forked"))
    assert steady_json(forked["tests"]) == steady_json(plain["tests"])
    assert forked["summary"] == plain["summary"]


def test_report_log(suite: Suite) -> None:
    """pytest-reportlog: the same lines."""
    pytest.importorskip("pytest_reportlog")
    suite.write(test_reported=TESTS)
    suite.plain("-p", "pytest_reportlog", "--report-log=plain.log")
    suite.forked("-p", "pytest_reportlog", "--report-log=forked.log")
    plain, forked = (
        [
            json.dumps(steady_json(json.loads(line)), sort_keys=True)
            for line in (suite.path / f"{name}.log").read_text().splitlines()
        ]
        for name in ("plain", "forked")
    )
    assert sorted(forked) == sorted(plain)
