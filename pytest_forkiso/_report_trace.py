"""The report of a run as a trace, for Perfetto and Chrome (chrome://tracing). Pure, no I/O."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAIN = 0
"""Thread of the trace for tests in pytest's own process; jobs are numbered from 1."""


def to_text(document: dict[str, Any]) -> str:
    """Write a document as a trace in the JSON form of Chrome's trace events: a process for each worker, a thread a job.

    Source: "Trace Event Format", complete events ("X") and metadata events ("M").
    """
    workers = sorted({test["worker"] or "" for test in document["tests"]}, key=lambda name: (len(name), name))
    numbers = {worker: number for number, worker in enumerate(workers, 1)}
    events = [*_names(document, numbers), *_spans(document, numbers)]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": _about(document)})


def _about(document: dict[str, Any]) -> dict[str, str]:
    return {"format": document["format"], "version": str(document["version"])}


def _names(document: dict[str, Any], numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    for worker, number in numbers.items():
        yield _name("process_name", number, 0, worker or "pytest")
    for worker, thread in sorted({(test["worker"] or "", _thread(test)) for test in document["tests"]}):
        name = f"job {thread}" if thread else "own process"
        yield _name("thread_name", numbers[worker], thread, name)


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}


def _thread(test: dict[str, Any]) -> int:
    job = test["job"]
    return _MAIN if job is None else int(job) + 1


def _spans(document: dict[str, Any], numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    following: dict[tuple[int, int], float] = {}
    for test in sorted((test for test in document["tests"] if test["steps"]), key=_begin, reverse=True):
        process, thread = numbers[test["worker"] or ""], _thread(test)
        # The next test of the job begins while the process of this one ends: spans of a thread must not overlap.
        steps = dict(_cut(test["steps"], following.get((process, thread), math.inf)))
        following[process, thread] = _begin(test)
        place = {"ph": "X", "pid": process, "tid": thread}
        begin, end = _begin(test), max(stop for _, stop in steps.values())
        figures = {key: value for key, value in test.items() if key not in ("steps", "details") and value is not None}
        yield {"name": test["nodeid"], "cat": test["outcome"], **_times(begin, end), **place, "args": figures}
        for name, (start, stop) in steps.items():
            yield {"name": name, "cat": "step", **_times(start, stop), **place}


def _begin(test: dict[str, Any]) -> float:
    begin: float = min(start for start, _ in test["steps"].values())
    return begin


def _cut(steps: dict[str, list[float]], end: float) -> Iterator[tuple[str, list[float]]]:
    for name, (start, stop) in steps.items():
        yield name, [min(start, end), min(stop, end)]


def _times(start: float, stop: float) -> dict[str, float]:
    """Give begin and length in microseconds, as a trace has them."""
    return {"ts": round(start * 1e6, 1), "dur": round((stop - start) * 1e6, 1)}
