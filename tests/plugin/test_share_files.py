"""With a bare template, fixtures are shared within each test file whose own template can be forked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

CONFTEST = """
import os
import pytest

def note(*words):
    with open(os.environ["LOG"], "a") as file: print(*words, file=file)

def make(scope):
    @pytest.fixture(scope=scope, name=scope + "_fixture")
    def fixture(request):
        note("setup", scope, request.node.name); print("set up", scope)
        yield [os.getpid()]
        note("teardown", scope, request.node.name)
    return fixture

session_fixture, module_fixture, class_fixture = map(make, ["session", "module", "class"])
"""

TESTS = """
import os
import pytest
class TestIt:
    def test_one(self, session_fixture, module_fixture, class_fixture): module_fixture.append("changed")
    @pytest.mark.parametrize("n", [1, 2])
    def test_two(self, session_fixture, module_fixture, class_fixture, n): assert len(module_fixture) == 1
def test_three(module_fixture): assert len(module_fixture) == 1 and module_fixture[0] != os.getpid()
"""

THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
BARE = ("--fork-share=session", "--fork-template=bare")


@pytest.fixture
def notes(suite: Suite) -> list[str]:
    """Give a list to which `read` adds."""
    suite.environment["LOG"] = str(suite.path / "log")
    return []


def read(suite: Suite) -> list[str]:
    """Give what was noted, and begin anew."""
    log = suite.path / "log"
    lines = log.read_text().splitlines()
    log.unlink()
    return lines


def of_file(name: str) -> list[str]:
    """Give what is noted of a file whose fixtures are shared."""
    nodes = [("module", f"{name}.py"), ("class", "TestIt")]
    up = [f"setup {scope} {node}" for scope, node in nodes]
    down = [f"teardown {scope} {node}" for scope, node in reversed(nodes)]
    return ["setup session ", *up, *down, "teardown session "]


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_fixtures_are_set_up_once_in_each_file(suite: Suite, jobs: str) -> None:
    """Those of modules and classes as ever, wider ones once for each file."""
    suite.write(conftest=CONFTEST, test_a=TESTS, test_b=TESTS)
    run = suite.forked(*BARE, f"--fork-jobs={jobs}")
    assert run.code == 0, run.out
    assert "template from 'bare', because the user asked for it; fixtures are shared within one file each" in run.out
    assert "6 snapshots of fixtures, 2 templates of files" in run.out
    noted = read(suite)
    if jobs == "1":
        assert noted == [*of_file("test_a"), *of_file("test_b")]
    assert sorted(noted) == sorted([*of_file("test_a"), *of_file("test_b")])


@pytest.mark.usefixtures("notes")
def test_reports_are_those_of_plain_pytest(suite: Suite) -> None:
    """What a set-up shows is in the first test's report."""
    suite.write(conftest=CONFTEST, test_a=TESTS.replace('.append("changed")', ""))
    plain = suite.plain("-rA", "--deselect=test_a.py::test_three")
    assert plain.code == 0, plain.out
    shared = suite.forked(*BARE, "-rA", "--deselect=test_a.py::test_three")
    assert_same(plain, shared)


@pytest.mark.usefixtures("notes")
def test_a_file_that_makes_a_hazard(suite: Suite) -> None:
    """Its tests set up what they use by themselves, and a line tells why; those of other files share."""
    suite.write(conftest=CONFTEST, test_a=TESTS, test_b=THREAD + TESTS.replace("!= os", "== os"), test_c=TESTS)
    run = suite.forked("--fork-share=session")
    assert run.code == 0, run.out
    assert "forkiso: no fixtures were shared in test_b.py, because " in run.out
    noted = read(suite)
    assert noted[:6] == of_file("test_a")
    assert noted[-6:] == of_file("test_c")
    assert noted[6:-6].count("setup session ") == 3
    assert noted[6:-6].count("setup module test_b.py") == 4


@pytest.mark.usefixtures("notes")
def test_a_conftest_file_that_makes_a_hazard(suite: Suite) -> None:
    """No file can have a template, and nothing is shared; a line says so once."""
    suite.write(conftest=CONFTEST + THREAD, test_a=TESTS.replace("!= os", "== os"), test_b="def test_it(): pass")
    run = suite.forked("--fork-share=session")
    assert run.code == 0, run.out
    assert run.out.count("forkiso: no fixtures were shared, because ") == 1
    assert read(suite).count("setup session ") == 3


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize(
    ("body", "arguments"), [("os.abort()", ()), ("assert 0", ("-x",)), ("raise KeyboardInterrupt", ())]
)
def test_a_test_that_ends_badly(suite: Suite, body: str, arguments: tuple[str, ...]) -> None:
    """What was set up in the file's template is torn down, once."""
    suite.write(conftest=CONFTEST, test_a=TESTS.replace('module_fixture.append("changed")', body), test_b=TESTS)
    run = suite.forked(*BARE, *arguments)
    assert run.code in (1, 2), run.out
    assert read(suite) == [*of_file("test_a"), *(() if arguments or "Keyboard" in body else of_file("test_b"))]


@pytest.mark.usefixtures("notes")
def test_a_set_up_that_crashes(suite: Suite) -> None:
    """It fails the tests of its file that need it, and is tried once more in the next file."""
    suite.write(
        conftest=CONFTEST.replace('print("set', "os.abort() if scope == 'class' else print(\"set"),
        test_a=TESTS,
        test_b="def test_it(module_fixture): pass\ntest_more = test_it",
    )
    run = suite.forked(*BARE)
    assert {name: kind for name, kind in run.outcomes().items() if kind == "error"}.keys() == {
        "TestIt::test_one",
        "TestIt::test_two[1]",
        "TestIt::test_two[2]",
    }
    assert read(suite).count("setup class TestIt") == 1
    assert "Crash in set-up of the fixture 'class_fixture'" in run.report("TestIt::test_one", "setup").text
