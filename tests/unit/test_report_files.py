"""The files of --fork-report: as their schema says, and safe whatever tests are called."""

from __future__ import annotations

import html.parser
import importlib.resources
import itertools
import json
from typing import Any

import pytest

from pytest_forkiso import _report_html, _report_json, _report_trace
from pytest_forkiso._record import Phase, Records

from report_data import NASTY, START, make_records, make_run


def make_document(count: int = 200, jobs: int = 3) -> dict[str, Any]:
    """Make the report of a run with all sorts of tests."""
    records = make_records(count, jobs)
    records.add_phase("plain", "gw1", Phase("setup", START + 1, START + 2, "skipped", "not here"))
    return _report_json.make_document(records, make_run())


def schema() -> Any:
    """Read the schema that is in the package."""
    return json.loads(importlib.resources.files("pytest_forkiso").joinpath("report.schema.json").read_text("utf-8"))


def test_the_schema_holds() -> None:
    """What is written is what the schema says, and the schema is one."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.validators.validator_for(schema())
    validator.check_schema(schema())
    validator(schema()).validate(json.loads(_report_json.to_text(make_document())))
    validator(schema()).validate(json.loads(_report_json.to_text(_report_json.make_document(Records(), make_run()))))
    broken = make_document()
    broken["tests"][0]["pid"] = "no number"
    with pytest.raises(jsonschema.ValidationError):
        validator(schema()).validate(broken)


def test_the_schema_names_all_properties() -> None:
    """None is there that the schema does not know, and none is missing; this needs no validator."""
    document = make_document()
    known = schema()["$defs"]
    assert all(list(test) == known["test"]["required"] for test in document["tests"])
    for name, value in (("run", document["run"]), ("totals", document["run"]["totals"])):
        assert sorted(value) == sorted(known[name]["required"]) == sorted(known[name]["properties"])
    assert sorted(known["test"]["required"]) == sorted(known["test"]["properties"])


def test_json_has_a_test_to_a_line() -> None:
    """So that grep finds a test with all that is known of it."""
    document = make_document()
    text = _report_json.to_text(document)
    assert json.loads(text) == document
    lines = [line for line in text.splitlines() if "test_number[7]" in line]
    assert json.loads(lines[0].rstrip(","))["nodeid"].endswith("test_number[7]")


class ScriptCounter(html.parser.HTMLParser):
    """Reads a page as a browser does, as far as elements go."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.addresses: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note scripts, and whatever a page could load."""
        if tag == "script":
            self.scripts.append("")
            self._in_script = True
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a script."""
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        """Keep what is in a script."""
        if self._in_script:
            self.scripts[-1] += data


def test_the_page_is_whole_and_alone() -> None:
    """Two scripts, data and code, whatever tests are called; nothing is loaded from elsewhere."""
    document = make_document()
    document["run"]["title"] = f"{NASTY} @DATA@ @SCRIPT@"
    page = ScriptCounter()
    text = _report_html.to_text(document)
    page.feed(text)
    data, code = page.scripts
    assert json.loads(data) == document
    assert any(NASTY in test["nodeid"] for test in json.loads(data)["tests"])
    assert code.strip().endswith("start();")
    assert page.addresses == ["#search"]
    assert "http://" not in text
    assert "https://" not in text


def test_the_trace() -> None:
    """Complete events on named threads, in microseconds; tests of one job do not overlap."""
    trace = json.loads(_report_trace.to_text(make_document()))
    events = trace["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X"}
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert sorted(names.values()) == ["job 1", "job 2", "job 3", "own process"]
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert sorted(processes.values()) == ["gw1", "pytest"]
    tests = [event for event in events if event["ph"] == "X" and event["cat"] != "step"]
    assert len(tests) == 201
    for place in names:
        here = sorted(
            (event["ts"], event["ts"] + event["dur"]) for event in tests if (event["pid"], event["tid"]) == place
        )
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(here))
    steps = [event for event in events if event["ph"] == "X" and event["cat"] == "step"]
    assert {event["name"] for event in steps} == {"fork", "setup", "call", "teardown", "end"}
    first = min(tests, key=lambda event: event["ts"])
    assert first["ts"] == pytest.approx(0.2e6, abs=1)
    assert first["args"]["pid"] == 4001
