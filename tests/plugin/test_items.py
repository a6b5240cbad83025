"""Items of every kind: unittest, subtests, doctests, custom collectors, async tests."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

UNITTEST = """
import unittest

class Plain(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.shared = ["class"]; cls.addClassCleanup(cls.shared.clear)
    @classmethod
    def tearDownClass(cls): assert cls.shared
    def setUp(self): self.shared.append(1); self.addCleanup(self.shared.pop)
    def tearDown(self): assert len(self.shared) == 2
    def test_passes(self): self.assertEqual(self.shared, ["class", 1])
    def test_fails(self): self.assertEqual({"a": 1}, {"a": 2}, "differ")
    def test_skips(self): self.skipTest("not today")
    @unittest.skip("marked")
    def test_skip_mark(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail("as expected")
    @unittest.expectedFailure
    def test_unexpected(self): pass
    def test_error(self): raise OSError(1, "error")

class BrokenClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("broken")
    def test_one(self): pass
    def test_two(self): pass

class BrokenEnd(unittest.TestCase):
    def tearDown(self): raise RuntimeError("broken end")
    def test_one(self): pass

class Async(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self): self.value = 1
    async def test_async_passes(self): self.assertEqual(self.value, 1)
    async def test_async_fails(self): self.assertEqual(self.value, 2)

@unittest.skip("the whole class")
class Skipped(unittest.TestCase):
    def test_never(self): pass

def load_tests(loader, tests, pattern): return tests
"""

DOCTESTS = '''
def right():
    """
    >>> 1 + 1
    2
    """

def wrong():
    """
    >>> 1 + 1
    3
    """

def raises():
    """
    >>> 1 / 0
    """

def skipped():
    """
    >>> 1 / 0  # doctest: +SKIP
    """

class Documented:
    """
    >>> Documented().value
    'value'
    """
    value = "value"
'''

CUSTOM = """
import pytest

def pytest_collect_file(parent, file_path):
    if file_path.suffix == ".lines":
        return LinesFile.from_parent(parent, path=file_path)

class LinesFile(pytest.File):
    def collect(self):
        for number, line in enumerate(self.path.read_text().split()):
            yield LineItem.from_parent(self, name=f"{number}:{line}", line=line)

class LineError(Exception): pass

class LineItem(pytest.Item):
    def __init__(self, *, line, **kwargs):
        super().__init__(**kwargs)
        self.line = line
    def setup(self): print("set up", self.line)
    def runtest(self):
        print("ran", self.line)
        if self.line == "bad": raise LineError(self.line)
    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, LineError): return f"the line {self.line} is bad\\nreally"
        return super().repr_failure(excinfo)
    def reportinfo(self): return self.path, 7, f"line: {self.name}"
"""


def test_unittest(suite: Suite) -> None:
    """Classes of unittest, with all their ways to end."""
    suite.write(test_unittest=UNITTEST)
    plain = suite.plain("-rA")
    assert {"passed", "failed", "skipped", "xfailed"} <= set(plain.outcomes().values())
    assert_same(plain, suite.forked("-rA"))


@pytest.mark.skipif(
    pytest.version_tuple < (9,) and not importlib.util.find_spec("pytest_subtests"), reason="no subtests here"
)
def test_subtests(suite: Suite) -> None:
    """Failing subtests fail, of both kinds, and each is reported."""
    suite.write(
        test_subtests="""
        import unittest
        import pytest

        def test_fixture(subtests):
            for number in range(5):
                with subtests.test("message", number=number):
                    print("number", number)
                    if number == 1: pytest.skip("one")
                    if number == 2: pytest.xfail("two")
                    assert number != 3
            print("at the end")

        def test_all_pass(subtests):
            with subtests.test(): pass

        def test_also_fails(subtests):
            with subtests.test("inner"): assert 0
            assert 1 == 2

        class Unittest(unittest.TestCase):
            def test_sub(self):
                for number in range(4):
                    with self.subTest("message", number=number):
                        if number == 1: self.skipTest("one")
                        self.assertNotEqual(number, 2)
        """
    )
    plugin = [] if pytest.version_tuple >= (9,) else ["-p", "subtests"]
    plain = suite.plain("-rA", *plugin)
    assert "failed" in plain.outcomes()["test_fixture"]
    forked = suite.forked("-rA", *plugin)
    for run in (plain, forked):  # of unittest's subtests plain pytest captures the progress, as output of the test
        run.out = re.sub(r"(?m)^test_subtests\.py [uyF.,-]+ +\[", "test_subtests.py [", run.out)
    assert_same(plain, forked)


def test_doctests(suite: Suite) -> None:
    """Doctests of modules and text files, with fixtures."""
    suite.write(documented=DOCTESTS)
    suite.pytester.maketxtfile(test_text=">>> 'a'\n'b'\n\n>>> import os\n")
    options = ["--doctest-modules", "--doctest-continue-on-failure", "-v"]
    plain = suite.plain(*options)
    assert {"passed", "failed", "skipped"} <= set(plain.outcomes().values())
    assert_same(plain, suite.forked(*options))


def test_custom_items(suite: Suite) -> None:
    """Items and collectors of a conftest's own, with their own words for a failure."""
    suite.write(conftest=CUSTOM)
    suite.pytester.makefile(".lines", own="good bad good")
    plain = suite.plain("-rA")
    assert list(plain.outcomes().values()) == ["passed", "failed", "passed"]
    assert_same(plain, suite.forked("-rA"))


SHOWN = """
import pytest

class Shown:
    def toterminal(self, tw):
        tw.line("  shown", red=True)
        tw.sep("-", "wide")
    def __str__(self): return "as text"

class Item(pytest.Item):
    def runtest(self): raise ValueError
    def repr_failure(self, excinfo): return Shown()

class File(pytest.File):
    def collect(self): yield Item.from_parent(self, name="item")

def pytest_collect_file(parent, file_path):
    return File.from_parent(parent, path=file_path) if file_path.suffix == ".shown" else None
"""


@pytest.mark.parametrize("options", [[], ["--color=yes"], ["--color=yes", "--tb=short", "-vv"]], ids=" ".join)
def test_failures_that_show_themselves(suite: Suite, options: list[str]) -> None:
    """A representation with a way of its own to the terminal has its colours and its width, as that of a doctest."""
    suite.write(conftest=SHOWN, documented=DOCTESTS, test_missing="def test_missing(no_such_fixture): pass")
    suite.pytester.makefile(".shown", own="")
    options = ["--doctest-modules", *options]
    assert_same(suite.plain(*options), suite.forked(*options))


PARTS = """
def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("error") + terminalreporter.getreports("failed"):
        terminalreporter.write_line(f"{report.nodeid}: {type(report.longrepr).__name__} {vars(report.longrepr)}")
"""


def test_parts_of_failures_of_pytest_itself(suite: Suite) -> None:
    """A plugin that looks at what was missing, or at each failure of a doctest, finds it."""
    suite.write(conftest=PARTS, documented=DOCTESTS, test_missing="def test_missing(no_such_fixture): pass")
    options = ["--doctest-modules", "--doctest-continue-on-failure"]
    plain = suite.plain(*options)
    assert "FixtureLookupErrorRepr {" in plain.out
    assert "ReprFailDoctest {" in plain.out
    assert_same(plain, suite.forked(*options))


PLACED = """
import os, pathlib, pytest

def pytest_collect_file(parent, file_path):
    return File.from_parent(parent, path=file_path) if file_path.suffix == ".placed" else None

class File(pytest.File):
    def collect(self):
        for cls in (Usual, Odd, Own): yield cls.from_parent(self, name=cls.__name__)

class Usual(pytest.Item):
    def runtest(self): pass
    def reportinfo(self):
        with pathlib.Path("asked.log").open("a") as file: file.write(f"{self.name} {os.getpid()}\\n")
        return self.path, 7, self.name

class Odd(Usual):
    def reportinfo(self):
        path, line, name = super().reportinfo()
        return path, True, name

class Own(Usual):
    @property
    def location(self): return "elsewhere", 3, "own"
"""


def test_places_of_items(suite: Suite) -> None:
    """They are as the items say, which are asked once where what they say is plain, and not by each process anew."""
    suite.write(conftest=PLACED)
    suite.pytester.makefile(".placed", it="")
    plain = suite.plain("-v")
    log = suite.path / "asked.log"
    log.unlink()
    assert_same(plain, suite.forked("-v"))
    askers = [line.split()[0] for line in log.read_text().splitlines()]
    assert {name: askers.count(name) for name in ("Usual", "Odd", "Own")} == {"Usual": 1, "Odd": 2, "Own": 0}


def test_items_that_a_hook_makes_or_moves(suite: Suite) -> None:
    """Items parametrised, reordered, deselected and marked by a conftest."""
    suite.write(
        conftest="""
        import pytest
        def pytest_generate_tests(metafunc):
            if "made" in metafunc.fixturenames:
                metafunc.parametrize("made", [object(), lambda: 1, {"a": 1}], scope="module")
        @pytest.fixture(scope="module", params=["x", "y"])
        def wide(request): return request.param
        def pytest_collection_modifyitems(config, items):
            gone = [item for item in items if "never" in item.name]
            config.hook.pytest_deselected(items=gone)
            items[:] = sorted((i for i in items if i not in gone), key=lambda i: i.name, reverse=True)
            items[0].add_marker(pytest.mark.xfail(reason="by a hook"))
        """,
        test_made="""
        def test_made(made): assert made is not None
        def test_wide(wide): assert wide == "x"
        def test_never(): assert 0
        def test_ordinary(): pass
        """,
    )
    assert_same(suite.plain("-v"), suite.forked("-v"))


ASYNC = """
import pytest
@pytest.fixture
async def value():
    yield 1
@pytest.mark.{mark}
async def test_passes(value): assert value == 1
@pytest.mark.{mark}
async def test_fails(value): assert value == 2
"""


@pytest.mark.parametrize(
    ("module", "plugin", "mark"), [("pytest_asyncio", "asyncio", "asyncio"), ("anyio", "anyio", "anyio")]
)
def test_async(suite: Suite, module: str, plugin: str, mark: str) -> None:
    """Async tests and fixtures of the plugins for them, each with a loop of its own."""
    pytest.importorskip(module)
    suite.write(
        test_async=ASYNC.format(mark=mark),
        conftest="import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'",
    )
    if plugin == "asyncio":
        suite.write(
            test_async=ASYNC.format(mark=mark).replace(
                "@pytest.fixture", "import pytest_asyncio\n@pytest_asyncio.fixture"
            )
        )
    plain = suite.plain("-p", plugin)
    assert list(plain.outcomes().values()) == ["passed", "failed"], plain.out
    assert_same(plain, suite.forked("-p", plugin))


def test_hypothesis(suite: Suite) -> None:
    """Property tests find and show their counterexamples, and save them for the next run."""
    pytest.importorskip("hypothesis")
    suite.write(
        test_property="""
        from hypothesis import given, settings, strategies
        @settings(derandomize=True, database=None, deadline=None)
        @given(strategies.integers())
        def test_passes(value): assert value == value
        @settings(derandomize=True, database=None, deadline=None)
        @given(strategies.integers())
        def test_fails(value): assert value < 100
        """
    )
    plain = suite.plain("-p", "hypothesispytest", "--tb=short")
    assert "value=100" in plain.out
    assert_same(plain, suite.forked("-p", "hypothesispytest", "--tb=short"))
