"""What pytest says with and without the plugin, compared."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inner import Run

_VOLATILE = [
    (re.compile(r"(started|stopped)( daemon)? \d+"), "…"),
    (re.compile(r"0x([0-9a-f]{6,}|[0-9a-f]*(?=\.\.\.))"), "0x…"),  # the short summary cuts off in the middle of one
    (re.compile(r"\d+\.\d\ds\b"), "…s"),
    (re.compile(r"pytest-\d+/"), "pytest-…/"),
    (re.compile(r"in …s( \(.*\))? =+"), "in …s ="),
    (re.compile(r"=+ (.* in …s)"), r"= \1"),
]


def steady(text: str) -> str:
    """Take out of a text what differs from run to run: times, addresses, numbered folders."""
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return text


def steady_records(run: Run) -> list[Any]:
    """Give all that pytest reported, but for what differs from run to run."""
    return [json.loads(steady(json.dumps(row))) for row in run.records]


def steady_terminal(run: Run) -> list[str]:
    """Give the lines of the terminal, but for the header, the plugin's own line, and what differs from run to run."""
    lines = [steady(line) for line in run.out.splitlines()]
    header = ("platform ", "rootdir: ", "plugins: ", "configfile: ", "cachedir: ", "forkiso: ")
    return [line for line in lines if not line.startswith(header)]


def _lines(run: Run) -> list[str]:
    """Give the records as lines, warnings last: of a forked test they are known before it has finished, not after."""
    lines = []
    for record in sorted(steady_records(run), key=lambda record: bool(record["kind"] == "warning")):
        for key, value in record.items():
            lines += [f"{record.get('nodeid')}: {key} = {line}" for line in str(value).splitlines() or [""]]
    return lines


def _difference(plain: list[str], forked: list[str]) -> str:
    return "\n".join(difflib.unified_diff(plain, forked, "plain", "forked", n=1, lineterm=""))


def assert_same(plain: Run, forked: Run, *, has_summary: bool = True) -> None:
    """Check that pytest said the same in both runs: all records, the terminal, the exit code."""
    assert plain.records, plain.out
    different = _difference(_lines(plain), _lines(forked)) or _difference(
        steady_terminal(plain), steady_terminal(forked)
    )
    assert not different, f"not as without the plugin:\n{different}"
    assert forked.code == plain.code
    assert bool(re.search(r"forkiso: \d+ (child|children) forked", forked.out)) == has_summary
