"""Where the template comes from: the same tests, with the same results, from each source."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import pytest
from inner import search_path
from inner_compare import assert_same
from inner_sources import OUTCOMES

if TYPE_CHECKING:
    from inner import Run, Suite

SOURCES = ("fork", "exec", "early", "bare")
COLLECTING = ("exec", "early")
"""Templates that collect by themselves."""


def kept(run: Run) -> list[tuple[str, str, str, str]]:
    """Give what must not depend on the source: all but addresses."""
    return [
        (report.nodeid, report.when, report.outcome, re.sub("0x[0-9a-f]+", "0x", report.text)) for report in run.reports
    ]


@pytest.mark.parametrize("source", SOURCES[1:])
def test_outcomes(suite: Suite, source: str) -> None:
    """Every report is as with a fork of pytest itself, several tests at a time and pytest-xdist's workers included."""
    suite.write(test_it=OUTCOMES)
    expected = suite.forked()
    assert kept(suite.forked("--fork-template", source)) == kept(expected)
    assert kept(suite.forked("--fork-template", source, "--fork-jobs=3")) == kept(expected)
    distributed = suite.forked("--fork-template", source, "-p", "xdist", "-n2")
    assert distributed.outcomes() == expected.outcomes()


@pytest.mark.parametrize("source", SOURCES)
def test_the_header_names_source_and_reason(suite: Suite, source: str) -> None:
    """The reason is shown; in the usual case under -v only."""
    suite.write(test_it="def test_it(): pass")
    line = f"forkiso: template from '{source}', because the user asked for it"
    assert line in suite.forked("--fork-template", source, "-v").out
    assert (line in suite.forked("--fork-template", source).out) == (source != "fork")


def test_the_header_of_auto(suite: Suite) -> None:
    """Nothing speaks against a fork where nothing does."""
    suite.write(test_it="def test_it(): pass")
    assert "forkiso: template from 'fork', because nothing speaks against it" in suite.forked("-v").out


STARTS_A_THREAD = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
IMPORTS = """
    import os, pathlib
    log = pathlib.Path("imports.log")
    with log.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    def test_1(): pass
    def test_2(): pass
    def test_3(): pass
"""


@pytest.mark.parametrize(("source", "processes"), [("fork", 1), ("exec", 2), ("early", 2), ("bare", 2)])
def test_how_often_a_test_module_is_imported(suite: Suite, source: str, processes: int) -> None:
    """Once in pytest, and once in a template that collects: that of all tests, or of its file."""
    suite.write(test_it=IMPORTS)
    run = suite.forked("--fork-template", source)
    assert run.code == 0, run.out
    importers = (suite.path / "imports.log").read_text().split()
    assert len(importers) == len(set(importers)) == processes


@pytest.mark.parametrize(("source", "is_there"), [("", True), (STARTS_A_THREAD, False)], ids=["fit", "unfit"])
def test_what_plugins_import_is_in_a_bare_template(suite: Suite, source: str, *, is_there: bool) -> None:
    """No child has to load installed packages once more for its plugins, unless they are not fit for a fork."""
    base = suite.path / "base"
    installed = base / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "heavy.py").write_text(f"print('loud')\n{source}\n")
    (installed / "needy.py").write_text("import sys\nassert 'heavy_plugin' in sys.modules\n")
    suite.environment |= {"PYTHONUSERBASE": str(base), "PYTHONPATH": search_path(installed)}
    suite.write(
        heavy_plugin="import sys\nfound = sys.modules.keys() & {'heavy', 'needy'}\nimport heavy, needy",
        test_it=f"""
            import heavy_plugin
            def test_1(): assert ('heavy' in heavy_plugin.found) is {is_there}
            def test_2(): assert 'needy' not in heavy_plugin.found
        """,
    )
    run = suite.forked("-p", "heavy_plugin", "--fork-template=bare")
    assert run.code == 0, run.out
    if is_there:
        assert run.out.count("loud") == 1  # in pytest's own process


@pytest.mark.parametrize("source", COLLECTING)
def test_passes_for_a_worker_while_it_collects(suite: Suite, source: str) -> None:
    """Plugins that know pytest-xdist leave reports to pytest's own process; tests see no worker where there is none."""
    suite.write(
        conftest="""
            import os, pathlib
            def note(config, hook):
                with pathlib.Path("hooks.log").open("a") as file:
                    file.write(f"{hook} {getattr(config, 'workerinput', {}).get('workerid')}\\n")
            def pytest_configure(config):
                note(config, "configure")
                if not hasattr(config, "workerinput"):
                    config.report_file = open("report.txt", "w")
            def pytest_sessionfinish(session): note(session.config, "sessionfinish")
            def pytest_unconfigure(config): note(config, "unconfigure")
        """,
        test_it="""
            def test_it(pytestconfig):
                assert not hasattr(pytestconfig, "workerinput")
        """,
    )
    run = suite.forked("--fork-template", source)
    assert run.code == 0, run.out
    noted = (suite.path / "hooks.log").read_text().splitlines()
    assert sorted(noted) == ["configure None", "configure master", "sessionfinish None", "unconfigure None"]


@pytest.mark.parametrize("source", ["", STARTS_A_THREAD], ids=["fit", "unfit"])
@pytest.mark.parametrize(
    "arguments", [("pack.inner",), ("pack",), ("pack.inner.test_it::test_it", "pack.inner.deep.test_in")]
)
def test_modules_named_for_bare(suite: Suite, source: str, arguments: tuple[str, ...]) -> None:
    """With --pyargs, reports have the keywords of packages, and of no folder above them."""
    deep = suite.path / "above" / "pack" / "inner" / "deep"
    deep.mkdir(parents=True)
    for folder in (deep.parent, deep.parent.parent):
        (folder / "__init__.py").write_text("")
    for folder in (deep, deep.parent):
        (folder / f"test_{'in' if folder is deep else 'it'}.py").write_text(f"{source}\ndef test_it(): pass\n")
    suite.environment["PYTHONPATH"] = search_path(suite.path / "above")
    plain = suite.plain("--pyargs", *arguments)
    assert not [row for row in plain.of_kind("report") if "above" in row["keywords"]]
    assert_same(plain, suite.forked("--fork-template=bare", "--pyargs", *arguments))


def test_a_child_that_does_not_find_its_test(suite: Suite) -> None:
    """Where the ids of tests are others in each process, the run ends; no other test runs in place of that one."""
    suite.write(
        test_it="""
        import os, pytest
        @pytest.mark.parametrize("pid", [os.getpid()])
        def test_changes(pid): pass
        def test_other(): open("ran", "w")
        """
    )
    run = suite.forked("--fork-template=bare")
    assert run.code == pytest.ExitCode.INTERNAL_ERROR
    assert "was not found in a child of the bare template" in run.out
    assert not (suite.path / "ran").exists()


@pytest.mark.parametrize("source", SOURCES)
def test_report_files_of_other_plugins(suite: Suite, source: str) -> None:
    """They are written by pytest's own process alone, and say each thing once."""
    suite.write(
        conftest="""
            class Report:
                def __init__(self): self.file = open("report.txt", "w", buffering=1)
                def pytest_collectreport(self, report): print("collected", report.nodeid, file=self.file)
                def pytest_warning_recorded(self, warning_message): print(warning_message.message, file=self.file)
                def pytest_runtest_logreport(self, report): print(report.nodeid, report.when, file=self.file)
            def pytest_configure(config):
                if not hasattr(config, "workerinput"): config.pluginmanager.register(Report())
        """,
        test_it="""
            import warnings
            warnings.warn("of the module")
            def test_1(): warnings.warn("of a test")
            def test_2(pytestconfig): assert not hasattr(pytestconfig, "workerinput")
        """,
    )
    reports = []
    for run in (suite.plain(), suite.forked("--fork-template", source)):
        assert run.code == 0, run.out
        reports.append(sorted((suite.path / "report.txt").read_text().splitlines()))
    assert reports[0] == reports[1]
    assert len(run.of_kind("warning")) == 2


@pytest.mark.parametrize("source", SOURCES[1:])
def test_under_xdist_the_template_is_the_same_worker(suite: Suite, source: str) -> None:
    """``worker_id`` and the environment are those of the worker whose template it is."""
    suite.write(
        test_it="""
            import os, pytest
            @pytest.mark.parametrize("n", range(4))
            def test_it(worker_id, pytestconfig, n):
                assert worker_id == os.environ["PYTEST_XDIST_WORKER"] == pytestconfig.workerinput["workerid"]
            @pytest.mark.xdist_group("g")
            def test_group(): pass
        """
    )
    run = suite.forked("--fork-template", source, "-p", "xdist", "-n2", "--dist", "loadgroup")
    assert run.code == 0, run.out
    assert len(run.outcomes()) == 5


@pytest.mark.parametrize("source", COLLECTING)
def test_a_different_collection_is_an_error(suite: Suite, source: str) -> None:
    """The difference is shown as what pytest cannot collect, and no test runs."""
    suite.write(
        test_it="""
            import os, pathlib, pytest
            def test_same(): pathlib.Path("ran").touch()
            @pytest.mark.parametrize("pid", [os.getpid()])
            def test_pid(pid): pathlib.Path("ran").touch()
        """
    )
    run = suite.forked("--fork-template", source)
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert "ERROR the template" in run.out
    for sign in "-+":
        assert f"\n{sign}test_it.py::test_pid[" in run.out
    assert "\n test_it.py::test_same" not in run.out
    assert not (suite.path / "ran").exists()


SELECTED = """
    import pytest
    @pytest.mark.parametrize("n", range(6))
    def test_n(n): assert n != 3
    @pytest.mark.slow
    def test_slow(): pass
    class TestC:
        def test_m(self): pass
"""


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "arguments",
    [
        ("-k", "n and not 2"),
        ("-m", "slow"),
        ("--deselect", "test_it.py::test_n[0]"),
        ("--lf",),
        ("--ff",),
        ("test_it.py::TestC", "test_it.py::test_slow"),
        ("-p", "shuffled"),
    ],
    ids=" ".join,
)
def test_selection_and_order(suite: Suite, source: str, arguments: tuple[str, ...]) -> None:
    """The tests that pytest itself has chosen run, in its order; the cache is as after a plain run."""
    suite.write(
        test_it=SELECTED,
        shuffled="""
            import random, pytest
            @pytest.hookimpl(trylast=True)
            def pytest_collection_modifyitems(items):
                random.shuffle(items)
                del items[1]
        """,
    )
    (suite.path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    suite.plain()
    expected = suite.plain(*arguments)
    cache = {path: path.read_text() for path in (suite.path / ".pytest_cache" / "v").rglob("*") if path.is_file()}
    suite.plain()
    run = suite.forked("--fork-template", source, *arguments)
    if "shuffled" in arguments:
        assert len(run.outcomes()) == 7
        assert "INTERNALERROR" not in run.out
    else:
        assert list(run.outcomes().items()) == list(expected.outcomes().items())
        assert {path: path.read_text() for path in cache} == cache


@pytest.mark.parametrize("source", COLLECTING)
def test_the_same_interpreter(suite: Suite, source: str) -> None:
    """Flags, search path, directory, environment, arguments and input are those of pytest's own process."""
    suite.write(
        conftest="import sys; sys.path.append('added')",
        test_it="""
            import json, os, pathlib, sys, warnings
            def facts():
                left_out = ("PYTEST_CURRENT_TEST", "REPORT_RECORDER_FILE")
                return {
                    "flags": str(sys.flags), "x": repr(sys._xoptions), "warnings": sys.warnoptions,
                    "path": sys.path, "cwd": os.getcwd(), "last": sys.argv[-1], "site": "site" in sys.modules,
                    "environment": {k: v for k, v in os.environ.items() if k not in left_out},
                    "umask": os.umask(0o22),
                }
            def test_it(capfd):
                path = pathlib.Path("facts.json")
                mine = facts()
                if path.exists():
                    assert json.loads(path.read_text()) == mine
                else:
                    path.write_text(json.dumps(mine))
        """,
    )
    assert suite.plain("test_it.py").code == 0
    run = suite.forked("--fork-template", source, "test_it.py")
    assert run.code == 0, run.out


@pytest.mark.parametrize("source", SOURCES)
def test_only_marked_tests(suite: Suite, source: str) -> None:
    """Without --forked the marked ones alone have a process, and see nothing of the others."""
    suite.write(
        test_it="""
            import os, pytest
            state = []
            def test_1(): state.append(os.getpid())
            @pytest.mark.forked
            def test_2(): assert not state
            def test_3(): assert state == [os.getpid()]
            @pytest.mark.forked
            def test_4(): assert not state
        """
    )
    run = suite.run("-p", "forkiso", "--fork-template", source)
    assert run.code == 0, run.out
    assert "forkiso: 2 children forked" in run.out


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("arguments", [(), ("test_it.py", "test_it.py", "--keep-duplicates")], ids=["once", "twice"])
def test_tests_with_the_same_node_id(suite: Suite, source: str, arguments: tuple[str, ...]) -> None:
    """Plugins make such ones: each runs, and has its own outcome, in whatever order they are."""
    suite.write(
        conftest="""
            import pytest
            def pytest_pycollect_makeitem(collector, name):
                if name != "test_twin":
                    return None
                items = [pytest.Function.from_parent(collector, name=name) for _ in range(3)]
                for number, item in enumerate(items):
                    item.number = number
                return items
            def pytest_collection_modifyitems(items):
                items.reverse()
        """,
        test_it="def test_twin(request): assert request.node.number != 2\ndef test_other(): pass",
    )
    plain, forked = suite.plain(*arguments), suite.forked("--fork-template", source, *arguments)
    outcomes = [[report.outcome for report in run.reports if report.when == "call"] for run in (plain, forked)]
    assert outcomes[1] == outcomes[0], forked.out
    assert outcomes[1].count("failed") == (2 if arguments else 1)


@pytest.mark.parametrize("source", COLLECTING)
@pytest.mark.parametrize("arguments", [("--collect-only",), ("-k", "nothing"), ("missing.py",), ("-n1",)], ids=" ".join)
def test_a_template_that_is_not_needed_ends(suite: Suite, source: str, arguments: tuple[str, ...]) -> None:
    """It is ended where no test is forked (the fixture looks for processes that are left)."""
    suite.write(test_it="def test_it(): pass")
    run = suite.forked("--fork-template", source, "-p", "xdist", *arguments)
    assert "Error" not in run.out


@pytest.mark.parametrize("source", COLLECTING)
def test_what_fails_in_the_template(suite: Suite, source: str) -> None:
    """An error that only the template has is shown, with its traceback."""
    suite.write(
        conftest="""
            def pytest_sessionstart(session):
                if hasattr(session.config, "workerinput"):
                    raise RuntimeError("not in here")
        """,
        test_it="def test_it(): pass",
    )
    run = suite.forked("--fork-template", source)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "RuntimeError: not in here" in run.out


@pytest.mark.parametrize("source", COLLECTING)
def test_both_collect_at_the_same_time(suite: Suite, source: str) -> None:
    """Each waits, while it collects, until the other one has begun."""
    suite.write(
        conftest="""
            import pathlib, time
            def pytest_collection(session):
                names = ["pytest", "template"]
                own = hasattr(session.config, "workerinput")
                pathlib.Path(names[own]).touch()
                while not pathlib.Path(names[not own]).exists(): time.sleep(0.01)
        """,
        test_it="def test_it(): pass",
    )
    assert suite.forked("--fork-template", source).code == 0


@pytest.mark.parametrize("source", COLLECTING)
def test_what_ends_the_template(suite: Suite, source: str) -> None:
    """That is an error of the user's, too, and no internal one."""
    suite.write(
        conftest="""
            import os
            def pytest_sessionstart(session):
                if hasattr(session.config, "workerinput"): os._exit(3)
        """,
        test_it="def test_it(): pass",
    )
    run = suite.forked("--fork-template", source)
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    assert "the template could not be made ready for its first fork:" in run.out
    assert "exited with code 3" in run.out


@pytest.mark.parametrize("source", SOURCES)
def test_a_preload_that_crashes(suite: Suite, source: str) -> None:
    """It takes the template with it; how that ended is shown."""
    suite.write(fatal="import os; os.abort()", test_it="def test_it(): pass")
    run = suite.forked("--fork-template", source, "--fork-preload=fatal")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    assert "died with signal 6 (SIGABRT)" in run.out
    assert source in COLLECTING or "--fork-preload fatal failed in the template" in run.out


@pytest.mark.parametrize("source", COLLECTING)
def test_the_cache_is_cleared_once(suite: Suite, source: str) -> None:
    """By pytest's own process: a template that cleared it later would take with it what plugins have kept since."""
    suite.write(
        conftest="""
            def pytest_sessionstart(session):
                if not hasattr(session.config, "workerinput"): session.config.cache.set("kept/value", 1)
        """,
        test_it="def test_it(): pass",
    )
    run = suite.forked("--fork-template", source, "--cache-clear")
    assert run.code == 0, run.out
    assert (suite.path / ".pytest_cache" / "v" / "kept" / "value").exists()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("arguments", [(), ("-s",)], ids=" ".join)
def test_standard_input(suite: Suite, source: str, arguments: tuple[str, ...]) -> None:
    """Where capturing is off, or switched off as debuggers do it, a test reads what pytest was given."""
    suite.write(
        test_it="""
            import os
            def test_it(pytestconfig):
                capture = pytestconfig.pluginmanager.getplugin("capturemanager")
                capture.suspend(in_=True)
                words = os.read(0, 100)
                capture.resume()
                assert words == b"words"
        """
    )
    reader, writer = os.pipe()
    os.write(writer, b"words")
    os.close(writer)
    process = suite.start("-p", "forkiso", "--forked", "--fork-template", source, *arguments, stdin=reader)
    os.close(reader)
    run = process.finish()
    assert run.code == 0, run.out


@pytest.mark.parametrize("source", SOURCES)
def test_log_file(suite: Suite, source: str) -> None:
    """What is logged while collecting is in the log file once, and so is what a test logs."""
    suite.write(
        test_it="""
            import logging
            logging.getLogger().warning("while collecting")
            def test_it(): logging.getLogger().warning("in a test")
        """
    )
    run = suite.forked("--fork-template", source, "--log-file=log.txt")
    assert run.code == 0, run.out
    log = (suite.path / "log.txt").read_text()
    assert log.count("in a test") == 1
    assert source == "bare" or log.count("while collecting") == 1


@pytest.mark.parametrize("source", SOURCES)
def test_junit(suite: Suite, source: str) -> None:
    """Properties come into the XML from each source."""
    suite.write(
        test_it="""
            def test_it(record_property, record_testsuite_property, record_xml_attribute):
                record_property("of_test", 1)
                record_testsuite_property("of_suite", 2)
                record_xml_attribute("of_xml", 3)
        """
    )
    run = suite.forked("--fork-template", source, "--junitxml=report.xml", "-o", "junit_family=xunit1")
    xml = (suite.path / "report.xml").read_text()
    for expected in ('name="of_test" value="1"', 'name="of_suite" value="2"', 'of_xml="3"', 'tests="1"'):
        assert expected in xml, run.out


@pytest.mark.parametrize("source", SOURCES)
def test_setup_only(suite: Suite, source: str) -> None:
    """What other plugins set before a session begins holds in the template, too."""
    suite.write(
        test_it="""
            import pytest
            @pytest.fixture
            def fx(): pass
            def test_it(fx): assert 0
        """
    )
    run = suite.forked("--fork-template", source, "--setup-only")
    assert "SETUP    F fx" in run.out
    assert run.code == 0, run.out


@pytest.mark.parametrize("source", ["exec", "bare"])
def test_without_an_interpreter(suite: Suite, source: str) -> None:
    """The error names the remedy, and with that tests run."""
    suite.write(headless="import sys; sys.frozen, sys.executable = True, ''", test_it="def test_it(): pass")
    run = suite.forked("-p", "headless", "--fork-template", source)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "or use --fork-template=early" in run.out
    assert suite.forked("-p", "headless", "--fork-template=early").code == 0


def test_early_is_too_late(suite: Suite) -> None:
    """A conftest file that loads the plugin is loaded already."""
    suite.write(conftest="pytest_plugins = ['pytest_forkiso.plugin']", test_it="def test_it(): pass")
    (suite.path / "pytest.ini").write_text("[pytest]\nfork_template = early\n")
    run = suite.run("--forked")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "--fork-template=early needs this plugin before conftest files are loaded" in run.out
    (suite.path / "pytest.ini").write_text("[pytest]\nfork_template = exec\n")
    assert suite.run("--forked").code == 0


@pytest.mark.parametrize("source", SOURCES)
def test_interpreters_that_tests_start(suite: Suite, source: str) -> None:
    """They get the flags of this one, as multiprocessing's and joblib's do, and find what is installed."""
    suite.write(
        test_it="""
            import builtins, subprocess, sys
            def test_it():
                assert not sys.flags.no_site
                assert hasattr(builtins, "exit")
                flags = subprocess._args_from_interpreter_flags()
                subprocess.run([sys.executable, *flags, "-c", "import pytest"], check=True)
        """
    )
    run = suite.forked("--fork-template", source)
    assert run.code == 0, run.out


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("arguments", [("../other",), ("../other/test_a.py", "../other/test_b.py")], ids=" ".join)
def test_outside_of_the_root_directory(suite: Suite, source: str, arguments: tuple[str, ...]) -> None:
    """Node ids do not tell where such tests are, and those of several files may be equal."""
    (suite.path / "root").mkdir()
    (suite.path / "other").mkdir()
    (suite.path / "root" / "pytest.ini").write_text("[pytest]\n")
    (suite.path / "root" / "test_it.py").write_text("def test_it(): pass\n")
    tests = "def test_1(): assert {0}\ndef test_2(): pass\ndef test_{1}(): assert {0}\n"
    (suite.path / "other" / "test_a.py").write_text(tests.format(0, "a"))
    (suite.path / "other" / "test_b.py").write_text(tests.format(1, "b"))
    places = [str(suite.path / "root"), *(str(suite.path / "root" / each) for each in arguments)]
    common = ("--rootdir", str(suite.path / "root"), "--import-mode=importlib", *places)
    plain, forked = suite.plain(*common), suite.forked("--fork-template", source, *common)
    assert [(each.nodeid, each.outcome) for each in forked.reports] == [
        (each.nodeid, each.outcome) for each in plain.reports
    ], forked.out
    assert sum(each.outcome == "failed" for each in plain.reports) == 2
