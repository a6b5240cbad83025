"""At a real terminal: debuggers, -s, Ctrl-C, and the terminal is given back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from inner_terminal import terminal

from helpers import wait_for

if TYPE_CHECKING:
    from inner import Suite

PROMPT = r"\(Pdb\) "

TESTS = """
import pytest

@pytest.fixture
def fixture():
    yield
    open("torn_down", "w").close()

def test_a(fixture):
    value = 41
    {statement}
    assert value == 42

def test_b(): pass
"""


@pytest.mark.parametrize("statement", ["breakpoint()", "import pdb; pdb.set_trace()", "pytest.set_trace()"])
@pytest.mark.parametrize("options", [[], ["-s"]], ids=" ".join)
def test_breakpoint(suite: Suite, statement: str, options: list[str]) -> None:
    """The user looks at variables, changes them and goes on; the test passes with the changed value."""
    suite.write(test_debug=TESTS.format(statement=statement))
    with terminal(suite, "-p", "forkiso", "--forked", *options) as user:
        user.expect(PROMPT)
        user.type("p value + 1000\n")
        user.expect("1041")
        user.expect(PROMPT)
        user.type("value = 42\n")
        user.expect(PROMPT)
        user.type("c\n")
        user.expect("2 passed")
        assert user.finish().code == 0
    assert (suite.path / "torn_down").exists()


def test_breakpoint_in_a_shared_set_up(suite: Suite) -> None:
    """Whoever debugs it has as much time as he needs; what it does after that is limited as ever."""
    suite.write(
        test_debug="""
        import threading, time
        import pytest
        @pytest.fixture(scope="session")
        def fixture():
            breakpoint()
            threading.Event().wait()
        def test_it(fixture): pass
        """
    )
    with terminal(suite, "-p", "forkiso", "--forked", "--fork-share=session", "--fork-timeout=2") as user:
        user.expect(PROMPT)
        user.type("time.sleep(2.5)\n")
        user.expect(PROMPT)
        user.type("p 1000 + 41\n")
        user.expect("1041")
        user.expect(PROMPT)
        user.type("c\n")
        user.expect("Timeout: set-up of the fixture 'fixture' was ended, since it took longer than 2 s")
        user.expect("1 error")
        assert user.finish().code == 1


def test_pdb_after_a_failure(suite: Suite) -> None:
    """--pdb stops at the failing line, in the test's own process."""
    suite.write(test_debug=TESTS.format(statement=""))
    with terminal(suite, "-p", "forkiso", "--forked", "--pdb") as user:
        user.expect("assert value == 42|assert 41 == 42")
        user.expect("entering PDB")
        user.expect(PROMPT)
        user.type("p value + 1000\n")
        user.expect("1041")
        user.expect(PROMPT)
        user.type("c\n")
        user.expect("1 failed, 1 passed")
        assert user.finish().code == 1


def test_trace(suite: Suite) -> None:
    """--trace stops at the start of each test."""
    suite.write(test_debug="def test_a():\n    value = 1\n    assert value\ndef test_b(): pass")
    with terminal(suite, "-p", "forkiso", "--forked", "--trace") as user:
        user.expect(PROMPT)
        user.type("n\n")
        user.expect("assert value")
        user.expect(PROMPT)
        user.type("c\n")
        user.expect(PROMPT)
        user.type("c\n")
        user.expect("2 passed")
        assert user.finish().code == 0


def test_quitting_the_debugger(suite: Suite) -> None:
    """`q` ends the run as it does in plain pytest: with its summary, and without the tests that follow."""
    suite.write(test_debug=TESTS.format(statement="breakpoint()"))
    with terminal(suite, "-p", "forkiso", "--forked") as user:
        user.expect(PROMPT)
        user.type("q\n")
        user.expect("Exit: Quitting debugger")
        run = user.finish()
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert "test_b" not in run.outcomes()


def test_a_debugger_stops_the_clock(suite: Suite) -> None:
    """While the user thinks, the deadline stands still; afterwards it goes on."""
    suite.write(
        test_debug="""
        import threading
        def test_a():
            breakpoint()
            threading.Event().wait()
        """
    )
    with terminal(suite, "-p", "forkiso", "--forked", "--fork-timeout=1") as user:
        user.expect(PROMPT)
        user.type("import time; time.sleep(1.5)\n")
        user.expect(PROMPT)
        user.type("c\n")
        user.expect("1 failed")
        run = user.finish()
    assert "Timeout" in run.failure("test_a").text


def test_reading_from_the_terminal(suite: Suite) -> None:
    """With -s a test may ask the user."""
    suite.write(
        test_ask="def test_a(): assert input('your name? ') == 'me'\ndef test_b(): assert input('again? ') == 'me'"
    )
    with terminal(suite, "-p", "forkiso", "--forked", "-s") as user:
        for question in ("your name", "again"):
            user.expect(question)
            user.type("me\n")
        user.expect("2 passed")
        assert user.finish().code == 0


@pytest.mark.parametrize("options", [[], ["-s"]], ids=" ".join)
def test_ctrl_c_at_a_terminal(suite: Suite, options: list[str]) -> None:
    """The running test is torn down, the summary comes."""
    suite.write(
        test_waits="""
        import pathlib, threading
        import pytest
        @pytest.fixture
        def fixture():
            yield
            pathlib.Path("torn_down").touch()
        def test_a(): pass
        def test_b(fixture): pathlib.Path("waits").touch(); threading.Event().wait()
        """
    )
    with terminal(suite, "-p", "forkiso", "--forked", *options) as user:
        wait_for((suite.path / "waits").exists, "the test runs")
        user.type("\x03")
        user.expect("KeyboardInterrupt")
        user.expect("1 passed")
        assert user.finish().code == pytest.ExitCode.INTERRUPTED
    assert (suite.path / "torn_down").exists()


def test_colours_and_size(suite: Suite) -> None:
    """What is shown of a failure has the terminal's colours, as without the plugin."""
    suite.write(test_red="def test_a():\n    assert {'a': 1} == {'a': 2}")
    texts = []
    for options in (["-p", "no:forkiso"], ["-p", "forkiso", "--forked"]):
        with terminal(suite, *options) as user:
            user.expect("1 failed")
            user.finish()
            failure = user.raw.replace("\r", "").partition("FAILURES")[2]
            texts.append(re.split("short test summary|forkiso: ", failure)[0])
    plain, forked = texts
    assert "\x1b[" in plain
    assert forked.splitlines()[:-1] == plain.splitlines()[: len(forked.splitlines()) - 1]
    assert "test_red.py" in forked


@pytest.mark.parametrize("source", ["exec", "early", "bare"])
def test_colours_of_other_templates(suite: Suite, source: str) -> None:
    """Differences and logs have the colours of the terminal where they come from a process that collects by itself."""
    suite.write(
        test_red="""
        import logging
        def test_a(pytestconfig):
            logging.getLogger().error("logged")
            assert pytestconfig.option.color == "auto"
            assert {'a': 1} == {'a': 2}
        def test_b(): pass
        """
    )
    suite.environment["PYTHONHASHSEED"] = "0"  # pytest has colours and boldness of logs in a set
    shown = []
    for template in ("fork", source):
        with terminal(suite, "-p", "forkiso", "--forked", "--fork-template", template) as screen:
            assert screen.finish().code == 1
            failure = re.sub("0x[0-9a-f]+", "0x", screen.raw.partition("FAILURES")[2])
            shown.append(re.split("short test summary|forkiso: ", failure)[0])
    assert "\x1b[" in shown[0]
    assert shown[1] == shown[0]


def test_a_debugger_that_stops_a_collection(suite: Suite) -> None:
    """It is seen in pytest's own process, and in that of each test."""
    suite.write(test_debug="breakpoint()\ndef test_a(): pass\ndef test_b(): pass")
    with terminal(suite, "-p", "forkiso", "--forked", "--fork-template=bare") as screen:
        for _ in range(3):
            screen.expect(r"\(Pdb\)")
            screen.type("continue\n")
        assert screen.finish().code == 0, screen.text
