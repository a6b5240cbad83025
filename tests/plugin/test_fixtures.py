"""Each forked test sets up and tears down what it uses, in its own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner import search_path
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

SCOPES = """
import os
import pytest

def note(*words):
    with open("log", "a") as file: print(os.getpid(), *words, file=file)

def make(scope):
    @pytest.fixture(scope=scope, name=scope + "_fixture")
    def fixture():
        note("setup", scope)
        yield [scope]
        note("teardown", scope)
    return fixture

function_fixture, class_fixture, module_fixture, session_fixture = map(make, ["function", "class", "module", "session"])
USED = ["function_fixture", "class_fixture", "module_fixture", "session_fixture"]
"""


def test_each_test_has_its_own_setups(suite: Suite) -> None:
    """Fixtures of all scopes: set up once in each test's process, torn down there, innermost first."""
    suite.write(
        conftest=SCOPES,
        test_scopes="""
        import pytest
        from conftest import USED, note
        pytestmark = pytest.mark.usefixtures(*USED)
        class TestClass:
            def test_one(self, session_fixture): note("test"); session_fixture.append(1)
            def test_two(self, session_fixture): note("test"); assert session_fixture == ["session"]
        def test_fails(): note("test"); assert 0
        """,
    )
    suite.forked()
    lines = [line.split() for line in (suite.path / "log").read_text().splitlines()]
    by_process: dict[str, list[str]] = {}
    for pid, *words in lines:
        by_process.setdefault(pid, []).append(" ".join(words))
    scopes = ["session", "module", "class", "function"]
    wanted = [*(f"setup {s}" for s in scopes), "test", *(f"teardown {s}" for s in reversed(scopes))]
    assert list(by_process.values()) == [wanted] * 3


def test_nothing_is_inherited(suite: Suite) -> None:
    """What tests in pytest's own process set up, import, change or start is not there in a forked test."""
    suite.write(
        conftest=SCOPES,
        test_mixed="""
        import os, sys, threading
        import pytest
        STATE = []
        @pytest.mark.usefixtures("session_fixture", "module_fixture")
        def test_here_first():
            import colorsys
            STATE.append("here"); os.environ["LEFT"] = "1"; os.chdir("/")
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        @pytest.mark.forked
        @pytest.mark.usefixtures("session_fixture")
        def test_forked():
            assert STATE == [] and "LEFT" not in os.environ and "colorsys" not in sys.modules
            assert os.getcwd() == os.path.dirname(__file__) and threading.active_count() == 1
            STATE.append("forked"); os.environ["LEFT"] = "forked"; os.chdir("/tmp")
        @pytest.mark.forked
        def test_forked_again(): assert STATE == [] and "LEFT" not in os.environ
        @pytest.mark.usefixtures("session_fixture", "module_fixture")
        def test_here_last():
            assert STATE == ["here"] and os.environ["LEFT"] == "1" and os.getcwd() == "/"
        """,
    )
    suite.environment["PYTHONPATH"] = search_path(suite.path)
    run = suite.run("-p", "forkiso", "-p", "no:cacheprovider")
    assert run.code == 0, run.out
    lines = [line.split() for line in (suite.path / "log").read_text().splitlines()]
    assert len({pid for pid, *_ in lines}) == 2
    assert [words for _, *words in lines].count(["setup", "session"]) == 2
    assert [words for _, *words in lines].count(["setup", "module"]) == 1  # kept over the forked tests in between


def test_forked_tests_see_no_fixture_that_is_set_up_here(suite: Suite) -> None:
    """A session fixture set up in pytest's own process before is set up anew, in the child."""
    suite.write(
        test_session="""
        import os
        import pytest
        @pytest.fixture(scope="session")
        def owner(): return os.getpid()
        def test_here(owner): assert owner == os.getpid()
        @pytest.mark.forked
        def test_forked(owner): assert owner == os.getpid()
        def test_here_again(owner): assert owner == os.getpid()
        """
    )
    run = suite.run("-p", "forkiso")
    assert run.code == 0, run.out


def test_random_numbers_differ_between_tests_where_they_should(suite: Suite) -> None:
    """No two children draw the same unpredictable numbers."""
    suite.write(
        test_random="""
        import os, secrets, tempfile, uuid
        import pytest
        @pytest.mark.parametrize("n", range(4))
        def test_draw(n):
            name = os.path.basename(tempfile.mktemp())
            open("drawn", "a").write(f"{uuid.uuid4()} {secrets.token_hex()} {os.urandom(8).hex()} {name}\\n")
        """
    )
    suite.forked()
    rows = [line.split() for line in (suite.path / "drawn").read_text().splitlines()]
    assert len({value for row in rows for value in row}) == 16


def test_builtin_fixtures(suite: Suite) -> None:
    """Pytest's own fixtures work as ever, and say the same."""
    suite.write(
        test_builtin="""
        import logging, os, sys, warnings
        import pytest
        def test_capsys(capsys):
            print("seen"); assert capsys.readouterr().out == "seen\\n"
            with capsys.disabled(): pass
        def test_capfd(capfd): os.system("echo deep"); assert capfd.readouterr().out == "deep\\n"
        def test_capfdbinary(capfdbinary):
            os.write(1, b"\\xff"); assert capfdbinary.readouterr().out == b"\\xff"
        def test_caplog(caplog):
            with caplog.at_level("INFO"): logging.info("told")
            assert caplog.messages == ["told"]; assert 0
        def test_monkeypatch(monkeypatch):
            monkeypatch.setenv("A_NAME", "1"); monkeypatch.chdir("/"); monkeypatch.setattr(os, "getcwd", lambda: "x")
        def test_recwarn(recwarn): warnings.warn("w"); assert len(recwarn) == 1
        def test_config(request): assert request.config.getoption("forked", "absent") is not None
        def test_deprecated():
            with pytest.deprecated_call(): warnings.warn("d", DeprecationWarning)
        def test_finalizer(request): request.addfinalizer(lambda: print("finalised"))
        def test_stdin():
            with pytest.raises(OSError): input()
        def test_current_test(): assert os.environ["PYTEST_CURRENT_TEST"].endswith("test_current_test (call)")
        def test_doctest_namespace(doctest_namespace): doctest_namespace["x"] = 1
        """
    )
    plain = suite.plain("-rA")
    assert plain.outcomes().pop("test_caplog") == "failed"
    assert set(plain.outcomes().values()) == {"passed", "failed"}
    assert_same(plain, suite.forked("-rA"))


@pytest.mark.parametrize("policy", ["all", "failed", "none"])
def test_tmp_path(suite: Suite, policy: str) -> None:
    """Unique in the run, under the run's one base directory, and kept or removed as pytest's policy says."""
    suite.write(
        test_tmp="""
        import os
        import pytest
        def note(path):
            with open(os.environ["LOG"], "a") as file: print(path, file=file)
            (path / "file").write_text("text")
        @pytest.mark.parametrize("n", range(3))
        def test_same_name(tmp_path, n): note(tmp_path)
        def test_fails(tmp_path): note(tmp_path); assert 0
        def test_made(tmp_path_factory): note(tmp_path_factory.mktemp("made")); note(tmp_path_factory.mktemp("made"))
        @pytest.fixture(scope="module")
        def module_path(tmp_path_factory): return tmp_path_factory.mktemp("wide")
        def test_wide(module_path): note(module_path)
        def test_wide_again(module_path): note(module_path)
        def test_tmpdir(tmpdir): assert tmpdir.check(dir=True)
        """
    )
    found = []
    for name in ("plain", "forked"):
        log = suite.path / f"{name}.log"
        suite.environment["LOG"] = str(log)
        getattr(suite, name)("-o", f"tmp_path_retention_policy={policy}")
        paths = [suite.path / line for line in log.read_text().splitlines()]
        bases = {path.parent for path in paths}
        assert len(bases) == 1, bases
        found.append([(path.name, path.exists(), (path / "file").exists()) for path in paths])
    plain, forked = found
    assert [entry for entry in forked if "wide" not in entry[0]] == [entry for entry in plain if "wide" not in entry[0]]
    names = [name for name, *_ in forked]
    assert len(names) == len(set(names))


def test_cache_is_shared_with_later_runs(suite: Suite) -> None:
    """What a forked test stores in pytest's cache is there in the next run."""
    suite.write(
        test_cache="""
        def test_set(request, cache):
            before = cache.get("own/value", 0)
            cache.set("own/value", before + 1)
            assert before == 1
        """
    )
    assert suite.forked().code == 1
    assert suite.forked().code == 0


def test_pytester_within_a_forked_test(suite: Suite) -> None:
    """A forked test can run pytest itself, in its process and in another one."""
    suite.write(
        conftest="pytest_plugins = ['pytester']",
        test_nested="""
        def test_in_process(pytester):
            pytester.makepyfile("def test_inner(): pass\\ndef test_bad(): assert 0")
            pytester.runpytest_inprocess().assert_outcomes(passed=1, failed=1)
        def test_forked_in_process(pytester):
            pytester.makepyfile("def test_inner(): pass\\ndef test_bad(): import os; os._exit(0)")
            pytester.runpytest_inprocess("-p", "forkiso", "--forked").assert_outcomes(passed=1, failed=1)
        def test_subprocess(pytester):
            pytester.makepyfile("def test_inner(): pass")
            pytester.runpytest_subprocess("-p", "forkiso", "--forked").assert_outcomes(passed=1)
        """,
    )
    run = suite.forked()
    assert run.code == 0, run.out
