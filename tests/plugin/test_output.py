"""What a test writes, in all capture modes: where it goes, how much is kept, and that it comes live where it should."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

from helpers import wait_for

if TYPE_CHECKING:
    from inner import Suite

STREAMS = """
import logging, os, subprocess, sys
def test_print(): print("by print"); print("to stderr", file=sys.stderr); assert 0
def test_descriptor(): os.write(1, b"by descriptor\\n"); os.write(2, b"by descriptor 2\\n"); assert 0
def test_subprocess(): subprocess.run(["echo", "by a process"], check=True); assert 0
def test_log(): logging.warning("by log"); assert 0
def test_unflushed(): sys.stdout.write("no end of line"); assert 0
def test_replaced():
    sys.stdout = open(os.devnull, "w"); print("nobody sees it"); assert 0
def test_closed(): sys.stdout.close()
def test_passes(): print("of no interest")
"""

BINARY = """
import os, sys
import pytest
def test_stdout(): sys.stdout.flush(); os.write(1, b"out \\xff\\xfe\\n"); assert 0
def test_stderr(): os.write(2, b"err \\x80\\n"); assert 0
def test_crash(): os.write(1, b"crash \\xff\\xe2\\x82\\n"); os.abort()
def test_surrogate(): print("\\udcff".encode("utf-8", "surrogateescape")); assert 0
def test_null(): print("a\\0b"); assert 0, "a\\0b"
def test_passes(): os.write(1, bytes(range(256)))
"""


@pytest.mark.parametrize("mode", ["fd", "sys"])
def test_captured(suite: Suite, mode: str) -> None:
    """Sections are the same as without the plugin."""
    suite.write(test_streams=STREAMS)
    options = [f"--capture={mode}", "-k", "not closed and not subprocess" if mode == "sys" else "not closed"]
    plain = suite.plain(*options)
    assert_same(plain, suite.forked(*options))


@pytest.mark.parametrize("mode", ["no", "tee-sys"])
def test_shown_at_once(suite: Suite, mode: str) -> None:
    """Where output is shown as it comes, all of it is there, once, between the reports of its neighbours."""
    suite.write(test_streams=STREAMS)
    run = suite.forked(f"--capture={mode}", "-v", "-k", "not closed", "--tb=no", "--show-capture=no")
    for text in ("by print", "by descriptor\n", "by a process", "no end of line", "of no interest"):
        assert run.out.count(text) == 1, text
    parts = ["test_print ", "by print", "FAILED", "test_descriptor ", "by descriptor\n", "FAILED", "test_subprocess "]
    assert re.search(".*".join(parts), run.out, re.DOTALL)
    assert run.out.index("test_print ") < run.out.index("by print") < run.out.index("test_descriptor ")


def test_live(suite: Suite) -> None:
    """With -s a test's output is there while it still runs."""
    suite.write(
        test_live="""
        import pathlib, time
        def test_a():
            print("here I am", flush=True)
            while not pathlib.Path("seen").exists(): time.sleep(0.01)
        """
    )
    process = suite.start("-p", "forkiso", "--forked", "-s")
    wait_for(lambda: "here I am" in process.output(), "the output comes while the test runs")
    (suite.path / "seen").touch()
    assert process.finish().code == 0


@pytest.mark.parametrize("mode", ["fd", "sys", "no", "tee-sys"])
def test_bytes_that_are_no_text(suite: Suite, mode: str) -> None:
    """They harm nothing, on any stream, of a crash either."""
    suite.write(test_binary=BINARY)
    run = suite.forked(f"--capture={mode}")
    assert run.code == 1
    outcomes = run.outcomes()
    assert outcomes.pop("test_passes") == "passed"
    assert set(outcomes.values()) == {"failed"}, run.out
    if mode == "fd":
        assert run.failure("test_stdout").section("Captured stdout call").startswith("out ")
        assert run.failure("test_crash").section("Captured stdout call").startswith("crash ")


@pytest.mark.parametrize("ending", ["pass", "assert 0", "os.abort()"])
def test_much_output(suite: Suite, ending: str) -> None:
    """200 MB, written by a test that passes, fails or crashes, never get into the memory of pytest's own process."""
    suite.write(
        test_much=f"""
        import os
        def test_a():
            print("the first line", flush=True)
            for _ in range(200): os.write(1, b"x" * 999_999 + b"\\n")
            print("the last line", flush=True)
            {ending}
        """,
        conftest="""
        import resource
        def pytest_unconfigure():
            with open("peak", "w") as file: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=file)
        """,
    )
    run = suite.forked("-o", "fork_output_limit=1000000", "--tb=short")
    assert run.outcomes() == {"test_a": "passed" if ending == "pass" else "failed"}
    assert int((suite.path / "peak").read_text()) < 200
    assert len(run.out) < 4_000_000
    if ending != "pass":
        assert "the last line" in run.out
        assert re.search(r"\d+ bytes left out, see the ini option fork_output_limit", run.out)
    if ending == "assert 0":
        assert "the first line" in run.out


def test_huge_representations(suite: Suite) -> None:
    """A repr and a message of 20 MB are shown as ever."""
    suite.write(
        test_huge="""
        class Huge:
            def __repr__(self): return "r" * 20_000_000
        def test_repr(): assert Huge() == 1
        def test_message(): raise ValueError("m" * 20_000_000)
        """
    )
    plain, forked = suite.plain("--tb=short"), suite.forked("--tb=short")
    assert forked.outcomes() == {"test_repr": "failed", "test_message": "failed"}
    assert len(forked.failure("test_message").text) == len(plain.failure("test_message").text) > 20_000_000


LOGS = """
import logging
import pytest
@pytest.fixture
def fixture():
    logging.info("in setup")
    yield
    logging.info("in teardown")
def test_a(fixture): logging.warning("first"); logging.getLogger("own").error("second %d", 2)
def test_b(): logging.info("third"); assert 0
"""


def test_log_cli(suite: Suite) -> None:
    """Live logs are shown under each test and phase, as without the plugin."""
    suite.write(test_logs=LOGS)
    options = ["-o", "log_cli=true", "--log-cli-level=INFO", "--log-cli-format=%(name)s %(message)s"]
    plain = suite.plain(*options)
    forked = suite.forked(*options)
    assert plain.out.count("live log") == 4
    assert_same(plain, forked)


def test_text_that_a_test_leaves_in_its_line(suite: Suite) -> None:
    """What follows it in the line is aligned as without the plugin."""
    suite.write(
        test_line="""
        def test_a(pytestconfig): pytestconfig.get_terminal_writer().write("in the line")
        def test_b(pytestconfig): pytestconfig.get_terminal_writer().write("first\\nsecond")
        def test_c(): pass
        """
    )
    options = ["-v", "-s", "-o", "console_output_style=progress-even-when-capture-no"]
    assert_same(suite.plain(*options), suite.forked(*options))


@pytest.mark.parametrize("options", [[], ["--fork-jobs=2"], ["--log-file-mode=a"]], ids=" ".join)
def test_log_file(suite: Suite, options: list[str]) -> None:
    """The file has the records of all tests, none twice and none overwritten."""
    suite.write(test_logs=LOGS + "".join(f"def test_{n}(): logging.info('number {n}')\n" for n in range(20)))
    suite.forked("--log-file=all.log", "--log-file-level=INFO", "--log-file-format=%(message)s", *options)
    lines = (suite.path / "all.log").read_text().splitlines()
    wanted = ["in setup", "first", "second 2", "in teardown", "third", *(f"number {n}" for n in range(20))]
    assert sorted(line for line in lines if line.strip()) == sorted(wanted)
    if not options:
        assert [line for line in lines if line.strip()] == wanted


def test_no_tests_output_in_anothers_report(suite: Suite) -> None:
    """The files that children write to are used again and again: each report has its own test's output alone."""
    suite.write(
        test_many="""
        import pytest
        @pytest.mark.parametrize("n", range(30))
        def test_n(n):
            print("x" * (100 - n), f"<{n}>")
            if n % 3 == 0: import os; os.abort()
            assert n % 3 == 1
        """
    )
    for options in ([], ["--fork-jobs=2"]):
        run = suite.forked(*options)
        for n in range(30):
            report = run.report(f"test_n[{n}]", "call")
            assert report.section("Captured stdout call") == f"{'x' * (100 - n)} <{n}>\n"


CRASHES = """
import logging, os, sys
import pytest
@pytest.fixture
def noisy():
    print("out of setup"); logging.warning("log of setup")
    yield
    print("out of teardown"); logging.warning("log of teardown")
    if os.environ["CRASH"] == "teardown": os.abort()
def test_crash(noisy):
    print("out of call"); print("error of call", file=sys.stderr); logging.warning("log of call \\udcff")
    sys.stdout.buffer.write(b"bytes of call"); sys.stdout.buffer.flush()
    if os.environ["CRASH"] == "call": os.abort()
"""


@pytest.mark.parametrize("phase", ["call", "teardown"])
@pytest.mark.parametrize("capture", ["fd", "sys", "tee-sys"])
def test_what_a_crash_leaves(suite: Suite, phase: str, capture: str) -> None:
    """Each phase's output and log records are in sections of their own, those of the phase that crashed too."""
    suite.write(test_crash=CRASHES)
    suite.environment["CRASH"] = phase
    run = suite.forked(f"--capture={capture}")
    report = run.report("test_crash", phase)
    wanted = {"stdout setup": "out of setup", "log setup": "log of setup", "stderr call": "error of call"}
    wanted |= {"stdout call": "out of call", "log call": "log of call"}
    if phase == "teardown":
        wanted |= {"stdout teardown": "out of teardown", "log teardown": "log of teardown"}
    assert {name for name, _ in report.sections} == {f"Captured {name}" for name in wanted}
    for name, words in wanted.items():
        text = report.section(f"Captured {name}")
        assert words in text
        assert text.count(" of ") == (2 if name == "stdout call" else 1), (name, text)
    assert "bytes of call" in report.section("Captured stdout call")


def test_the_log_of_a_timeout(suite: Suite) -> None:
    """What a test has logged before its deadline is in the report."""
    suite.write(test_hang="import logging, time\ndef test_hang(): logging.warning('before'); time.sleep(1000)")
    report = suite.forked("--fork-timeout=1").report("test_hang", "call")
    assert "before" in report.section("Captured log call")


def test_the_log_of_a_crash_after_the_last_report(suite: Suite) -> None:
    """It has been reported, and is not repeated."""
    suite.write(
        test_log="""
        import logging, pytest
        @pytest.fixture(autouse=True)
        def fixture(): yield; logging.warning("once")
        def test_log(): pass
        """,
    )
    suite.write(
        conftest="""
        import os, pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol():
            yield
            os.abort()
        """
    )
    crash = suite.forked().failure("test_log")
    assert "SIGABRT" in crash.text
    assert str(crash.sections).count("once") == 1


def test_writing_replaced(suite: Suite) -> None:
    """A test that puts something in place of `os.write` prints and logs as ever."""
    suite.write(
        test_write="""
        import logging, os
        def broken(*args): raise RuntimeError("replaced by a test")
        def test_write(): os.write = os.lseek = broken; print("printed"); logging.warning("logged")
        """
    )
    for capture in ("fd", "sys", "tee-sys"):
        assert suite.forked(f"--capture={capture}").outcomes() == {"test_write": "passed"}


@pytest.mark.parametrize("source", ["fork", "exec", "early", "bare"])
@pytest.mark.parametrize("arguments", [(), ("-s",), ("--capture=sys",), ("-s", "-p", "xdist", "-n1")], ids=" ".join)
def test_what_is_written_before_the_tests(suite: Suite, source: str, arguments: tuple[str, ...]) -> None:
    """It is shown as often as without forks, whichever processes load the project as well; and so is what follows."""
    suite.write(
        conftest="""
        import os, sys
        print("from conftest"); print("error of conftest", file=sys.stderr); os.write(1, b"bytes of conftest\\n")
        def pytest_configure(): print("from configure")
        def pytest_sessionstart(): print("from sessionstart", file=sys.stderr)
        def pytest_collection_modifyitems(): os.write(2, b"from modifyitems\\n")
        def pytest_runtest_setup(item): print("setup of", item.name)
        def pytest_runtest_logreport(report): os.write(1, f"report of {report.when}\\n".encode())
        """,
        test_a="print('from test_a')\ndef test_1(): print('in a test')\ndef test_2(): print('in a test'); assert 0",
        test_b="""
        import threading
        print("from test_b")
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        def test_3(): pass
        def test_4(): pass
        """
        if source == "bare"
        else "print('from test_b')\ndef test_3(): pass\ndef test_4(): pass",
    )
    plain, forked = suite.plain(*arguments), suite.forked("--fork-template", source, *arguments)
    words = r"(?:from|error of|bytes of|setup of|report of|in a) \w+"
    assert Counter(re.findall(words, forked.out)) == Counter(re.findall(words, plain.out)), forked.out
