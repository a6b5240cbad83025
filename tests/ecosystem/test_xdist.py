"""pytest-xdist: more than one process group, more than one machine, each with a template of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inner_hosts import free_port, network_namespace, socket_server, ssh_host

from helpers import wait_for

if TYPE_CHECKING:
    from inner import Run, Suite

pytest.importorskip("xdist")

TESTS = """
import os
import pytest

@pytest.mark.parametrize("number", range(12))
def test_many(number):
    print("number", number)
    if number == 2: os.abort()
    if number == 4: pytest.skip("four")
    assert number != 6

@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(3))
def test_group(number, worker_id): print(worker_id)

left = []
@pytest.mark.parametrize("number", range(2))
def test_own_process(number):
    assert not left
    left.append(number)
"""
WHERE = """
import os
import pytest
@pytest.mark.parametrize("number", range(20))
def test_network(number): print("network", os.readlink("/proc/self/ns/net")); assert 0
"""
XDIST = ("-p", "xdist", "-p", "forkiso")


def wanted() -> dict[str, str]:
    """Give the outcomes."""
    odd = {2: "failed", 4: "skipped", 6: "failed"}
    return (
        {f"test_many[{number}]": odd.get(number, "passed") for number in range(12)}
        | {f"test_group[{number}]": "passed" for number in range(3)}
        | {f"test_own_process[{number}]": "passed" for number in range(2)}
    )


def check(run: Run) -> None:
    """Check that all was reported, and that no worker was lost."""
    # With --dist=loadgroup ids end in the group, and pytest 8 shows that.
    outcomes = {name.partition("@")[0]: outcome for name, outcome in run.outcomes().items()}
    assert outcomes == wanted(), run.out
    assert "SIGABRT" in run.failure("test_many[2]").text
    assert run.failure("test_many[6]").section("Captured stdout call") == "number 6\n"
    assert "node down" not in run.out
    assert "crashed" not in run.out
    assert run.code == 1


@pytest.mark.parametrize("dist", ["load", "loadscope", "loadfile", "loadgroup", "worksteal"])
@pytest.mark.parametrize("options", [[], ["--fork-jobs=2"]], ids=" ".join)
def test_ways_to_distribute(suite: Suite, dist: str, options: list[str]) -> None:
    """Outcomes, output and the signal arrive, and a child's crash costs no worker."""
    suite.write(test_many=TESTS)
    check(suite.run(*XDIST, "--forked", "-n2", f"--dist={dist}", *options))


def test_each(suite: Suite) -> None:
    """--dist=each runs each test in each worker."""
    suite.write(test_many=TESTS)
    run = suite.run(*XDIST, "--forked", "--tx=2*popen", "--dist=each")
    calls = [report.nodeid for report in run.reports if report.when == "call"]
    assert len(calls) == 2 * (len(wanted()))
    assert "4 failed, 28 passed, 2 skipped" in run.out


MEETING = """
import pathlib, time
import pytest
HERE = pathlib.Path({folder!r})
def meet(mine, others):
    (HERE / mine).touch()
    while not all((HERE / other).exists() for other in others):
        time.sleep(0.01)
"""


def test_jobs_in_one_worker(suite: Suite) -> None:
    """Tests of one worker run at a time: these wait for each other."""
    suite.write(
        test_meeting=MEETING.format(folder=str(suite.path))
        + "def test_alice(): meet('alice', ['bob'])\ndef test_bob(): meet('bob', ['alice'])"
    )
    run = suite.run(*XDIST, "--forked", "-n1", "--fork-jobs=2", "--fork-timeout=60")
    assert run.outcomes() == {"test_alice": "passed", "test_bob": "passed"}, run.out


@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_jobs_multiply(suite: Suite, dist: str) -> None:
    """Two workers with two jobs each: four tests run at a time."""
    suite.write(
        test_meeting=MEETING.format(folder=str(suite.path))
        + """
@pytest.mark.parametrize("number", range(16))
def test_meets(number):
    (HERE / f"met-{number}").touch()
    while len(list(HERE.glob("met-*"))) < 4:
        time.sleep(0.01)
"""
    )
    run = suite.run(*XDIST, "--forked", "-n2", f"--dist={dist}", "--fork-jobs=2", "--fork-timeout=60")
    assert list(run.outcomes().values()) == ["passed"] * 16, run.out


def test_jobs_have_work_when_tests_are_long(suite: Suite) -> None:
    """A controller does not hold back tests until most of the jobs have none."""
    suite.write(
        test_meeting=MEETING.format(folder=str(suite.path))
        + """
@pytest.mark.parametrize("number", range(40))
def test_meets(number):
    time.sleep(0.1)  # pytest-xdist calls that long
    meet(f"met-{number}", [f"met-{number + 3}"] if number < 16 else [])
"""
    )
    run = suite.run(*XDIST, "--forked", "-n1", "--fork-jobs=4", "--fork-timeout=30")
    assert list(run.outcomes().values()) == ["passed"] * 40, run.out


@pytest.mark.parametrize("options", [["--dist=load"], ["--dist=loadfile"], ["--dist=worksteal"]], ids=" ".join)
def test_jobs_and_shared_fixtures(suite: Suite, options: list[str]) -> None:
    """A worker sets up a shared fixture once, and tears it down once, after its last test."""
    suite.write(
        test_shares=f"""
        import pathlib
        import pytest
        LOG = pathlib.Path({str(suite.path / "log")!r})
        def note(*words):
            with LOG.open("a") as file: print(*words, file=file)
        @pytest.fixture(scope="session", autouse=True)
        def shared(worker_id):
            note("up", worker_id)
            yield
            note("down", worker_id)
        @pytest.mark.parametrize("number", range(20))
        def test_uses(number, worker_id): note("test", worker_id)
        """
    )
    run = suite.run(*XDIST, "--forked", "-n2", "--fork-jobs=2", "--fork-share=session", *options)
    assert set(run.outcomes().values()) == {"passed"}, run.out
    log = (suite.path / "log").read_text().splitlines()
    for worker in {line.split()[1] for line in log}:
        own = [line.split()[0] for line in log if line.endswith(worker)]
        assert own == ["up", *["test"] * (len(own) - 2), "down"]
    assert sum(line.startswith("test") for line in log) == 20


def test_in_a_worker(suite: Suite) -> None:
    """Its name, its folder and a test's deadline are there."""
    suite.write(
        test_own="""
        import pytest
        def test_worker(worker_id): assert worker_id.startswith("gw")
        def test_folder(tmp_path): assert "popen-gw" in str(tmp_path)
        @pytest.mark.forked(timeout=0.5)
        def test_hangs():
            while True: pass
        """
    )
    run = suite.run(*XDIST, "--forked", "-n2", "--maxprocesses=1")
    assert run.outcomes() == {"test_worker": "passed", "test_folder": "passed", "test_hangs": "failed"}, run.out
    assert "Timeout" in run.failure("test_hangs").text
    assert "crashed" not in run.out
    assert run.code == 1


@pytest.mark.parametrize("options", [[], ["--fork-jobs=3"]], ids=" ".join)
def test_mixed(suite: Suite, options: list[str]) -> None:
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
        @pytest.mark.forked
        def test_forked_at_the_end(): pass
        """,
        test_next="def test_next(): pass  # before it, what the first file has set up is torn down",
    )
    run = suite.run(*XDIST, "-n", "1", *options)
    passing = ["test_here", "test_forked", "test_here_again", "test_last", "test_forked_at_the_end", "test_next"]
    assert run.outcomes() == dict.fromkeys(passing, "passed") | {"test_crashes": "failed"}, run.out


@pytest.mark.parametrize(("option", "failures"), [("-x", 1), ("--maxfail=3", 3)])
@pytest.mark.parametrize("options", [[], ["--fork-jobs=2"]], ids=" ".join)
def test_early_end(suite: Suite, option: str, failures: int, options: list[str]) -> None:
    """The run stops with the workers' words, and leaves no process."""
    suite.write(test_fails="import os, pytest\n@pytest.mark.parametrize('n', range(60))\ndef test_a(n): os._exit(n)")
    run = suite.run(*XDIST, "--forked", "-n2", option, *options)
    assert f"stopping after {failures} failures" in run.out
    assert len(run.outcomes()) < 60


@pytest.mark.parametrize(
    ("options", "marker", "words"),
    [
        (["--fork-preload=no_such_module"], "", ["--fork-preload no_such_module failed", "ModuleNotFoundError"]),
        ([], "timout=1", ["test_wrong.py::test_0", "no argument 'timout'"]),
        (["--fork-timeout=-1"], "", ["--fork-timeout"]),
        (["--dist=each", "--fork-preload=no_such_module"], "", ["--fork-preload"]),
        (["--fork-jobs=2", "--fork-preload=no_such_module"], "", ["--fork-preload no_such_module failed"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
@pytest.mark.parametrize("count", [1, 20])
def test_usage_errors(suite: Suite, options: list[str], marker: str, words: list[str], count: int) -> None:
    """They are said once, as without workers, and no test runs."""
    tests = "".join(f"@pytest.mark.forked({marker})\ndef test_{n}(): pass\n" for n in range(count))
    suite.write(test_wrong=f"import pytest\n{tests}")
    run = suite.run(*XDIST, "-n", "2", *options)
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    assert not run.reports
    assert "INTERNALERROR" not in run.out
    assert run.out.count("ERROR: ") == 1
    for word in words:
        assert word in run.out, run.out


def test_looponfail(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """-f runs the tests again when a file changes, those that have crashed first, until all pass."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # between two runs nothing is flushed to a file
    suite.write(test_loop="import os\ndef test_a(): pass\ndef test_b(): os.abort()")
    process = suite.start("-p", "xdist", "-p", "xdist.looponfail", "-p", "forkiso", "--forked", "-f")
    try:
        wait_for(lambda: "waiting for changes" in process.output(), "the first run ends")
        assert "SIGABRT" in process.output()
        suite.write(test_loop="import os\ndef test_a(): pass\ndef test_b(): pass  # mended")
        wait_for(lambda: process.output().count("passed") >= 2, "the second run passes")
    finally:
        process.popen.terminate()
        process.popen.wait(60)
        print(process.output())  # noqa: T201 - shown where the test fails


def environment() -> dict[str, str]:
    """Give what a worker needs that does not inherit it."""
    path = [str(Path(__file__).parents[1] / "inner_plugins"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def interpreter(folder: Path) -> Path:
    """Give a command that starts our interpreter with that: a gateway's own variables come too late for sys.path."""
    variables = " ".join(f"{name}='{value}'" for name, value in environment().items())
    script = folder / "python-elsewhere"
    script.write_text(f"#!/bin/sh\n{variables} exec '{sys.executable}' \"$@\"\n")
    script.chmod(0o755)
    return script


def copied(suite: Suite) -> list[str]:
    """Give the arguments that copy a folder to other hosts, and run the tests there."""
    return [f"--rsyncdir={suite.path}/copied", f"{suite.path}/copied"]


def test_popen(suite: Suite) -> None:
    """Interpreters that are named one by one."""
    suite.write(test_many=TESTS)
    gateway = f"popen//python={interpreter(suite.path)}"
    check(suite.run(*XDIST, "--forked", "--dist=load", f"--tx={gateway}", f"--tx={gateway}"))


def test_socket(suite: Suite) -> None:
    """A worker in a server that was started beforehand."""
    suite.write(test_many=TESTS)
    with socket_server(environment(), suite.path) as address:
        check(suite.run(*XDIST, "--forked", "--dist=load", f"--tx=socket={address}//chdir={suite.path}"))


def test_ssh(suite: Suite, tmp_path: Path) -> None:
    """Workers behind a real sshd, to which the tests are copied."""
    suite.pytester.mkdir("copied").joinpath("test_many.py").write_text(TESTS)
    with ssh_host(tmp_path, "127.0.0.1", free_port("127.0.0.1")) as config:
        gateway = f"ssh=elsewhere//ssh_config={config}//python={interpreter(tmp_path)}//chdir={tmp_path}/elsewhere"
        check(suite.run(*XDIST, "--forked", "--dist=load", f"--tx=2*{gateway}", *copied(suite)))


def test_another_host(suite: Suite, tmp_path: Path) -> None:
    """A worker here and one in a network of its own; the crash there is named here."""
    folder = suite.pytester.mkdir("copied")
    (folder / "test_many.py").write_text(TESTS)
    (folder / "test_where.py").write_text(WHERE)
    with network_namespace("forkiso") as (prefix, address), ssh_host(tmp_path, address, 2222, prefix) as config:
        python = interpreter(tmp_path)
        far = f"ssh=elsewhere//ssh_config={config}//python={python}//chdir={tmp_path}/elsewhere"
        gateways = [f"--tx={far}", f"--tx=popen//python={python}"]
        run = suite.run(*XDIST, "--forked", "--dist=load", *gateways, *copied(suite))
    networks = {
        r.section("Captured stdout call") for r in run.reports if "test_network" in r.nodeid and r.when == "call"
    }
    assert len(networks) == 2, run.out
    assert {name: run.outcomes()[name] for name in wanted()} == wanted()
