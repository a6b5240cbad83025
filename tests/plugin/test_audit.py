"""What tests leave behind is found, named, and on request a failure; what they do not leave is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Run, Suite

SECTION = "Audit (teardown)"

CLEAN = """
import contextlib, logging, os, signal, subprocess, sys, tempfile, threading, warnings
import pytest
import package

@pytest.fixture
def restored():
    package.values.append(1)
    handler = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    yield
    package.values.pop()
    signal.signal(signal.SIGUSR1, handler)

def test_everything_in_order(tmp_path, monkeypatch, capfd, caplog, restored, request):
    monkeypatch.setenv("ADDED", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(package, "number", 2)
    (tmp_path / "file").write_text("x")
    with open("other", "w") as file, tempfile.TemporaryFile():
        file.write("x")
    print("captured")
    logging.getLogger("some").warning("logged")
    with pytest.warns(UserWarning):
        warnings.warn("warned")
    subprocess.run([sys.executable, "-c", ""], check=True)
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()
    import json.tool
    request.addfinalizer(lambda: None)

def test_cycle_that_holds_a_file():
    cycle = [open("/dev/null")]
    cycle.append(cycle)

@pytest.mark.parametrize("number", range(2))
def test_parameters(number): pass

def test_fails(): assert 0
"""


def write_package(suite: Suite) -> None:
    """Write a package with globals."""
    (suite.path / "package").mkdir()
    (suite.path / "package" / "__init__.py").write_text(
        "import collections\n"
        "values = []\ntable = {}\nnames = set()\nnumber = 1\nraw = bytearray()\nqueue = collections.deque()\n"
        "counts = collections.Counter()\nlists = collections.defaultdict(list)\n"
    )


def found(run: Run, name: str) -> list[str]:
    """Give the findings of a test, from its report."""
    sections = dict(run.report(name, "teardown").sections)
    return sections.get(SECTION, "").splitlines()


def test_nothing_is_found_where_nothing_is_left(suite: Suite) -> None:
    """Fixtures that restore, context managers, captured output, subprocesses: none of it is left."""
    write_package(suite)
    suite.write(test_clean=CLEAN)
    run = suite.forked("--fork-audit=fail")
    assert "0 of 5 tests left something behind" in run.out, run.out
    assert run.outcomes()["test_everything_in_order"] == "passed"
    assert run.outcomes()["test_fails"] == "failed"


LEFT = {
    "process": ('subprocess.Popen(["sleep", "1000"])', r"processes: process \d+: sleep 1000"),
    "thread": (
        'threading.Thread(target=threading.Event().wait, daemon=True, name="mine").start()',
        "threads: thread 'mine', a daemon",
    ),
    "descriptor": ('os.open("/dev/null", os.O_RDONLY)', r"descriptors: descriptor \d+ is open: /dev/null"),
    "closed": ("os.close(held)", r"descriptors: descriptor \d+ is closed: /dev/zero"),
    "made": ('open("made", "w").close()', "files: made was made"),
    "changed": ('open("there", "a").write("more")', "files: there was changed"),
    "removed": ('os.unlink("there")', "files: there was removed"),
    "folder": ('os.makedirs("deep/deeper")', "files: deep was made"),
    "added": ('os.environ["ADDED"] = "secret"', "environment: variable ADDED was added"),
    "lost": ('del os.environ["PATH"]', "environment: variable PATH was removed"),
    "directory": ('os.chdir("/")', r"place: working directory is /, and was .+"),
    "umask": ("os.umask(0o011)", r"place: umask is 011, and was \d+"),
    "signal": ("signal.signal(signal.SIGUSR1, signal.SIG_IGN)", "signals: handler of SIGUSR1 is SIG_IGN"),
    "blocked": ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])", "signals: SIGUSR2 is blocked"),
    "locale": ('locale.setlocale(locale.LC_ALL, "C")', r"locale: locale is C, and was .+"),
    "path": ('sys.path.append("/left")', "sys.path: sys.path has '/left'"),
    "order": ("sys.path.reverse()", "sys.path: sys.path is in another order"),
    "level": ("logging.getLogger().setLevel(5)", "logging: logger root is configured anew"),
    "handler": (
        'logging.getLogger("some").addHandler(logging.NullHandler())',
        "logging: logger some is configured anew",
    ),
    "disabled": ("logging.disable(50)", r"logging: logging.disable\(\) is in force"),
    "argv": ("sys.argv.append('x')", r"settings: sys\.argv is \[.*'x'\], and was \[.*\]"),
    "hook": ("sys.excepthook = print", r"settings: sys\.excepthook is print"),
    "recursion": ("sys.setrecursionlimit(5000)", r"settings: the recursion limit is 5000, and was \d+"),
    "garbage": ("gc.set_threshold(123)", r"settings: gc.get_threshold\(\) is \(123, .*\), and was \(.*\)"),
    "nice": ("os.nice(1)", r"settings: the priority is \d+, and was \d+"),
    "zone": (
        "os.environ['TZ'] = 'XYZ3'; time.tzset(); del os.environ['TZ']",
        r"settings: time.tzname is \('XYZ', 'XYZ'\), and was \(.*\)",
    ),
    "builtin": ("builtins.left = 1", "settings: names in builtins: left"),
    "timer": ("signal.setitimer(signal.ITIMER_REAL, 1000)", "settings: timer ITIMER_REAL is on, and was off"),
    "timeout": (
        "socket.setdefaulttimeout(3)",
        r"settings: the default timeout of sockets is 3\.0, and was None",
    ),
    "bound": ("package.number = 2", "globals: package.number is another object"),
    "list": ("package.values.append(1)", "globals: package.values has other contents"),
    "dict": ("package.table[1] = 2", "globals: package.table has other contents"),
    "deque": ("package.queue.append(1)", "globals: package.queue has other contents"),
    "counter": ("package.counts[1] += 1", "globals: package.counts has other contents"),
    "default": ("package.lists[1]", "globals: package.lists has other contents"),
    "bytes": ("package.raw.extend(b'x')", "globals: package.raw has other contents"),
    "set": ("package.names.add(1)", "globals: package.names has other contents"),
    "new": ("package.more = 1", "globals: package.more was added"),
    "deleted": ("del package.number", "globals: package.number was removed"),
    "unloaded": ('del sys.modules["package"]', "globals: module package is gone from sys.modules"),
}
"""What a test does, and the finding that must be the only one of it."""


def write_leaving(suite: Suite) -> None:
    """Write a test for each way to leave something."""
    write_package(suite)
    (suite.path / "there").write_text("x")
    lines = ["import builtins, gc, locale, logging, os, signal, socket, subprocess, sys, threading, time"]
    lines.append("import package")
    lines.append('held = os.open("/dev/zero", os.O_RDONLY)')
    lines += [f"def test_{name}(): {code}" for name, (code, _) in LEFT.items()]
    (suite.path / "test_left.py").write_text("\n".join(lines))


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_is_found(suite: Suite, name: str) -> None:
    """Each kind by itself, in the report, and in the list at the end."""
    write_leaving(suite)
    run = suite.forked("--fork-audit", "-k", f"test_{name}")
    (line,) = found(run, f"test_{name}")
    assert re.fullmatch(LEFT[name][1], line), line
    assert run.code == 0
    assert f"test_left.py::test_{name}\n  {line}\n1 of 1 tests left something behind" in run.out


@pytest.mark.parametrize("is_undone", [True, False])
def test_filters_of_warnings(suite: Suite, is_undone: bool) -> None:  # noqa: FBT001 - a parameter
    """Are undone by pytest after each test, and so are left only where its plugin for that is switched off."""
    suite.write(test_it="import warnings\ndef test_it(): warnings.simplefilter('ignore')\n")
    run = suite.forked("--fork-audit", *([] if is_undone else ["-p", "no:warnings"]))
    lines = found(run, "test_it")
    if is_undone:
        assert lines == []
    else:
        assert re.fullmatch(r"warnings: warnings.filters has \d+ entries, and had \d+", lines[0])


def test_findings_as_failures(suite: Suite) -> None:
    """In the teardown of a test that has passed; one that has failed keeps its own failure."""
    suite.write(
        test_it="""
        import os
        import pytest
        def test_leaves(): os.environ["ADDED"] = "secret"
        def test_fails(): os.environ["ADDED"] = "secret"; assert 0
        @pytest.fixture
        def failing(): yield; assert "torn" == "down"
        def test_fails_at_its_end(failing): os.environ["ADDED"] = "secret"
        def test_clean(): pass
        """
    )
    run = suite.forked("--fork-audit=fail")
    assert run.code == 1
    assert run.outcomes() == {
        "test_leaves": "passed+error",
        "test_fails": "failed+error",
        "test_fails_at_its_end": "passed+error",
        "test_clean": "passed",
    }
    assert 'assert "torn" == "down"' in run.report("test_fails_at_its_end", "teardown").text
    text = run.report("test_leaves", "teardown").text
    assert text == "the test left something behind (--fork-audit=fail):\nenvironment: variable ADDED was added"
    assert "secret" not in run.report("test_leaves", "teardown").everything


def test_the_ini_option(suite: Suite) -> None:
    """As on the command line; another value is a usage error."""
    suite.write(test_it="def test_it(): pass")
    suite.pytester.makeini("[pytest]\nfork_audit = list")
    assert "0 of 1 tests left something behind" in suite.forked().out
    suite.pytester.makeini("[pytest]\nfork_audit = yes")
    run = suite.forked()
    assert run.code == 4
    assert "the ini option fork_audit must be one of list, fail, not 'yes'" in run.out


@pytest.mark.parametrize("option", ["--fork-audit", "--fork-audit=list"])
def test_a_path_behind_the_option(suite: Suite, option: str) -> None:
    """Is a path; another value is a usage error."""
    suite.write(test_it="def test_it(): pass", test_other="def test_other(): pass")
    assert "0 of 1 tests left something behind" in suite.forked(option, "test_it.py").out
    wrong = suite.forked("--fork-audit=some")
    assert wrong.code == 4
    assert "'some'" in wrong.out


def test_only_forked_tests_are_audited(suite: Suite) -> None:
    """What others do stays in pytest's own process."""
    suite.write(
        test_it="""
        import os, pytest
        def test_here(): os.environ["ADDED"] = "1"
        @pytest.mark.forked
        def test_forked(): pass
        """
    )
    run = suite.run("-p", "forkiso", "--fork-audit")
    assert "0 of 1 tests left something behind" in run.out


@pytest.mark.parametrize("kind", ["exec", "bare", "early"])
def test_with_another_template(suite: Suite, kind: str) -> None:
    """The same findings, and no more."""
    write_package(suite)
    suite.write(test_it="import package\ndef test_left(): package.number = 2\ndef test_clean(): pass")
    run = suite.forked("--fork-audit", f"--fork-template={kind}")
    assert found(run, "test_left") == ["globals: package.number is another object"]
    assert "1 of 2 tests left something behind" in run.out


def test_in_workers_of_xdist(suite: Suite) -> None:
    """The controller lists them."""
    pytest.importorskip("xdist")
    suite.write(test_it="import os\ndef test_left(): os.environ['ADDED'] = '1'\ndef test_clean(): pass")
    run = suite.run("-p", "xdist", "-p", "forkiso", "-n", "2", "--forked", "--fork-audit")
    assert "1 of 2 tests left something behind" in run.out, run.out


def test_with_shared_fixtures(suite: Suite) -> None:
    """What their set-up leaves is not put down to a test; what the test leaves is."""
    suite.write(
        test_it="""
        import os, pytest
        @pytest.fixture(scope="session")
        def wide(): os.environ["WIDE"] = "1"; return os.getpid()
        @pytest.mark.forked(memory="64M")
        def test_left(wide):
            assert wide != os.getpid()
            os.environ["ADDED"] = "1"
            with pytest.raises(MemoryError): bytearray(200 << 20)
        """
    )
    run = suite.forked("--fork-audit", "--fork-share=session")
    assert run.outcomes() == {"test_left": "passed"}
    assert found(run, "test_left") == ["environment: variable ADDED was added"]


def test_in_a_sandbox(suite: Suite) -> None:
    """At the limit of descriptors it finds what is open."""
    suite.write(
        test_it="""
        import os, pytest
        @pytest.mark.forked(open_files=4)
        def test_it():
            while True: os.open("/dev/null", os.O_RDONLY)
        @pytest.mark.forked(cwd="tmp")
        def test_own_folder(): open("file", "w").close()
        """
    )
    run = suite.run("-p", "forkiso", "--fork-audit")
    assert run.outcomes() == {"test_it": "failed", "test_own_folder": "passed"}
    assert found(run, "test_own_folder") == []
    assert len([line for line in found(run, "test_it") if line.startswith("descriptors: ")]) == 4


def test_without_the_option_nothing_is_loaded(suite: Suite) -> None:
    """Neither in pytest's own process nor in a test's."""
    suite.write(
        test_it="""
        import sys
        def test_it(): assert not [name for name in sys.modules if "_audit" in name and "summary" not in name]
        """
    )
    assert suite.forked().outcomes() == {"test_it": "passed"}
