"""What workers of pytest-xdist know at their end of their children: the controller's terminal shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Run, Suite

pytest.importorskip("xdist")

XDIST = ("-p", "xdist", "-n2", "--dist=loadfile")
"""Two workers; the tests of a file run in one of them."""
HEAVY = """
    import time
    began = time.thread_time()
    while time.thread_time() < began + 0.02: pass
"""


def says(run: Run, pattern: str) -> bool:
    """Tell whether the output has this."""
    return re.search(pattern, run.out, re.MULTILINE) is not None


def test_counts(suite: Suite) -> None:
    """Children, crashes, timeouts and leftovers are those of all workers together."""
    suite.write(
        test_a="import os\ndef test_passes(): pass\ndef test_dies(): os.abort()",
        test_b="""
        import subprocess, threading
        import pytest
        def test_leaves(): subprocess.Popen(["sleep", "1000"])
        @pytest.mark.forked(timeout=0.2)
        def test_hangs(): threading.Event().wait()
        """,
    )
    run = suite.forked(*XDIST)
    assert "forkiso: 4 children forked, 1 crash, 1 timeout, 1 leftover process\n" in run.out
    assert "template from" not in run.out
    verbose = suite.forked(*XDIST, "-v")
    assert says(verbose, r"1 leftover process, template \d+ MB, median time to a child \d+\.\d ms"), verbose.out
    assert "[gw0, gw1] forkiso: template from 'fork', because " in verbose.out.replace("gw1, gw0", "gw0, gw1")
    assert "forkiso: 4 children" not in suite.forked(*XDIST, "-qq").out


def test_shared_fixtures(suite: Suite) -> None:
    """Snapshots are counted; the fixture that is not shared is named, with the workers that say so."""
    fixtures = """
        import socket
        import pytest
        @pytest.fixture(scope="session")
        def value(): return 5
        @pytest.fixture(scope="session")
        def pair():
            ends = socket.socketpair()
            yield
            for end in ends: end.close()
    """
    suite.write(conftest=fixtures, test_a="def test_it(value): pass", test_b="def test_it(pair): pass")
    run = suite.forked(*XDIST, "--fork-share=session")
    assert run.code == 0, run.out
    assert says(run, r"^\[gw\d\] forkiso: the fixture 'pair' was set up in each test's own process")
    assert says(run, r"forkiso: 2 children forked, .*, [12] snapshots? of fixtures"), run.out


def test_another_source(suite: Suite) -> None:
    """What the terminal says after collection where there is no worker stands at the end, once for all."""
    suite.write(
        conftest="import threading\nthreading.Thread(target=threading.Event().wait, name='beat', daemon=True).start()",
        test_a="def test_it(): pass",
        test_b="def test_it(): pass",
    )
    run = suite.forked(*XDIST, "--fork-share=session")
    assert run.code == 0, run.out
    assert run.out.count("forkiso: template from 'bare', because a fork would not have these threads: 'beat'") == 1
    assert says(run, r"^\[gw\d, gw\d\] forkiso: template from 'bare'.*; fixtures are shared within one file each$")


def test_a_lost_template(suite: Suite) -> None:
    """It is told of, with the worker's name."""
    suite.write(
        test_a="""
        import os, signal, threading
        def test_ends_it():
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
        def test_after(): pass
        """
    )
    run = suite.forked(*XDIST)
    assert run.outcomes() == {"test_ends_it": "failed", "test_after": "passed"}, run.out
    words = r"^\[gw\d\] forkiso: a template was ended by SIGKILL .*; it may have been test_a.py::test_ends_it,"
    assert says(run, words), run.out


def test_a_worker_that_crashes(suite: Suite) -> None:
    """Its counts are gone, and that is said."""
    suite.write(
        test_a="import os\nimport pytest\n@pytest.mark.forked\ndef test_it(): pass\ndef test_here(): os._exit(1)",
        test_b="import pytest\n@pytest.mark.forked\ndef test_it(): pass",
    )
    run = suite.run("-p", "forkiso", *XDIST, "--max-worker-restart=0")
    assert says(run, r"forkiso: 1 child forked, .*, without those of gw\d, which crashed\n"), run.out


def test_what_is_worth_preloading(suite: Suite) -> None:
    """The controller adds up what workers have measured, names it, and keeps it for the next run."""
    tests = "def test_1(): import heavy\ndef test_2(): import heavy"
    suite.write(heavy=HEAVY, test_a=tests, test_b=tests)
    first = suite.forked(*XDIST, "--fork-preload=auto")
    assert first.code == 0, first.out
    assert says(first, r"^forkiso: importing heavy cost \d+ ms in each of 4 processes; it is preloaded")
    second = suite.forked(*XDIST, "--fork-preload=auto")
    assert second.code == 0, second.out
    assert "importing heavy" not in second.out


def test_what_could_not_be_measured(suite: Suite) -> None:
    """The controller says so, with the worker's name."""
    suite.write(
        late="",
        test_a="""
        import os, signal, threading
        def test_1(): import late
        def test_2(): import late
        def test_3():
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
        """,
    )
    run = suite.forked(*XDIST, "--fork-preload=auto")
    assert says(run, r"^\[gw\d\] forkiso: what tests import late was not measured"), run.out
