"""``--fork-preload auto``: what tests import late is found, measured, kept, and preloaded in the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

HEAVY = """
    import pathlib, time
    with pathlib.Path("imports.log").open("a") as log:
        log.write(__name__ + "\\n")
    began = time.thread_time()
    while time.thread_time() < began + 0.02: pass
"""
THREADED = (
    HEAVY
    + """
    import threading
    threading.Thread(target=threading.Event().wait, name="background", daemon=True).start()
"""
)
TESTS = """
    def test_1():
        import heavy, light, package.part, threaded
    def test_2():
        import heavy, light, package.part, threaded
    def test_3():
        import once
"""


def write(suite: Suite) -> None:
    """Write modules of each kind, and tests that import them late."""
    suite.write(heavy=HEAVY, threaded=THREADED, light="", once=HEAVY, test_it=TESTS)
    (suite.path / "package").mkdir()
    (suite.path / "package" / "__init__.py").touch()
    (suite.path / "package" / "part.py").write_text("import heavy")


def imports(suite: Suite) -> dict[str, int]:
    """Give how often each module was imported since the last call."""
    log = suite.path / "imports.log"
    names = log.read_text().split()
    log.unlink()
    return {name: names.count(name) for name in sorted(set(names))}


@pytest.mark.parametrize("source", ["fork", "exec", "bare"])
def test_the_next_run_preloads(suite: Suite, source: str) -> None:
    """Those that cost something, in several tests, and make no hazard."""
    write(suite)
    first = suite.forked("--fork-preload=auto", "--fork-template", source)
    assert first.code == 0, first.out
    assert imports(suite) == {"heavy": 2 + 1, "once": 1, "threaded": 2 + 1}  # and once more to be measured
    assert "in each of 2 processes; it is preloaded from now on" in first.out
    assert "forkiso: importing heavy cost " in first.out
    assert "in each of 2 processes; it makes a hazard, and is not preloaded" in first.out
    for name in ("light", "once", "package"):
        assert f"importing {name} cost" not in first.out

    second = suite.forked("--fork-preload=auto", "--fork-template", source)
    assert second.code == 0, second.out
    assert imports(suite) == {"heavy": 1, "once": 1, "threaded": 2 + 1}
    assert "importing heavy" not in second.out


def test_what_files_import(suite: Suite) -> None:
    """With templates of files, each of these counts once, and not each of its tests."""
    write(suite)
    tests = "import heavy\ndef test_1(): pass\ndef test_2(): pass"
    suite.write(test_it=tests, test_other=tests)
    first = suite.forked("--fork-preload=auto", "--fork-template=bare")
    assert first.code == 0, first.out
    assert "in each of 2 processes; it is preloaded from now on" in first.out
    imports(suite)
    assert suite.forked("--fork-preload=auto", "--fork-template=bare").code == 0
    assert imports(suite)["heavy"] == 2  # in pytest's own process, and in the bare template


def test_without_it_nothing_is_learned_or_used(suite: Suite) -> None:
    """The cache is neither written nor read."""
    write(suite)
    assert "importing" not in suite.forked().out
    suite.forked("--fork-preload=auto")
    imports(suite)
    suite.forked()
    assert imports(suite)["heavy"] == 2


def test_a_module_that_is_gone(suite: Suite) -> None:
    """It is no error where nobody has asked for it by name."""
    write(suite)
    suite.forked("--fork-preload=auto")
    (suite.path / "heavy.py").unlink()
    suite.write(test_it="def test_it(): pass")
    assert suite.forked("--fork-preload=auto").code == 0


@pytest.mark.parametrize("source", ["fork", "bare"])
def test_a_module_that_is_a_hazard_by_now(suite: Suite, source: str) -> None:
    """The run does not begin; the error says how to have it forgotten, and that helps."""
    write(suite)
    suite.forked("--fork-preload=auto")
    suite.write(heavy=THREADED)
    run = suite.forked("--fork-preload=auto", "--fork-template", source)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "--fork-preload auto failed in the template" in run.out
    assert "which importing heavy has started: 'background'" in run.out
    assert "have that forgotten, with --cache-clear" in run.out
    assert suite.forked("--fork-preload=auto", "--fork-template", source, "--cache-clear").code == 0


def test_a_module_that_opens_what_children_must_not_share(suite: Suite) -> None:
    """That is a hazard as a thread is."""
    database = """
    import sqlite3
    connection = sqlite3.connect("data.db")
    connection.execute("create table if not exists t (a)")
    connection.commit()
"""
    suite.write(
        opening=HEAVY + database,
        test_it="def test_1(): import opening\ndef test_2(): import opening",
        conftest="import sqlite3",
    )
    run = suite.forked("--fork-preload=auto")
    assert run.code == 0, run.out
    assert "importing opening cost" in run.out
    assert "it makes a hazard, and is not preloaded" in run.out


def test_a_cache_that_somebody_else_has_written(suite: Suite) -> None:
    """It is not believed."""
    suite.write(test_it="def test_it(): pass")
    folder = suite.path / ".pytest_cache" / "v" / "forkiso"
    folder.mkdir(parents=True)
    (folder / "preload").write_text('{"a": [1]}')
    assert suite.forked("--fork-preload=auto").code == 0
    (folder / "preload").write_text('[1, null, "json"]')
    assert suite.forked("--fork-preload=auto").code == 0


def test_a_candidate_that_ends_its_process(suite: Suite) -> None:
    """The run ends as it would have; what was measured before is kept."""
    write(suite)
    suite.write(
        deadly="""
            import os, sys
            if "test_it" not in sys.modules or not sys.modules["test_it"].is_running:
                os._exit(1)
        """,
        test_it="""
            is_running = False
            def test_1():
                global is_running
                is_running = True
                import heavy, deadly
            def test_2():
                global is_running
                is_running = True
                import heavy, deadly
        """,
    )
    run = suite.forked("--fork-preload=auto")
    assert run.code == 0, run.out
    assert "importing heavy cost" in run.out
