"""Templates of test files, with a bare template: a file that makes no hazard does not pay for one that does."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from helpers import wait_for

if TYPE_CHECKING:
    from inner import Run, Suite

BEGIN = """
import os, pathlib, signal, sys, threading
import pytest

def note(word):
    with open("notes", "a") as file: print(word, file=file)

note(f"{__name__} {os.getpid()}")
own = os.getpid()
"""
START = 'threading.Thread(target=threading.Event().wait, name="heart", daemon=True).start()\n'
SHORT = """
end = threading.Event()
short = threading.Thread(target=end.wait, name="short")
short.start()
def pytest_pycollect_makemodule():
    end.set()
    short.join()
"""
FORKED = """
@pytest.mark.parametrize("n", range(3))
def test_it(n):
    assert os.getpid() != own
    assert threading.active_count() == 1
    note(f"{__name__} ran below {os.getppid()}")
"""
ALONE = """
@pytest.mark.parametrize("n", range(3))
def test_it(n):
    assert os.getpid() == own
    assert [thread.name for thread in threading.enumerate()] == ["MainThread", "heart"]
"""


def loads(suite: Suite) -> Counter[str]:
    """Count the processes that have loaded each module."""
    pairs = {tuple(line.split()) for line in (suite.path / "notes").read_text().splitlines()}
    return Counter(pair[0] for pair in pairs if len(pair) == 2)


def parents(suite: Suite, module: str) -> set[str]:
    """Give the process ids of the templates that tests of a module have run from."""
    words = [line.split() for line in (suite.path / "notes").read_text().splitlines()]
    return {line[-1] for line in words if line[:2] == [module, "ran"]}


def made(run: Run) -> int:
    """Give how many templates of files there were."""
    for word in run.out.split(", "):
        if word.partition(" ")[2].startswith(("template of a file", "templates of files")):
            return int(word.partition(" ")[0])
    return 0


@pytest.mark.parametrize("arguments", [(), ("--fork-jobs=3",), ("-p", "xdist", "-n1"), ("--fork-template=bare",)])
def test_a_file_with_a_thread_and_others(suite: Suite, arguments: tuple[str, ...]) -> None:
    """The thread is alive in each test of its file, which loads it; the other files are loaded once."""
    suite.write(
        test_a=BEGIN + FORKED, test_b=BEGIN + START + ALONE, test_c=BEGIN + FORKED, test_d=BEGIN + "def test_it(): pass"
    )
    run = suite.forked("-v", *arguments)
    assert run.code == 0, run.out
    assert made(run) == 2
    # pytest's own process or a worker, the file's template, and each test that has to.
    assert loads(suite) == {"test_a": 1 + 1, "test_b": 1 + 1 + 3, "test_c": 1 + 1, "test_d": 1 + 1}
    assert len(parents(suite, "test_a") | parents(suite, "test_c")) == 2
    line = (
        "forkiso: each test of test_b.py has loaded its file by itself, because a fork would not have these threads: "
    )
    assert f"{line}'heart' (" in run.out
    assert "has loaded its file by itself" not in suite.forked(*arguments).out


def test_what_all_files_load_makes_the_hazard(suite: Suite) -> None:
    """One file is enough to see that none can have a template."""
    suite.write(
        conftest=BEGIN + START,
        test_a=BEGIN + "def test_1(): pass\ndef test_2(): pass",
        test_b=BEGIN + "def test_1(): pass\ndef test_2(): pass",
    )
    run = suite.forked("-v")
    assert run.code == 0, run.out
    assert made(run) == 0
    assert loads(suite) == {"conftest": 1 + 1 + 4, "test_a": 1 + 2, "test_b": 1 + 2}
    assert "has loaded its file by itself" not in run.out  # the header says so


HOOK = """
import threading
def pytest_forkiso_template_ready():
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


SECOND = "if pathlib.Path('notes').read_text().count('test_a') == 2: "
"""Pytest's own process is the first that loads the file."""
CONNECTION = """
import socket
server = socket.create_server(("127.0.0.1", 0))
link = socket.create_connection(server.getsockname())
"""


@pytest.mark.parametrize("hazard", [START, CONNECTION], ids=["thread", "connection"])
def test_what_a_folder_loads_makes_the_hazard(suite: Suite, hazard: str) -> None:
    """One file below it is enough to see that none there can have a template; the others have theirs."""
    tests = BEGIN + "def test_1(): pass\ndef test_2(): pass"
    suite.write(
        **{"sub/conftest": BEGIN + hazard, "sub/deeper/conftest": "", "sub/deeper/test_a": tests},
        **{"sub/test_b": tests, "sub/test_c": tests, "test_d": tests},
    )
    run = suite.forked("-v", "--fork-template=bare")
    assert run.code == 0, run.out
    assert made(run) == 1
    found = loads(suite)
    assert found["test_a"] == 1 + 1 + 2  # pytest's own process, the template in vain, each test
    assert found["test_b"] == found["test_c"] == 1 + 2
    assert found["test_d"] == 1 + 1
    files = "sub/deeper/test_a.py, sub/test_b.py, sub/test_c.py"
    assert f"forkiso: each test of {files} has loaded its file by itself, because " in run.out


def test_what_a_file_adds_to_the_hazard_of_its_folder(suite: Suite) -> None:
    """It is not taken for the folder's, which the next file tells."""
    tests = BEGIN + "def test_1(): pass\ndef test_2(): pass\n"
    suite.write(
        **{"sub/conftest": BEGIN + SHORT, "sub/test_a": tests + START, "sub/test_b": tests, "sub/test_c": tests}
    )
    run = suite.forked("-v", "--fork-template=bare")
    assert run.code == 0, run.out
    assert loads(suite)["test_a"] == 1 + 1 + 2
    assert loads(suite)["test_b"] == loads(suite)["test_c"] == 1 + 1
    assert made(run) == 2


@pytest.mark.parametrize(
    ("conftest", "test_a", "words"),
    [
        ("", SECOND + "os._exit(3)", "has ended the process"),
        ("", SECOND + "os.abort()", "has ended the process"),
        ("", SECOND + "raise OSError", "it could not be collected"),
        ("", SECOND + "pytest.exit('no')", "it could not be collected"),
        ("", SECOND + "test_2 = None", "it has no test_a.py::test_2"),
        ("", CONNECTION, "tests would share the connection to 127.0.0.1:"),
        (HOOK, "", "RuntimeError: no child would have these threads: "),
    ],
)
def test_a_file_that_is_not_fit(suite: Suite, conftest: str, test_a: str, words: str) -> None:
    """Each of its tests loads it, and they pass; the end of the run says why under -v."""
    tests = "def test_1(): assert os.getpid() == own\n"
    source = BEGIN + tests + "def test_2(): assert os.getpid() == own\n" + test_a
    suite.write(conftest=conftest, test_a=source)
    run = suite.forked("-v", "--fork-template=bare")
    assert run.outcomes() == {"test_1": "passed", "test_2": "passed"}, run.out
    assert made(run) == 0
    assert loads(suite) == {"test_a": 4}
    assert words in run.out


def test_what_the_collection_starts(suite: Suite) -> None:
    """A program that a file starts when it is loaded belongs to each test; that of the template is ended with it."""
    suite.write(
        test_a=BEGIN
        + "import subprocess\n"
        + "program = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        + "import atexit\natexit.register(program.wait)\natexit.register(program.kill)\n"
        + "def test_1(): assert program.poll() is None\ndef test_2(): assert program.poll() is None"
    )
    run = suite.forked("-v", "--fork-template=bare")
    assert run.outcomes() == {"test_1": "passed", "test_2": "passed"}, run.out
    assert made(run) == 0
    assert "because it has started " in run.out


def test_a_template_that_a_test_ends(suite: Suite) -> None:
    """It costs that test; those after it have a new one."""
    tests = """
def test_1(): note(f"{__name__} ran below {os.getppid()}")
def test_2():
    os.kill(os.getppid(), signal.SIGKILL)
    threading.Event().wait()
def test_3(): note(f"{__name__} ran below {os.getppid()}")
def test_4(): note(f"{__name__} ran below {os.getppid()}")
"""
    suite.write(test_a=BEGIN + tests)
    run = suite.forked("--fork-template=bare")
    assert run.outcomes() == {"test_1": "passed", "test_2": "failed", "test_3": "passed", "test_4": "passed"}, run.out
    assert "the template of this test's process was ended by SIGKILL" in run.failure("test_2").text
    assert made(run) == 2
    assert len(parents(suite, "test_a")) == 2


def test_the_bare_template_ends(suite: Suite) -> None:
    """Another one is made, and templates of files from that."""
    tests = """
def parent(pid): return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
def test_1():
    os.kill(parent(os.getppid()), signal.SIGKILL)
    note("test_a killed it")
def test_2(): pass
def test_3(): pass
"""
    suite.write(test_a=BEGIN + tests, test_b=BEGIN + FORKED)
    run = suite.forked("--fork-template=bare")
    assert run.code == 0, run.out
    assert "forkiso: a template was ended by SIGKILL" in run.out
    assert "test_a killed it" in (suite.path / "notes").read_text()


def test_children_that_show_no_life(suite: Suite) -> None:
    """A lock that is held in the template of a file is not held in a child that loads the file."""
    handler = """
lock = threading.Lock()
lock.acquire()
def wait_for_the_lock(): lock.acquire()
if hasattr(sys, "_getframe") and "pytest_forkiso._file_session" in sys.modules and sys.argv[0]:
    os.register_at_fork(after_in_child=wait_for_the_lock)
def test_1(): assert os.getpid() == own
def test_2(): assert os.getpid() == own
"""
    suite.write(test_a=BEGIN + handler)
    run = suite.forked("-v", "--fork-template=bare", "-o", "fork_alive_timeout=3")
    assert run.outcomes() == {"test_1": "passed", "test_2": "passed"}, run.out
    assert "has loaded its file by itself, because Timeout: the test's process was not alive 3 s after its" in run.out


def test_a_collection_that_hangs(suite: Suite) -> None:
    """It has as much time as a test."""
    hang = "if pathlib.Path('notes').read_text().count('test_a') == 2: threading.Event().wait()\n"
    suite.write(test_a=BEGIN + hang + "def test_1(): pass\ndef test_2(): pass")
    run = suite.forked("-v", "--fork-template=bare", "--fork-timeout=5")
    assert run.outcomes() == {"test_1": "passed", "test_2": "passed"}, run.out
    assert "because its collection takes longer than a test may" in run.out


def test_tests_in_any_order(suite: Suite) -> None:
    """Where the tests of a file do not follow each other, it has no template."""
    suite.write(
        conftest="""
            def pytest_collection_modifyitems(items): items.sort(key=lambda item: item.name)
        """,
        test_a=BEGIN + "def test_1(): pass\ndef test_3(): pass\ndef test_5(): pass",
        test_b=BEGIN + "def test_2(): pass\ndef test_4(): pass\ndef test_6(): pass",
    )
    run = suite.forked("--fork-template=bare")
    assert run.code == 0, run.out
    assert made(run) == 0
    assert loads(suite) == {"test_a": 4, "test_b": 4}


def test_among_tests_that_are_not_forked(suite: Suite) -> None:
    """They run in pytest's own process; the forked ones before and after them have one template."""
    tests = """
@pytest.mark.forked
def test_1(): note(f"{__name__} ran below {os.getppid()}")
def test_2(): assert os.getpid() == own
@pytest.mark.forked
def test_3(): note(f"{__name__} ran below {os.getppid()}")
"""
    suite.write(test_a=BEGIN + tests)
    run = suite.run("-p", "forkiso", "--fork-template=bare")
    assert run.code == 0, run.out
    assert len(parents(suite, "test_a")) == 1


def test_what_is_called_in_it(suite: Suite) -> None:
    """The hook for templates, once; session hooks before it, and none of them in a test's process."""
    conftest = """
        import os
        calls = []
        def pytest_configure(config): calls.append(("configure", os.getpid(), hasattr(config, "workerinput")))
        def pytest_sessionstart(session): calls.append(("start", os.getpid()))
        def pytest_forkiso_template_ready(config): calls.append(("ready", os.getpid(), hasattr(config, "workerinput")))
    """
    tests = """
import conftest
def test_1():
    template = os.getppid()
    assert conftest.calls == [("configure", template, True), ("start", template), ("ready", template, False)]
    assert sys.argv[1:] and pathlib.Path(sys.argv[0]).name == "-c"
def test_2(): test_1()
"""
    suite.write(conftest=conftest, test_a=BEGIN + tests)
    run = suite.forked("--fork-template=bare")
    assert run.code == 0, run.out


def test_reruns(suite: Suite) -> None:
    """An attempt after the first starts as clean as that, from the same template."""
    tests = """
state = []
@pytest.mark.flaky(reruns=2)
@pytest.mark.parametrize("n", range(2))
def test_it(n):
    note(f"{__name__} ran below {os.getppid()}")
    assert not state
    state.append(n)
    assert (os.path.exists("second") or os.mkdir("second")) and n == 0
"""
    suite.write(test_a=BEGIN + tests)
    run = suite.forked("--fork-template=bare", "-p", "pytest_rerunfailures")
    assert run.outcomes() == {"test_it[0]": "rerun+passed", "test_it[1]": "rerun+rerun+failed"}, run.out
    assert len(parents(suite, "test_a")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("source", ["exec", "early", "bare"])
def test_the_run_ends_while_a_template_collects(suite: Suite, source: str, number: signal.Signals) -> None:
    """The template ends with it, though it is in the middle of the project's code."""
    hang = "if 'inner' in sys.modules:\n    note('it collects')\n    threading.Event().wait()\n"
    suite.write(
        conftest="""
        import sys
        def pytest_configure(config):
            if hasattr(config, "workerinput"): sys.modules["inner"] = sys
        """,
        test_a=BEGIN + hang + "def test_1(): pass\ndef test_2(): pass",
    )
    process = suite.start("-p", "forkiso", "--forked", "--fork-template", source)
    notes = suite.path / "notes"
    wait_for(lambda: notes.exists() and "it collects" in notes.read_text(), "the template collects")
    os.kill(process.pid, number)
    code = pytest.ExitCode.INTERRUPTED if number == signal.SIGINT else -number
    assert process.finish().code == code
    wait_for(lambda: not suite.processes(), "nothing is left")
