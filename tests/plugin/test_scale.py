"""The parent's memory does not grow with the number of forked tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inner import Suite

MEASURE = """
import gc

def in_use():
    with open("/proc/self/statm") as file: return int(file.read().split()[1]) * 4096

SEEN = []

def pytest_runtest_logfinish(nodeid):
    number = int(nodeid.partition("[")[2].partition("]")[0])
    if number in (299, 1799): gc.collect(); SEEN.append(in_use())

def pytest_unconfigure():
    with open("memory", "w") as file: print(*SEEN, file=file)
"""


def test_memory_of_the_parent(suite: Suite) -> None:
    """From the 300th to the 1,800th trivial test it grows as plain pytest does: by the reports."""
    suite.write(
        conftest=MEASURE,
        test_trivial="import pytest\n@pytest.mark.parametrize('n', range(1800))\ndef test_n(n): print('x' * 1000)",
    )
    growth = []
    for run, options in ((suite.plain, []), (suite.forked, ["--fork-jobs=2"])):
        assert run("-q", *options).code == 0
        first, last = map(int, (suite.path / "memory").read_text().split())
        growth.append(last - first)
    plain, forked = growth
    assert forked < 2 * plain + 1_000_000


HOLDINGS = """
import itertools

def pytest_sessionfinish(session):
    stats = session.config.pluginmanager.get_plugin("terminalreporter").stats
    reports = list(itertools.chain.from_iterable(stats.values()))
    own = {item.nodeid: item for item in session.items}
    for report in reports:
        item = own[report.nodeid]
        assert report.nodeid is item.nodeid
        assert report.location is item.location
        assert getattr(report, "id", None) is getattr(item, "id", None)
    texts = [text for report in reports for text in (report.when, report.outcome, *report.keywords)]
    assert len(set(map(id, texts))) == len(set(texts))
    with open("reports", "w") as file: print(len(reports), file=file)
"""


def test_texts_of_reports(suite: Suite) -> None:
    """Reports, which pytest keeps to the end, hold no copies of what their test or another report holds."""
    suite.write(
        conftest=HOLDINGS,
        test_it="""
        import pytest
        @pytest.mark.parametrize("n", range(3))
        def test_n(n): assert n < 2
        class TestC:
            def test_c(self): pytest.skip("no")
        """,
    )
    assert suite.forked("-q").code == 1
    assert (suite.path / "reports").read_text() == "12\n"
