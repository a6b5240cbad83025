"""With --fork-share, wide fixtures are set up once, and each test starts from a copy of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Run, Suite

NOTES = """
import logging, os
import pytest

def note(*words):
    with open(os.environ["LOG"], "a") as file: print(*words, file=file)

def make(scope, name=None, **options):
    @pytest.fixture(scope=scope, name=name or scope + "_fixture", **options)
    def fixture(request):
        words = scope, request.node.nodeid, getattr(request, "param", "-")
        note("setup", *words)
        if words[-1] == "-": print("set up", *words)
        yield [scope]
        note("teardown", *words)
        if words[-1] == "-": print("torn down", *words)
    return fixture
"""

WIDE = f"""{NOTES}
session_fixture, package_fixture, module_fixture = map(make, ["session", "package", "module"])
class_fixture, function_fixture = make("class"), make("function")
for_all = make("session", "for_all", autouse=True)
"""


def logs(suite: Suite, *arguments: str) -> tuple[Run, list[str], Run, list[str]]:
    """Run a suite plainly and with shared fixtures; give both runs and what the tests have noted."""
    found = []
    for name in ("plain", "shared"):
        log = suite.path / f"{name}.log"
        suite.environment["LOG"] = str(log)
        run = suite.plain(*arguments) if name == "plain" else suite.forked("--fork-share=session", *arguments)
        found += [run, log.read_text().splitlines()]
    return tuple(found)  # type: ignore[return-value]


def test_the_log_of_all_scopes_equals_plain_pytests(suite: Suite) -> None:
    """Set-ups, tests and teardowns: each once, line for line in the same order, and all reports are the same."""
    suite.write(conftest=WIDE)
    suite.pytester.mkpydir("package")
    suite.path.joinpath("package/conftest.py").write_text(
        "from conftest import make\nouter, inner = make('package', 'outer'), make('module', 'inner', autouse=True)\n"
    )
    suite.path.joinpath("package/test_deep.py").write_text(TESTS_DEEP)
    suite.path.joinpath("package/test_second.py").write_text("def test_it(outer): pass\n")
    suite.write(test_a_package="def test_it(package_fixture): pass")
    suite.write(test_classes=TESTS_IN_CLASSES, test_parameters=TESTS_WITH_PARAMETERS, test_unittest=UNITTESTS)
    plain, expected, shared, noted = logs(suite, "-rA")
    assert plain.code == 0, plain.out
    assert len(expected) > 80
    assert noted == expected
    assert_same(plain, shared)


TESTS_DEEP = """
from conftest import note

def setup_module(): note("setup_module")
def teardown_module(): note("teardown_module")
def setup_function(function): note("setup_function", function.__name__)
def teardown_function(function): note("teardown_function", function.__name__)

def test_one(outer, session_fixture, module_fixture, function_fixture): note("one")
def test_two(outer, module_fixture): note("two")
"""

TESTS_IN_CLASSES = """
import pytest
from conftest import note

class TestOuter:
    @classmethod
    def setup_class(cls): note("setup_class"); cls.values = []
    @classmethod
    def teardown_class(cls): note("teardown_class", cls.values)
    def setup_method(self): note("setup_method")

    def test_first(self, class_fixture, module_fixture): note("first")
    @pytest.mark.usefixtures("function_fixture", "class_fixture")
    def test_second(self): note("second")

    class TestInner:
        def setup_method(self): note("setup_method of TestInner")
        @pytest.fixture(scope="class", autouse=True)
        def of_inner(self, class_fixture):
            note("setup of_inner"); yield; note("teardown of_inner")
        def test_third(self, session_fixture): note("third")
        @pytest.mark.skip
        def test_skipped(self): pass

def test_function(class_fixture): note("a class fixture without a class")

def test_finalizers(added): note("added", added)

@pytest.fixture(scope="module")
def added(request):
    request.addfinalizer(lambda: note("finalizer 1"))
    request.addfinalizer(lambda: note("finalizer 2"))
    note("setup added")
    return "value"
"""

TESTS_WITH_PARAMETERS = """
import pytest
from conftest import make, note

wide = make("session", "wide", params=["x", "y"])
narrow = make("module", "narrow", params=[1, 2])

@pytest.fixture(scope="module")
def depends(narrow, module_fixture):
    note("setup depends", narrow); yield; note("teardown depends")

def test_wide(wide): note("wide")
def test_wide_again(wide, function_fixture): note("wide again")
def test_narrow(module_fixture, narrow): note("narrow")
def test_depends(depends): note("depends")

chosen = make("session", "chosen")

@pytest.mark.parametrize("chosen", ["given", "other"], indirect=True, scope="module")
def test_indirect(chosen): note("indirect")

@pytest.mark.parametrize("value", [1, 2], scope="module")
@pytest.mark.parametrize("other", ["a", "b"])
def test_direct(value, other, module_fixture): note("direct", value, other)

@pytest.fixture
def session_fixture(session_fixture): note("overridden"); return session_fixture

def test_overridden(session_fixture): note("overrides", session_fixture)
"""

UNITTESTS = """
import unittest
from conftest import note

class TestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls): note("setUpClass"); cls.addClassCleanup(note, "class cleanup")
    @classmethod
    def tearDownClass(cls): note("tearDownClass")
    def setUp(self): note("setUp")
    def test_one(self): note("one")
    def test_two(self): note("two")

@unittest.skip("all of it")
class TestSkipped(unittest.TestCase):
    @classmethod
    def setUpClass(cls): note("never")
    def test_one(self): note("never")

def setUpModule(): note("setUpModule")
def tearDownModule(): note("tearDownModule")
"""


def test_each_test_sees_the_state_after_setup(suite: Suite) -> None:
    """What a test, or a narrower fixture, does to a shared value is gone with its process."""
    suite.write(
        test_state="""
        import pytest
        @pytest.fixture(scope="session")
        def stack(): return ["session"]
        @pytest.fixture(scope="module")
        def more(stack): stack.append("module"); return stack
        @pytest.mark.parametrize("n", range(3))
        def test_push(stack, more, n):
            assert stack == ["session", "module"]
            stack.append(n)
        """,
        test_second="""
        import pytest
        from test_state import more
        def test_other_module(stack): assert stack == ["session"]
        @pytest.fixture(scope="session")
        def stack(): return ["session"]
        """,
    )
    run = suite.forked("--fork-share=session")
    assert run.code == 0, run.out
    assert "snapshots of fixtures" in run.out


@pytest.mark.parametrize(
    ("share", "counts"),
    [
        ("function", {"class": 4, "module": 4, "session": 4}),
        ("class", {"class": 2, "module": 4, "session": 4}),
        ("module", {"class": 2, "module": 1, "session": 4}),
        ("package", {"class": 2, "module": 1, "session": 4}),
        ("session", {"class": 2, "module": 1, "session": 1}),
    ],
)
def test_how_wide_it_goes(suite: Suite, share: str, counts: dict[str, int]) -> None:
    """Fixtures of scopes up to the one that was asked for are set up once for each node, others in each test."""
    suite.write(
        conftest=WIDE,
        test_scopes="""
        import pytest
        class TestA:
            @pytest.mark.parametrize("n", [1, 2])
            def test_it(self, class_fixture, module_fixture, session_fixture, n): pass
        class TestB(TestA): pass
        """,
    )
    suite.environment["LOG"] = str(suite.path / "log")
    run = suite.forked(f"--fork-share={share}")
    assert run.code == 0, run.out
    lines = [line.split()[:2] for line in (suite.path / "log").read_text().splitlines() if "for_all" not in line]
    for_all = 1 if share == "session" else 4
    for word in ("setup", "teardown"):
        expected = counts | {"session": counts["session"] + for_all}
        assert {scope: lines.count([word, scope]) for scope in counts} == expected


def test_ini_and_marker(suite: Suite) -> None:
    """The ini value is the default; the closest marker with share= decides for a test."""
    suite.write(
        test_share="""
        import os
        import pytest
        @pytest.fixture(scope="module")
        def owner(): return os.getpid()
        @pytest.mark.forked
        def test_shared(owner): assert owner != os.getpid()
        @pytest.mark.forked(share="function")
        def test_own(owner): assert owner == os.getpid()
        @pytest.mark.forked(share="session", timeout=60)
        class TestWide:
            def test_shared(self, owner): assert owner != os.getpid()
            @pytest.mark.forked(timeout=50)
            def test_still(self, owner): assert owner != os.getpid()
        """
    )
    suite.pytester.makeini("[pytest]\nfork_share = module")
    run = suite.run("-p", "forkiso")
    assert run.code == 0, run.out


@pytest.mark.parametrize(
    ("ini", "source", "message"),
    [
        ("fork_share = all", "", "the ini option fork_share must be one of function, class, module, package, session"),
        ("", "@pytest.mark.forked(share='file')", "test_it: share= of the marker 'forked' must be one of function"),
        ("fork_share_allow = a b\nfork_share_deny = b", "", "fork_share_allow and fork_share_deny both name b"),
    ],
)
def test_wrong_values_are_usage_errors(suite: Suite, ini: str, source: str, message: str) -> None:
    """They name the place, and what is possible."""
    suite.write(test_usage=f"import pytest\n{source}\ndef test_it(): pass")
    suite.pytester.makeini(f"[pytest]\n{ini}")
    run = suite.forked()
    assert run.code == 4
    assert message in run.out


def test_reports_are_those_of_plain_pytest(suite: Suite) -> None:
    """What a set-up shows is in the first test's report, its failure in that of each test that needs the fixture."""
    suite.write(test_reports=REPORTS)
    options = ["-rA"] if sys.version_info >= (3, 12) else ["-rA", "--show-capture=no"]
    _, expected, _, noted = logs(suite, *options)
    assert noted == expected
    assert_same(suite.plain(*options), suite.forked("--fork-share=session", *options))


REPORTS = f"""{NOTES}
import logging, sys, warnings

@pytest.fixture(scope="session")
def loud():
    print("out"); print("err", file=sys.stderr); logging.warning("log"); warnings.warn("a warning")
    yield
    print("bye"); logging.warning("bye log"); warnings.warn("bye warning")

@pytest.fixture
def own(): print("own out"); logging.warning("own log")

@pytest.fixture(scope="module")
def broken(loud): note("broken"); print("in broken"); raise OSError("it broke")

@pytest.fixture(scope="module")
def skipping(loud): note("skipping"); pytest.skip("not here")

@pytest.fixture(scope="class")
def broken_end():
    yield
    print("printed at the end"); raise ValueError("broken end")

def test_loud(loud, own): assert 0
def test_loud_again(loud, own): assert 0
def test_broken(broken, own): pass
def test_broken_again(broken): pass
def test_skipping(skipping): pass
def test_skipping_again(skipping): pass
class TestEnd:
    def test_end(self, broken_end): pass
    def test_last(self, broken_end): print("in test"); assert 0
class TestOtherEnd:
    def test_end(self, broken_end): pass
def test_loud_last(loud): pass
"""


def test_a_teardown_that_fails_beside_the_tests_own(suite: Suite) -> None:
    """Both are reported; the test's own first is what its process says, and the fixture's is an error of its own."""
    suite.write(
        test_both="""
        import pytest
        @pytest.fixture(scope="module")
        def wide(): yield; raise ValueError("of the fixture")
        @pytest.fixture
        def own(wide): yield; raise KeyError("of the test")
        def test_it(own): pass
        """
    )
    run = suite.forked("--fork-share=session")
    assert run.phases("test_it") == ["setup passed", "call passed", "teardown failed", "teardown failed"]
    assert "of the fixture" in run.out
    assert "of the test" in run.out


def test_a_set_up_that_crashes(suite: Suite) -> None:
    """It happens once, fails each test that needs the fixture, names it, and costs nobody else anything."""
    suite.write(
        test_crash=f"""{NOTES}
@pytest.fixture(scope="session")
def solid(): note("solid up"); yield 1; note("solid down")
@pytest.fixture(scope="module")
def crashing(solid): note("crashing"); print("before", flush=True); logging.warning("logged"); os.abort()
def test_before(solid): pass
@pytest.mark.parametrize("n", [1, 2])
def test_crash(crashing, n): note("never")
def test_after(solid): pass
"""
    )
    suite.environment["LOG"] = str(suite.path / "log")
    run = suite.forked("--fork-share=session")
    assert run.outcomes() == {
        "test_before": "passed",
        "test_crash[1]": "error",
        "test_crash[2]": "error",
        "test_after": "passed",
    }
    assert (suite.path / "log").read_text().split("\n")[:-1] == ["solid up", "crashing", "solid down"]
    for name in ("test_crash[1]", "test_crash[2]"):
        text = run.report(name, "setup").everything
        assert "Crash in set-up of the fixture 'crashing'" in text
        assert "SIGABRT" in text
        assert "test_crash.py" in text
        assert "pytest_forkiso" not in text
        assert "before" in text
        assert "logged" in text
    assert "1 crash," in run.out


def test_a_set_up_that_crashes_is_not_the_one_that_it_overrides(suite: Suite) -> None:
    """Both have one name and one scope; tests that use the other definition pass."""
    suite.write(
        conftest="""
        import pytest
        @pytest.fixture(scope="session")
        def value(): return 1
        """,
        test_crash="""
        import os
        import pytest
        @pytest.fixture(scope="session")
        def value(value): os.abort()
        def test_crash(value): pass
        """,
        test_other="def test_it(value): assert value == 1",
    )
    run = suite.forked("--fork-share=session")
    assert run.outcomes() == {"test_crash": "error", "test_it": "passed"}, run.out


def test_traceback_of_a_teardown(suite: Suite) -> None:
    """It shows the fixture of a conftest file, and no frame of what runs the teardown."""
    suite.write(
        conftest="""
        import pytest
        @pytest.fixture(scope="module")
        def ends_badly():
            yield
            raise ValueError("teardown")
        """,
        test_it="def test_it(ends_badly): pass",
    )
    assert_same(suite.plain(), suite.forked("--fork-share=session"))


def test_order_of_sections(suite: Suite) -> None:
    """What a shared set-up has logged stands after what the test's own has printed, as ever."""
    suite.write(
        test_it="""
        import logging
        import pytest
        @pytest.fixture(scope="module")
        def logs(): logging.getLogger().warning("shared")
        @pytest.fixture
        def prints(): print("own")
        def test_it(request, logs, prints): request.node.add_report_section("setup", "more", "late"); assert 0
        """,
    )
    assert_same(suite.plain(), suite.forked("--fork-share=session"))


def test_what_is_overridden_and_asked_for(suite: Suite) -> None:
    """Who asks for a name gets the closest fixture of that name, and not the one that this overrides."""
    suite.write(
        conftest="""
        import pytest
        @pytest.fixture(scope="session")
        def value(): return ["outer"]
        @pytest.fixture(scope="module")
        def user(value): return ["user", *value]
        """,
        test_it="""
        import pytest
        @pytest.fixture(scope="module")
        def value(value): return ["inner", *value]
        def test_user(user): assert user == ["user", "inner", "outer"]
        def test_both(user, value): assert user == ["user", *value]
        """,
    )
    assert suite.plain().outcomes() == {"test_user": "passed", "test_both": "passed"}
    run = suite.forked("--fork-share=session")
    assert run.outcomes() == {"test_user": "passed", "test_both": "passed"}, run.out


def test_what_is_set_up_already_and_too_narrow(suite: Suite) -> None:
    """A wide fixture that asks for a narrower one is an error of the test, and is not set up."""
    suite.write(
        conftest="""
        import pytest
        @pytest.fixture(scope="session")
        def value(): return "outer"
        @pytest.fixture(scope="session")
        def user(value): open("set up", "w").close()
        """,
        test_it="""
        import pytest
        @pytest.fixture(scope="module")
        def value(): return "inner"
        @pytest.fixture
        def user(user): pass
        def test_it(value, user): pass
        """,
    )
    forked = suite.forked("--fork-share=session")
    assert_same(suite.plain(), forked)
    assert not (suite.path / "set up").exists()
    assert "own process, because" not in forked.out  # no attempt was made


def test_a_node_whose_set_up_crashes(suite: Suite) -> None:
    """It is no fixture's fault: no snapshot is tried again, and each test of the node reports its own crash."""
    suite.pytester.mkpydir("package")
    suite.path.joinpath("package/__init__.py").write_text(
        "import os\ndef setup_module():\n    with open('log', 'a') as file: print('begun', file=file)\n    os.abort()\n"
    )
    suite.path.joinpath("package/conftest.py").write_text(
        "import pytest\n@pytest.fixture(scope='package')\ndef fixture(): pass\n"
    )
    suite.path.joinpath("package/test_it.py").write_text("def test_1(fixture): pass\ndef test_2(fixture): pass\n")
    suite.write(test_next="def test_it(): pass")
    run = suite.forked("--fork-share=session", "--fork-timeout=60")
    assert run.outcomes() == {"test_1": "error", "test_2": "error", "test_it": "passed"}, run.out
    assert "Crash in setup: the test's process was ended by SIGABRT" in run.report("test_2", "setup").everything
    assert "because there is no snapshot: Crash in set-up of 'package', before any fixture: " in run.out
    assert (suite.path / "log").read_text().split() == ["begun"] * 3


def test_a_set_up_that_hangs(suite: Suite) -> None:
    """The deadline of the test that it is done for ends it, with a traceback; it is not tried again."""
    suite.write(
        test_hang=f"""{NOTES}
import threading
@pytest.fixture(scope="module")
def hanging(): note("hanging"); threading.Event().wait()
@pytest.mark.parametrize("n", [1, 2])
def test_hang(hanging, n): pass
def test_after(): pass
"""
    )
    suite.environment["LOG"] = str(suite.path / "log")
    run = suite.forked("--fork-share=session", "--fork-timeout=1")
    assert run.outcomes() == {"test_hang[1]": "error", "test_hang[2]": "error", "test_after": "passed"}
    assert (suite.path / "log").read_text().count("hanging") == 1
    text = run.report("test_hang[2]", "setup").everything
    assert "Timeout: set-up of the fixture 'hanging' was ended, since it took longer than 1 s" in text
    assert "in hanging" in text


def test_a_set_up_that_is_stopped(suite: Suite) -> None:
    """Its traceback is taken all the same."""
    suite.write(
        test_stop="""
        import os, signal
        import pytest
        @pytest.fixture(scope="module")
        def stopped():
            while True: os.kill(os.getpid(), signal.SIGSTOP)
        def test_it(stopped): pass
        """
    )
    text = suite.forked("--fork-share=session", "--fork-timeout=1").report("test_it", "setup").everything
    assert "Timeout: set-up of the fixture 'stopped' was ended, since it took longer than 1 s" in text
    assert "in stopped" in text


def test_a_teardown_that_crashes(suite: Suite) -> None:
    """It is an error of the last test that used the fixture."""
    suite.write(
        test_crash="""
        import os
        import pytest
        @pytest.fixture(scope="module")
        def crashing(): yield; print("at the end", flush=True); os.abort()
        def test_one(crashing): pass
        def test_last(crashing): pass
        """,
        test_next="def test_it(): pass",
    )
    run = suite.forked("--fork-share=session")
    assert run.outcomes() == {"test_one": "passed", "test_last": "passed+error", "test_it": "passed"}
    text = next(report.everything for report in run.reports if report.category == "error")
    assert "Crash in teardown of the fixtures 'crashing'" in text
    assert "at the end" in text


def test_what_a_package_does_itself(suite: Suite) -> None:
    """Functions in its `__init__.py` run once, before all that is in it, although it has no fixture."""
    suite.write(conftest=WIDE)
    package = suite.pytester.mkpydir("package")
    package.joinpath("__init__.py").write_text(
        "from conftest import note\n"
        "def setup_module(): note('setup package')\n"
        "def teardown_module(): note('teardown package')\n"
    )
    package.joinpath("test_one.py").write_text("def test_one(module_fixture): pass\ndef test_two(): pass\n")
    package.joinpath("test_other.py").write_text("def test_one(): pass\ndef test_two(module_fixture): pass\n")
    suite.write(test_before="def test_it(): pass")
    plain, expected, shared, noted = logs(suite, "test_before.py", "package", "-rA")
    assert plain.code == 0, plain.out
    assert expected.count("setup package") == 1
    assert noted == expected
    assert_same(plain, shared)


def test_a_package_that_cannot_be_shared(suite: Suite) -> None:
    """What its own function leaves is seen as with a fixture; all that is in the package is set up in each test."""
    suite.write(conftest=WIDE)
    package = suite.pytester.mkpydir("package")
    package.joinpath("__init__.py").write_text(
        "import threading\n"
        "def setup_module(): threading.Thread(target=threading.Event().wait, name='waiting', daemon=True).start()\n"
    )
    package.joinpath("test_it.py").write_text(
        "import pytest, threading\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_it(module_fixture, session_fixture, n): assert 'waiting' in {t.name for t in threading.enumerate()}\n"
    )
    _, _, shared, noted = logs(suite, "package")
    assert shared.code == 0, shared.out
    assert "fixture 'package/__init__.py' was set up in each test's own process" in shared.out
    assert [line for line in noted if line.startswith("setup")] == [
        "setup session  -",
        "setup session  -",
        *["setup module package/test_it.py -"] * 2,
    ]


def test_what_pytest_does_not_come_to(suite: Suite) -> None:
    """Where a setup will end with an error in any case, nothing is set up that pytest would come to later."""
    suite.write(
        conftest=WIDE,
        test_it="""
        import pytest, unittest
        from conftest import make, note
        narrow, later = make("function", "narrow"), make("module", "later")
        @pytest.fixture(scope="module")
        def mistaken(narrow): note("never")
        with_parameters = make("module", "with_parameters", params=[1, 2])
        def test_mistaken(module_fixture, mistaken, later): note("never")
        @pytest.mark.usefixtures("module_fixture", "with_parameters", "later")
        class TestUnit(unittest.TestCase):
            def test_it(self): note("never")
        """,
    )
    plain, expected, shared, noted = logs(suite, "-rA")
    assert plain.outcomes() == {"test_mistaken": "error", "TestUnit::test_it": "error"}
    assert not any("later" in line or "never" in line for line in expected)
    assert noted == expected
    assert_same(plain, shared)


def test_a_wide_parameter_that_changes_within_a_node(suite: Suite) -> None:
    """The fixtures of that node are set up once all the same: before those that the parameter replaces."""
    suite.write(
        conftest=WIDE,
        test_it="""
        import pytest
        from conftest import make, note
        kind = make("session", "kind", params=["x", "y"])
        @pytest.mark.parametrize("value", [1, 2], scope="module")
        def test_it(kind, module_fixture, value): note("test", value)
        """,
    )
    plain, expected, shared, noted = logs(suite)
    assert plain.code == shared.code == 0, shared.out
    assert sorted(noted) == sorted(expected)
    assert noted[1:4] == ["setup module test_it.py -", "setup session  x", "test 1"]
    assert ", 4 snapshots of fixtures" in shared.out
