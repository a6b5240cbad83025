"""The report of a run as one JSON document; report.schema.json says what is in it. Pure, no I/O."""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Any

from pytest_forkiso._record import describe

if TYPE_CHECKING:
    from pytest_forkiso._record import Records

FORMAT = "pytest-forkiso report"
VERSION = 1


def make_document(records: Records, run: dict[str, Any]) -> dict[str, Any]:
    """Put a report together.

    Args:
        records: Of all tests.
        run: What the report says of the run as a whole; "started" and "stopped" are Unix times.
    """
    zero = run["started"]
    tests = [describe(test, zero) for test in records.tests]
    return {
        "format": FORMAT,
        "version": VERSION,
        "run": {**run, "duration": round(run["stopped"] - zero, 6), "totals": _totals(tests)},
        "tests": tests,
    }


def _totals(tests: list[dict[str, Any]]) -> dict[str, Any]:
    ends = collections.Counter(test["end"] for test in tests)
    return {
        "tests": len(tests),
        "outcomes": dict(collections.Counter(test["outcome"] for test in tests)),
        "forked": sum(test["pid"] is not None for test in tests),
        "crashes": ends["crash"],
        "timeouts": ends["timeout"],
        "leftovers": sum(test["leftovers"] for test in tests),
        "cpu": round(sum((test["cpu_user"] or 0) + (test["cpu_system"] or 0) for test in tests), 6),
    }


def to_text(document: dict[str, Any]) -> str:
    """Write a document, a test to a line: fit for programs, and for ``grep``."""
    head = json.dumps({key: value for key, value in document.items() if key != "tests"}, indent=1)
    lines = ",\n".join(json.dumps(test) for test in document["tests"])
    return f'{head[:-2]},\n "tests": [\n{lines}\n ]\n}}\n'
