"""Templates whose memory is made cheap to fork: tests do not notice."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pytest_forkiso import _immortal, _memory

from helpers import has_huge_pages

if TYPE_CHECKING:
    from inner import Suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="huge pages are used on Linux only")

BALLAST = _memory.LARGE + (4 << 20)
# Where the kernel gives huge pages unasked, nothing could be seen.
CONFTEST = f"""
import mmap
BALLAST = mmap.mmap(-1, {BALLAST}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
BALLAST.madvise(mmap.MADV_NOHUGEPAGE)
for place in range(0, {BALLAST}, 4096):
    BALLAST[place] = place // 4096 % 251
BALLAST.madvise(mmap.MADV_HUGEPAGE)
"""
TESTS = """
import os
import pytest, conftest

@pytest.mark.parametrize("number", range({count}))
def test_ballast(number, record_property):
    with open("/proc/self/smaps_rollup") as file:
        huge = [int(line.split()[1]) << 10 for line in file if line.startswith("AnonHugePages")]
    record_property("huge", huge[0])
    assert all(conftest.BALLAST[place] == place // 4096 % 251 for place in range(0, len(conftest.BALLAST), 4096))
    conftest.BALLAST[0] = 255
"""


def huge_pages(suite: Suite, count: int, *arguments: str) -> list[int]:
    """Run so many tests that look at their memory; give the bytes that each found in huge pages."""
    suite.write(conftest=CONFTEST, test_it=TESTS.format(count=count))
    run = suite.forked(*arguments)
    assert run.code == 0, run.out
    assert list(run.outcomes().values()) == ["passed"] * count
    return [value for report in run.reports if report.when == "call" for name, value in report.properties]


@pytest.mark.skipif(not has_huge_pages(), reason="this system has no huge pages to give")
def test_many_tests_find_their_data_in_huge_pages(suite: Suite) -> None:
    """Each finds what the conftest made, unchanged by the tests before, and few page table entries were copied."""
    found = huge_pages(suite, _memory.WORTH_IT)
    assert min(found) >= _memory.LARGE


def test_few_tests_do_not_wait_for_it(suite: Suite) -> None:
    """A run of a few tests spends no time on it."""
    assert max(huge_pages(suite, 3)) < _memory.LARGE


def test_a_bare_template(suite: Suite) -> None:
    """It prepares itself the same way; each child has a conftest of its own."""
    huge_pages(suite, _memory.WORTH_IT, "--fork-template=bare", "--fork-jobs=2")


@pytest.mark.parametrize("source", ["fork", "exec", "bare"])
@pytest.mark.parametrize("collected", ["own", "all"])
def test_objects_of_the_template(suite: Suite, source: str, collected: str) -> None:
    """The garbage collector looks at them where the ini file says so; at objects of the test in any case."""
    suite.write(
        test_objects=f"""
        import gc, pytest
        class Thing: pass
        def test_objects():
            mine = Thing()
            assert any(each is mine for each in gc.get_objects())
            assert any(each is pytest.Item for each in gc.get_objects()) is {collected == "all"}
        """
    )
    assert suite.forked("--fork-template", source, "-o", f"fork_gc={collected}").code == 0


def test_garbage_of_collection(suite: Suite) -> None:
    """What nobody refers to any more when the template is forked is finalised once, in pytest's own process."""
    suite.write(
        conftest="""
        import gc, os, pathlib
        class Garbage:
            def __init__(self):
                self.myself, self.owner = self, os.getpid()
            def __del__(self):
                with pathlib.Path("finalised").open("a") as file: print(os.getpid() == self.owner, file=file)
        def pytest_collection_finish():
            gc.disable()
            Garbage()
        def pytest_sessionfinish():
            gc.collect()
        """,
        test_it="import gc\ndef test_collects(): gc.collect()\ndef test_again(): gc.collect()",
    )
    run = suite.forked()
    assert run.code == 0, run.out
    assert (suite.path / "finalised").read_text() == "True\n"


MANY = _immortal.WORTH_IT
COUNTS = """
import gc, json, sys, weakref, pytest
class Thing: pass
thing = Thing()
@pytest.mark.parametrize("number", range({count}))
def test_counts(number, record_property):
    global thing
    record_property("immortal", sys.getrefcount(json.dumps) > 1 << 30)
    gone, thing = weakref.ref(thing), None
    assert gone() is None
    assert max(map(sys.getrefcount, (Thing, test_counts))) < 1 << 30
"""


@pytest.mark.skipif(not _immortal.is_layout_known(), reason="counts of this interpreter are left alone")
@pytest.mark.parametrize("source", ["fork", "exec"])
@pytest.mark.parametrize(("wanted", "count"), [("true", MANY), ("true", 40), ("false", MANY)])
def test_references_that_are_not_counted(suite: Suite, source: str, wanted: str, count: int) -> None:
    """Those to definitions of the library are not, in children; objects of the tests end, and pytest itself counts."""
    suite.write(
        conftest="""
        import json, sys
        def pytest_sessionfinish(): print("immortal in pytest:", sys.getrefcount(json.dumps) > 1 << 30)
        """,
        test_it=COUNTS.format(count=count),
    )
    run = suite.forked("--fork-template", source, "-o", f"fork_immortal={wanted}", "-s")
    assert run.code == 0, run.out
    assert "immortal in pytest: False" in run.out
    found = [value for report in run.reports if report.when == "call" for _, value in report.properties]
    assert found[0] is False  # the first test is under way before it is done
    assert found[-1] is (wanted == "true" and count == MANY)
