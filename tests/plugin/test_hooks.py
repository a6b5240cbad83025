"""Hooks: our own, and those of others: what is called where, and how often."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

LOGGING_CONFTEST = """
import os
import pytest

MAIN = os.getpid()

def note(*words):
    with open("calls", "a") as file: print("parent" if os.getpid() == MAIN else "child", *words, file=file)

def pytest_runtest_logstart(nodeid): note("logstart", nodeid.partition("::")[2])
def pytest_runtest_logfinish(nodeid): note("logfinish", nodeid.partition("::")[2])
def pytest_runtest_logreport(report): note("logreport", report.nodeid.partition("::")[2], report.when)
def pytest_warning_recorded(warning_message, nodeid): note("warning", warning_message.message)
def pytest_sessionstart(): note("sessionstart")
def pytest_sessionfinish(): note("sessionfinish")
def pytest_unconfigure(): note("unconfigure")
def pytest_exception_interact(node): note("interact", node.name)
def pytest_internalerror(excrepr): note("internalerror")
def pytest_runtest_setup(item): note("setup", item.name)
def pytest_runtest_teardown(item): note("teardown", item.name)
def pytest_fixture_setup(fixturedef): note("fixture", fixturedef.argname)
@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    note("protocol", item.name)
    try: return (yield)
    finally: note("protocol-end", item.name)
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    note("call", item.name)
    yield
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    note("makereport", item.name, call.when)
    return report
@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    note("pyfunc", pyfuncitem.name)
    return (yield)
def pytest_assertrepr_compare(): note("assertrepr")
"""

TESTS = """
import warnings
import pytest
@pytest.fixture
def fixture(): return 1
def test_a(fixture): warnings.warn("once")
def test_b(): assert 1 == 2
@pytest.mark.skip
def test_c(): pass
"""

IN_PARENT = {"logstart", "logfinish", "logreport", "warning", "sessionstart", "sessionfinish", "unconfigure"}
IN_CHILD = {
    "setup",
    "teardown",
    "fixture",
    "protocol",
    "protocol-end",
    "call",
    "makereport",
    "pyfunc",
    "assertrepr",
    "interact",
}


def test_each_hook_is_called_once_and_in_its_place(suite: Suite) -> None:
    """Reports, starts, ends and warnings in pytest's own process; wrappers of a test around it, in its child."""
    suite.write(conftest=LOGGING_CONFTEST, test_hooks=TESTS)
    calls = suite.path / "calls"
    suite.plain()
    plain = collections.Counter(line.partition(" ")[2] for line in calls.read_text().splitlines())
    calls.unlink()
    suite.forked()
    lines = [line.partition(" ") for line in calls.read_text().splitlines()]
    assert {words.split()[0] for where, _, words in lines if where == "parent"} == IN_PARENT
    assert {words.split()[0] for where, _, words in lines if where == "child"} == IN_CHILD
    assert collections.Counter(words for _, _, words in lines) == plain


INTERACTING_CONFTEST = """
import pytest

class Refused(Exception): pass

class CheckItem(pytest.Item):
    def runtest(self): raise Refused("2 mistakes")
    def reportinfo(self): return self.path, 0, "check"

class CheckFile(pytest.File):
    def collect(self): yield CheckItem.from_parent(self, name="check")

def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".check": return CheckFile.from_parent(parent, path=file_path)

def pytest_exception_interact(node, call, report):
    if isinstance(call.excinfo.value, Refused):
        report.longrepr = str(call.excinfo.value)
    report.sections.append(("Seen", "x" * 50_000))
    report.user_properties.append(("seen", report.when))
"""


@pytest.mark.parametrize(
    "ways", [[], ["--fork-jobs=3"], ["--fork-share=module"], ["--fork-template=exec"]], ids=" ".join
)
def test_a_failure_that_is_changed_after_it_was_reported(suite: Suite, ways: list[str]) -> None:
    """What pytest_exception_interact puts in a report is shown, as linters do it; the rest stands."""
    suite.write(
        conftest=INTERACTING_CONFTEST,
        test_changed="""
        import pytest
        @pytest.fixture(scope="module")
        def resource():
            yield 1
            assert 0, "at the end"
        def test_passes(resource): pass
        def test_fails(resource): assert 1 == 2
        """,
    )
    (suite.path / "it.check").write_text("")
    options = ["-o", "fork_output_limit=1000"]
    plain, forked = suite.plain(), suite.forked(*options, *ways)
    for text in ("\n2 mistakes\n", "def test_fails(resource): assert 1 == 2", "AssertionError: at the end"):
        assert text in plain.out
        assert text in forked.out
    assert "Refused" not in forked.out
    if ways == ["--fork-share=module"]:
        return
    assert plain.out.count("---- Seen ----") == 3
    assert forked.out.count("---- Seen ----") == 4  # the fixture is torn down for each test
    assert forked.out.count("49000 characters left out") == 4


def test_own_hooks(suite: Suite) -> None:
    """Template ready: once, in the template; child started: in each child, before its setup; child ended: here."""
    suite.write(
        conftest="""
        import os
        import pytest
        MAIN = os.getpid()
        def note(*words):
            with open("calls", "a") as file: print(*words, file=file)
        def pytest_forkiso_template_ready(config):
            global TEMPLATE; TEMPLATE = os.getpid()
            assert TEMPLATE != MAIN and config.getoption("forked")
            note("ready")
        def pytest_forkiso_child_started(item):
            assert os.getpid() not in (MAIN, TEMPLATE) and os.getppid() == TEMPLATE
            note("started", item.name); item.config.started = item.name
        def pytest_forkiso_child_ended(config, nodeid, status):
            assert os.getpid() == MAIN
            note("ended", nodeid.partition("::")[2], status.code, status.signal, status.usage.max_rss_bytes > 0)
        """,
        test_own="""
        import os
        def test_a(request): assert request.config.started == "test_a"
        def test_b(): os._exit(7)
        def test_c(): os.kill(os.getpid(), 9)
        """,
    )
    run = suite.forked()
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed", "test_c": "failed"}
    lines = (suite.path / "calls").read_text().splitlines()
    assert lines[0] == "ready"
    assert lines.count("ready") == 1
    assert [line for line in lines if line.startswith("started")] == [
        "started test_a",
        "started test_b",
        "started test_c",
    ]
    ended = sorted(line for line in lines if line.startswith("ended"))
    assert ended == ["ended test_a 0 None True", "ended test_b 7 None True", "ended test_c None 9 True"]


@pytest.mark.parametrize("hook", ["pytest_forkiso_child_started(item)", "pytest_forkiso_template_ready(config)"])
def test_an_own_hook_that_fails(suite: Suite, hook: str) -> None:
    """An exception there ends the run, with its traceback, and no test has passed."""
    suite.write(conftest=f"def {hook}: raise ZeroDivisionError('in the hook')", test_a="def test_a(): pass")
    run = suite.forked()
    assert run.code not in (0, 1)
    assert "ZeroDivisionError: in the hook" in run.out
    assert "passed" not in run.outcomes().values()


def test_a_plugin_that_fails_in_a_child(suite: Suite) -> None:
    """An internal error there is an internal error of the run, shown with its traceback, as without the plugin."""
    suite.write(
        conftest="""
        def pytest_runtest_protocol(item):
            if item.name == "test_b": raise ZeroDivisionError("in a plugin")
        """,
        test_a="def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass",
    )
    plain, forked = suite.plain(), suite.forked()
    assert "ZeroDivisionError: in a plugin" in forked.out
    assert "INTERNALERROR" in forked.out
    assert (forked.code, forked.outcomes()) == (plain.code, plain.outcomes())


def test_reports_changed_by_plugins(suite: Suite) -> None:
    """What makereport adds to a report in the child arrives: attributes, sections, outcomes, another category."""
    suite.write(
        conftest="""
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if call.when == "call":
                report.own = {"marks": [mark.name for mark in item.iter_markers()]}
                report.sections.append(("Own section", "text"))
                if item.name == "test_turned": report.outcome = "failed"; report.longrepr = "turned by a plugin"
            return report
        def pytest_report_teststatus(report):
            if report.when == "call" and report.own["marks"] == ["special"]: return "special", "S", "SPECIAL"
        def pytest_runtest_logreport(report):
            if report.when == "call": print("own:", report.own)
        """,
        test_reports="""
        import pytest
        @pytest.mark.special
        def test_special(): pass
        def test_turned(): pass
        """,
    )
    plain, forked = suite.plain("-s"), suite.forked("-s")
    assert forked.outcomes() == plain.outcomes() == {"test_special": "special", "test_turned": "failed"}
    assert forked.out.count("own: {'marks': ['special']}") == 1
    assert "turned by a plugin" in forked.out
    assert ["Own section", "text"] in forked.report("test_special", "call").sections


LOOPS = {
    "that prepares something": """
        def pytest_runtestloop(session):
            note("prepared")
        """,
    "that runs the tests twice": """
        def pytest_runtestloop(session):
            note("own loop")
            for _ in range(2):
                for item, following in zip(session.items, [*session.items[1:], None]):
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    if session.shouldfail: raise session.Failed(session.shouldfail)
            return True
        """,
    "that a wrapper is around": """
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtestloop():
            note("before")
            try:
                return (yield)
            finally: note("after")
        """,
}


@pytest.mark.parametrize(
    ("loop", "noted", "times"),
    [
        ("that prepares something", "prepared", 1),
        ("that runs the tests twice", "own loop", 2),
        ("that a wrapper is around", "after", 1),
    ],
)
@pytest.mark.parametrize("source", ["fork", "exec", "bare"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_loop_of_a_plugin(suite: Suite, loop: str, noted: str, times: int, *, source: str, jobs: str) -> None:
    """It is called in pytest's own process, once, and where it runs the tests itself, each of these is forked."""
    suite.write(
        looping="def note(word):\n    with open('notes', 'a') as file: print(word, file=file)\n"
        + "\n".join(line[8:] for line in LOOPS[loop].splitlines()),
        test_it="""
        import os, pytest
        state = []
        @pytest.fixture(scope="module")
        def wide():
            yield
            with open("ended", "a") as file: print(os.getpid(), file=file)
        @pytest.mark.forked
        def test_1():
            assert not state
            state.append(1)
        @pytest.mark.forked
        def test_2(wide): assert not state
        def test_here(wide): pass
        @pytest.mark.forked
        def test_3(wide): assert state
        """,
    )
    run = suite.run("-p", "forkiso", "-p", "looping", "--fork-template", source, "--fork-jobs", jobs)
    # Wrappers are called in templates that collect as well, around each test.
    assert (suite.path / "notes").read_text().splitlines().count(noted) == 1, run.out
    outcomes = [report.outcome for report in run.reports if report.when == "call"]
    assert outcomes == ["passed", "passed", "passed", "failed"] * times, run.out
    ended = (suite.path / "ended").read_text().split()
    assert (len(ended), len(set(ended))) == (3 * times, 2 * times + 1)


@pytest.mark.parametrize("option", ["-x", "--maxfail=2"])
def test_a_loop_of_a_plugin_that_is_to_stop(suite: Suite, option: str) -> None:
    """It stops where it would without forks."""
    looping = "def note(word): pass\n" + "\n".join(line[8:] for line in LOOPS["that runs the tests twice"].splitlines())
    suite.write(looping=looping, test_it="def test_1(): pass\ndef test_2(): assert 0\ndef test_3(): pass")
    plain, forked = suite.plain("-p", "looping", option), suite.forked("-p", "looping", option)
    assert [(each.nodeid, each.when) for each in forked.reports] == [(each.nodeid, each.when) for each in plain.reports]
    assert forked.code == plain.code
