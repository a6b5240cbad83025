"""Records of runs that never were, for tests of what reports look like."""

from __future__ import annotations

import random
from typing import Any

from pytest_forkiso._record import Phase, Records

START = 1_800_000_000.0
NASTY = "</script><script>document.title='broken'</script><!-- & \u2028 <b>"
"""A parameter's id that would break a careless page."""


def make_run(**values: Any) -> dict[str, Any]:
    """Give what a report says of the run as a whole."""
    return {
        "title": "project",
        "arguments": ["--forked"],
        "started": START,
        "stopped": START + 60,
        "exit_status": 1,
        "python": "3.12.1",
        "platform": "Linux",
        "pytest": "9.2.0",
        "plugin": "0.1.0",
        **values,
    }


def make_figures(**values: Any) -> dict[str, Any]:
    """Give what is known of a child."""
    return {
        "attempt": 0,
        "job": 0,
        "pid": 1000,
        "ordered": START + 1,
        "ended": START + 2,
        "end": "exit",
        "leftovers": 0,
        "private_bytes": 3_000_000,
        "page_faults": 700,
        "exit_code": 0,
        "signal": None,
        "cpu_user": 0.25,
        "cpu_system": 0.5,
        "peak_bytes": 50_000_000,
        **values,
    }


def make_records(count: int, jobs: int) -> Records:
    """Make the records of a run of so many tests, some of them in trouble; the same ones each time."""
    chance = random.Random(8)  # noqa: S311 - no secret
    records = Records()
    clocks = [START + 0.2] * jobs
    for number in range(count):
        job = min(range(jobs), key=clocks.__getitem__)
        name = f"tests/test_part_{number // 100:03}.py::TestThings::test_number[{number}]"
        clocks[job] = _add(records, chance, f"{name}-{NASTY}" if number == count // 2 else name, job, clocks[job])
    return records


def _add(records: Records, chance: random.Random, nodeid: str, job: int, now: float) -> float:
    """Add a test that begins now; give the time when it has ended."""
    luck = chance.random()
    setup, call = now + 0.003, now + 0.003 + chance.expovariate(300)
    stop = call + chance.lognormvariate(-5, 1.6)
    has_crashed = luck < 0.002
    records.add_phase(nodeid, None, Phase("setup", setup, call, ""))
    if has_crashed:
        message = "Crash in call: the test's process was ended by SIGSEGV (signal 11: Segmentation fault)"
        records.add_phase(nodeid, None, Phase("call", call, stop, "failed", message, f"{nodeid}\n{message}"))
    elif luck < 0.012:
        message = "AssertionError: assert 1 == 2"
        records.add_phase(nodeid, None, Phase("call", call, stop, "failed", message, f"def test():\n{message}"))
    else:
        category = "skipped" if luck > 0.98 else "passed"
        records.add_phase(nodeid, None, Phase("call", call, stop, category))
    if not has_crashed:
        records.add_phase(nodeid, None, Phase("teardown", stop, stop + 0.001, ""))
    end = stop + 0.003
    measured = {"private_bytes": int(chance.lognormvariate(15, 0.4)), "page_faults": chance.randrange(500, 3000)}
    trouble = {"end": "crash", "exit_code": None, "signal": 11, "private_bytes": None, "page_faults": None}
    figures = make_figures(
        job=job, pid=4000 + len(records.tests), ordered=now, ended=end, cpu_user=(stop - call) / 2, cpu_system=0.002
    )
    records.add_figures(nodeid, None, figures | (trouble if has_crashed else measured))
    return end - 0.002  # the next one begins at the last word
