"""pytest-xdist: each worker forks its tests from a template of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("xdist")

SUITE = """
import os
import pytest

@pytest.mark.parametrize("n", range(8))
def test_many(n):
    print("number", n)
    if n == 2: os.abort()
    if n == 4: pytest.skip("four")
    assert n != 6

def test_worker(worker_id): assert worker_id.startswith("gw")
def test_own(tmp_path): assert "popen-gw" in str(tmp_path)
@pytest.mark.forked(timeout=0.5)
def test_hangs():
    while True: pass
"""

WANTED = {
    **{f"test_many[{n}]": "passed" for n in range(8)},
    "test_many[2]": "failed",
    "test_many[4]": "skipped",
    "test_many[6]": "failed",
    "test_worker": "passed",
    "test_own": "passed",
    "test_hangs": "failed",
}


@pytest.mark.parametrize(
    "options", [["--forked"], ["--forked", "--dist=loadfile"], ["--forked", "--maxprocesses=1"]], ids=" ".join
)
def test_workers_fork(suite: Suite, options: list[str]) -> None:
    """Outcomes, output and the names of signals reach the controller; no worker crashes."""
    suite.write(test_many=SUITE)
    run = suite.run("-p", "xdist", "-p", "forkiso", "-n", "2", *options)
    assert run.outcomes() == WANTED, run.out
    assert "SIGABRT" in run.failure("test_many[2]").text
    assert "Timeout" in run.failure("test_hangs").text
    assert run.failure("test_many[6]").section("Captured stdout call") == "number 6\n"
    assert "crashed while running" not in run.out
    assert run.code == 1


def test_mixed(suite: Suite) -> None:
    """Forked tests among others, with fixtures of the worker that stay set up meanwhile."""
    suite.write(
        test_mixed="""
        import os
        import pytest
        @pytest.fixture(scope="module")
        def owner():
            pid = os.getpid()
            yield pid
            assert os.getpid() == pid
        def test_here(owner): assert owner == os.getpid()
        @pytest.mark.forked
        def test_forked(owner): assert owner == os.getpid(); os.environ["LEFT"] = "1"
        def test_here_again(owner): assert owner == os.getpid() and "LEFT" not in os.environ
        @pytest.mark.forked
        def test_crashes(): os._exit(0)
        def test_last(): pass
        """
    )
    run = suite.run("-p", "xdist", "-p", "forkiso", "-n", "1")
    wanted = dict.fromkeys(["test_here", "test_forked", "test_here_again", "test_last"], "passed")
    assert run.outcomes() == wanted | {"test_crashes": "failed"}, run.out


def test_early_end(suite: Suite) -> None:
    """-x holds; no process of any worker is left."""
    suite.write(
        test_stop="import os\ndef test_a(): os.abort()\n" + "".join(f"def test_{n}(): pass\n" for n in range(30))
    )
    run = suite.run("-p", "xdist", "-p", "forkiso", "--forked", "-n", "2", "-x")
    assert "stopping after 1 failures" in run.out
    assert len(run.outcomes()) < 31


@pytest.mark.parametrize(
    ("options", "marker", "words"),
    [
        (["--fork-preload=no_such_module"], "", ["--fork-preload no_such_module failed", "ModuleNotFoundError"]),
        ([], "timout=1", ["test_wrong.py::test_0", "no argument 'timout'"]),
        (["--fork-timeout=-1"], "", ["--fork-timeout"]),
        (["--dist=each", "--fork-preload=no_such_module"], "", ["--fork-preload"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
@pytest.mark.parametrize("count", [1, 20])
def test_usage_errors(suite: Suite, options: list[str], marker: str, words: list[str], count: int) -> None:
    """They are said once, as without workers, and no test runs."""
    tests = "".join(f"@pytest.mark.forked({marker})\ndef test_{n}(): pass\n" for n in range(count))
    suite.write(test_wrong=f"import pytest\n{tests}")
    run = suite.run("-p", "xdist", "-p", "forkiso", "-n", "2", *options)
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    assert not run.reports
    assert "INTERNALERROR" not in run.out
    assert run.out.count("ERROR: ") == 1
    for word in words:
        assert word in run.out, run.out
