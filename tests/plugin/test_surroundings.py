"""However pytest is started: options, plugins switched off, environments, folders, programs that call it."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same
from inner_sources import OUTCOMES

if TYPE_CHECKING:
    from inner import Run, Suite

MIXED = """
import logging
import os
import sys
import warnings
import pytest

def test_passes(): print("out")
def test_fails(): print("out"); print("err", file=sys.stderr); logging.warning("logged"); assert [1] == [2]
def test_warns(): warnings.warn("careful", DeprecationWarning)
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert 0
@pytest.fixture
def broken(): yield; raise ValueError
def test_teardown(broken): pass
class TestClass:
    @pytest.mark.parametrize("number", [1, 2])
    def test_method(self, number): assert number == 1
@pytest.mark.usefixtures("broken")
def test_thread():
    import threading
    thread = threading.Thread(target=int, args=["x"])
    thread.start()
    thread.join()
def test_unraisable():
    class Broken:
        def __del__(self): raise OSError("too late")
    Broken()
def test_exits(): sys.exit(3)
"""
SWITCHED_OFF = [
    "assertion",
    "cacheprovider",
    "debugging",
    "doctest",
    "faulthandler",
    "junitxml",
    "logging",
    "pastebin",
    "recwarn",
    "setuponly",
    "setupplan",
    "stepwise",
    "subtests",
    "threadexception",
    "tmpdir",
    "unittest",
    "unraisableexception",
    "warnings",
]
OPTIONS = [
    ["--assert=plain"],
    ["--cache-clear"],
    ["--color=yes"],
    ["--collect-only", "-q"],
    ["--continue-on-collection-errors"],
    ["--deselect=test_mixed.py::test_fails"],
    ["--durations=3", "--durations-min=99"],
    ["--import-mode=importlib"],
    ["--import-mode=append"],
    ["--nf"],
    ["--no-header", "--no-summary"],
    ["--runxfail"],
    ["--setup-plan"],
    ["--show-capture=no"],
    ["--show-capture=log", "-rA"],
    ["--stepwise", "--cache-clear"],
    ["--strict-markers", "--strict-config"],
    ["--tb=no"],
    ["--verbosity=2"],
    ["-W", "error"],
    ["-W", "ignore"],
    ["-k", "method or fails"],
    ["-o", "console_output_style=classic"],
    ["-o", "console_output_style=count"],
    ["-o", "faulthandler_timeout=50"],
    ["-o", "log_level=INFO"],
    ["-o", "truncation_limit_lines=2"],
    ["-o", "verbosity_test_cases=2"],
    ["-o", "xfail_strict=true"],
    ["test_mixed.py::TestClass", "test_mixed.py::test_warns"],
]
ENVIRONMENTS = {
    "C locale": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "development mode": {"PYTHONDEVMODE": "1"},
    "faulthandler": {"PYTHONFAULTHANDLER": "1"},
    "hash seed": {"PYTHONHASHSEED": "0"},
    "Latin 1 streams": {"PYTHONIOENCODING": "latin-1"},
    "no colour": {"NO_COLOR": "1"},
    "optimized": {"PYTHONOPTIMIZE": "1"},
    "safe path": {"PYTHONSAFEPATH": "1"},
    "tracemalloc": {"PYTHONTRACEMALLOC": "3"},
    "unbuffered": {"PYTHONUNBUFFERED": "1"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "in CI": {"CI": "1"},
}


@pytest.fixture
def mixed(suite: Suite) -> Suite:
    """Give a suite with a bit of everything."""
    suite.write(test_mixed=MIXED)
    return suite


def compare(suite: Suite, *options: str, **arguments: bool) -> Run:
    """Run without and with forks, and give the latter."""
    plain, forked = suite.plain(*options), suite.forked(*options)
    assert_same(plain, forked, **arguments)
    return forked


@pytest.mark.parametrize("template", ["fork", "exec", "bare", "early"])
@pytest.mark.parametrize("environment", [ENVIRONMENTS["C locale"], {}], ids=["C locale", "UTF-8"])
def test_a_folder_whose_name_is_not_ascii(suite: Suite, template: str, environment: dict[str, str]) -> None:
    """Modules are found there, from a template that is an interpreter of its own too, whatever the locale says."""
    suite.path = suite.path / "Büro 日本"
    suite.path.mkdir()
    suite.environment |= environment
    (suite.path / "helping.py").write_text("x = 1")
    (suite.path / "test_it.py").write_text(
        "import helping\ndef test_passes(): pass\ndef test_fails(): assert helping.x == 2"
    )
    run = suite.forked(f"--fork-template={template}")
    assert run.outcomes() == {"test_passes": "passed", "test_fails": "failed"}, run.out


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_options(mixed: Suite, options: list[str]) -> None:
    """All that pytest says is the same under its options."""
    runs_tests = not {"--collect-only", "--setup-plan"} & set(options)
    if "--no-summary" in options and pytest.version_tuple < (9, 2):
        runs_tests = False  # no plugin is asked for a summary
    plain, forked = mixed.plain(*options), mixed.forked(*options)
    assert plain.out
    if plain.records:
        assert_same(plain, forked, has_summary=runs_tests or "--setup-plan" in options)
    else:
        assert (forked.code, forked.records) == (plain.code, [])


@pytest.mark.parametrize("name", SWITCHED_OFF)
def test_without_a_builtin_plugin(mixed: Suite, name: str) -> None:
    """What is switched off is so for forked tests, and the rest is as ever."""
    compare(mixed, "-p", f"no:{name}")


@pytest.mark.parametrize("name", ["terminal", "capture", "terminalreporter", "capturemanager"])
def test_without_terminal_or_capture(mixed: Suite, name: str) -> None:
    """Reports come to other plugins, whether or not anybody shows them."""
    plain, forked = mixed.plain("-p", f"no:{name}"), mixed.forked("-p", f"no:{name}")
    assert [row["kind"] for row in forked.records if row["kind"] != "warning"] == [
        row["kind"] for row in plain.records if row["kind"] != "warning"
    ], forked.out
    assert forked.outcomes() == plain.outcomes()
    assert forked.code == plain.code


@pytest.mark.parametrize("name", ["terminal", "capture", "faulthandler", "skipping", "logging"])
def test_crashes_without_a_builtin_plugin(suite: Suite, name: str) -> None:
    """To report crashes and deadlines needs none of them."""
    suite.write(
        test_dies="import os\ndef test_a(): os.abort()\ndef test_b():\n    while True: pass\ndef test_c(): pass"
    )
    run = suite.forked("-p", f"no:{name}", "--fork-timeout=1")
    outcomes = [report.outcome for report in run.reports if report.when == "call"]
    assert outcomes == ["failed", "failed", "passed"], run.out
    assert run.code == 1


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_environments(mixed: Suite, environment: dict[str, str]) -> None:
    """Variables that change how Python behaves do so in each test's process."""
    mixed.environment |= environment
    compare(mixed)


@pytest.mark.parametrize("missing", ["HOME", "TERM", "COLUMNS", "PATH", "USER"])
def test_missing_variables(mixed: Suite, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does without them, and so do forked tests."""
    monkeypatch.delenv(missing, raising=False)
    plain, forked = (
        mixed.python("-c", STARTED.format(missing=missing, options=options))
        for options in (["-p", "no:forkiso"], ["-p", "forkiso", "--forked"])
    )
    assert forked.returncode == plain.returncode == 1, forked.stdout + forked.stderr
    assert summary(forked.stdout) == summary(plain.stdout)


STARTED = """
import os, sys
os.environ.pop("{missing}", None)
import pytest
sys.exit(pytest.main({options}))
"""


def summary(output: str) -> list[str]:
    """Give the lines that name tests."""
    return [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR", "test_"))]


PROGRAMS = {
    "twice": """
        assert pytest.main([*arguments, "-k", "passes"]) == 0
        sys.exit(pytest.main(arguments))
    """,
    "in a thread": """
        import threading
        codes = []
        thread = threading.Thread(target=lambda: codes.append(pytest.main(arguments)))
        thread.start()
        thread.join()
        sys.exit(codes[0])
    """,
    "in a running loop": """
        import asyncio
        async def main(): return pytest.main(arguments)
        sys.exit(asyncio.run(main()))
    """,
    "with another thread": """
        import threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        sys.exit(pytest.main(arguments))
    """,
    "with plugins": """
        class Plugin:
            def pytest_runtest_call(self, item): print("called", item.name)
        sys.exit(pytest.main(arguments, plugins=[Plugin()]))
    """,
    "without standard streams": """
        import os
        os.close(0)
        sys.exit(pytest.main(arguments))
    """,
    "with a closed stdin": """
        sys.stdin.close()
        sys.exit(pytest.main(arguments))
    """,
    "after a chdir": """
        import os
        arguments.append(os.getcwd())
        os.chdir("/")
        sys.exit(pytest.main([*arguments, "-p", "no:cacheprovider"]))
    """,
    "with signals ignored": """
        import signal
        for name in ("SIGPIPE", "SIGUSR1", "SIGCHLD"): signal.signal(getattr(signal, name), signal.SIG_IGN)
        sys.exit(pytest.main(arguments))
    """,
    "with a low limit of descriptors": """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        sys.exit(pytest.main(arguments))
    """,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_programs_that_call_pytest(mixed: Suite, program: str) -> None:
    """`pytest.main`, from wherever."""
    mixed.write(program=f"import sys\nimport pytest\narguments = sys.argv[1:]\n{textwrap.dedent(program)}")
    plain, forked = (
        mixed.python("program.py", *options) for options in (["-p", "no:forkiso"], ["-p", "forkiso", "--forked"])
    )
    assert forked.returncode == plain.returncode == 1, forked.stdout + forked.stderr
    assert len(summary(plain.stdout)) > 4
    assert summary(forked.stdout) == summary(plain.stdout)
    assert " children forked" in forked.stdout


@pytest.mark.parametrize("flags", [[], ["-I"], ["-X", "dev"], ["-s"]], ids=" ".join)
def test_command_lines(mixed: Suite, flags: list[str]) -> None:
    """Ways to start it as a module."""
    if "-I" in flags and "PYTHONPATH" in os.environ:
        pytest.skip("-I ignores PYTHONPATH, where the plugin is")
    plain, forked = (
        mixed.python(*flags, "-m", "pytest", *options)
        for options in (["-p", "no:forkiso"], ["-p", "forkiso", "--forked"])
    )
    assert forked.returncode == plain.returncode == 1, forked.stdout + forked.stderr
    assert summary(forked.stdout) == summary(plain.stdout)


def test_folders(suite: Suite) -> None:
    """A root directory elsewhere, through a symbolic link, a package below, and a conftest file in each."""
    project = suite.path / "project"
    (project / "inner" / "deep").mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\n")
    for folder in (project, project / "inner", project / "inner" / "deep"):
        (folder / "conftest.py").write_text(f"import pytest\n@pytest.fixture\ndef where(): return {folder.name!r}\n")
        (folder / "__init__.py").write_text("")
        (folder / f"test_{folder.name}.py").write_text("def test_it(where, tmp_path): print(where); assert 0, where\n")
    (suite.path / "link").symlink_to(project)
    (suite.path / "other").mkdir()
    for options in (
        ["project"],
        ["link"],
        ["link/inner", "--rootdir=link"],
        ["project/inner/deep", "--rootdir=other"],
        ["-c", "project/pytest.ini", "project/inner"],
        ["--confcutdir=project/inner", "project/inner"],
        ["--pyargs", "project.inner.deep"],
    ):
        compare(suite, *options)


IDS = """
import pytest
ODD = ["x" * 5000, "%s", "{}", "\\\\", "'"]
ODD += ["a\\nb", "nul\\0", "\\udcff", "tab\\t", "\\x1b[31m", "ü", "::", "[", "]", "a/b", " "]

@pytest.mark.parametrize("value", ODD)
def test_values(value): assert value in ODD

@pytest.mark.parametrize("value", range(len(ODD)), ids=[text.replace("\\udcff", "y") for text in ODD])
def test_ids(value): print(repr(ODD[value])); assert value % 2

@pytest.mark.parametrize("value", [b"\\xff", b"", 1e100, float("nan"), None, object, int, lambda: 0, ..., {1}, 1j])
def test_kinds(value): assert value is None
"""


@pytest.mark.parametrize("options", [["-q"], ["-v"], ["--junit-xml=out.xml"]], ids=" ".join)
def test_odd_ids(suite: Suite, options: list[str]) -> None:
    """Very long, with line ends, zeros, colours and other things that no file name has."""
    suite.write(test_odd=IDS)
    compare(suite, *options)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(mixed: Suite) -> None:
    """As a checkout that belongs to somebody else."""
    mixed.path.chmod(0o555)
    try:
        compare(mixed)
    finally:
        mixed.path.chmod(0o755)


def test_collection_in_several_files(suite: Suite) -> None:
    """Modules, packages, doctests and text files, some of which cannot be collected."""
    suite.write(
        test_one=OUTCOMES,
        test_two="import unittest\nclass TestIt(unittest.TestCase):\n    def test_a(self): self.fail('so')",
        test_broken="import no_such_module",
        module='def function():\n    """\n    >>> 1 + 1\n    3\n    """\n',
    )
    suite.pytester.maketxtfile(test_text=">>> 2 + 2\n4\n>>> 1 / 0\n1")
    compare(suite, "--doctest-modules", "--continue-on-collection-errors")


DEEP = """
import sys
def test_depth():
    frame, depth = sys._getframe(), 0
    while frame: frame, depth = frame.f_back, depth + 1
    print(depth)
    assert False
"""


@pytest.mark.parametrize(("source", "most"), [("fork", 6), ("exec", 6), ("early", 14)])
def test_room_for_recursion(suite: Suite, source: str, most: int) -> None:
    """A test has what it has without the plugin, but for a handful of frames: some look how deep they get."""
    suite.write(test_deep=DEEP)
    plain, forked = (
        int(run.failure("test_depth").section("Captured stdout call"))
        for run in (suite.plain(), suite.forked("--fork-template", source))
    )
    assert forked - plain <= most


FILTERS = """
import json, warnings
def test_filters(): print(json.dumps([str(each) for each in warnings.filters])); assert False
"""


def test_filters_of_warnings(suite: Suite) -> None:
    """They are those that a test has without the plugin."""
    suite.write(test_filters=FILTERS)
    plain, forked = (
        run.failure("test_filters").section("Captured stdout call") for run in (suite.plain(), suite.forked())
    )
    assert forked == plain
