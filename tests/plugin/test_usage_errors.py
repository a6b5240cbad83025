"""What is asked for and cannot be: said before the first test runs, in words that tell what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Run, Suite


def assert_refused(run: Run, *words: str) -> None:
    """Check that no test ran, and that the message has these words."""
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.out
    assert not run.reports
    assert "INTERNALERROR" not in run.out
    for word in words:
        assert word in run.out, run.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fork-timeout=-1"], ["--fork-timeout", "-1"]),
        (["--fork-timeout=0"], ["--fork-timeout"]),
        (["--fork-timeout=nan"], ["--fork-timeout", "nan"]),
        (["--fork-timeout=inf"], ["--fork-timeout", "inf"]),
        (["--fork-timeout=soon"], ["--fork-timeout", "soon"]),
        (["-o", "fork_timeout=soon"], ["fork_timeout", "soon"]),
        (["--fork-jobs=0"], ["--fork-jobs", "0"]),
        (["--fork-jobs=many"], ["--fork-jobs", "many"]),
        (["-o", "fork_output_limit=-5"], ["fork_output_limit", "-5"]),
        (["-o", "fork_template=cold"], ["fork_template", "auto, fork, exec, bare, early", "cold"]),
        (["-o", "fork_gc=some"], ["fork_gc", "own, all", "some"]),
    ],
    ids=" ".join,
)
def test_options(suite: Suite, options: list[str], words: list[str]) -> None:
    """A value that is none, in an option or an ini file."""
    suite.write(test_a="def test_a(): pass")
    assert_refused(suite.forked(*options), *words)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("timeout=-1", ["timeout", "-1"]),
        ("timeout='soon'", ["timeout", "soon"]),
        ("timeout=True", ["timeout", "True"]),
        ("timeout=[1]", ["timeout", "[1]"]),
        ("timout=1", ["timout", "timeout"]),
        ("5", ["positional", "5"]),
    ],
)
def test_marker_arguments(suite: Suite, marker: str, words: list[str]) -> None:
    """The message names the test."""
    suite.write(
        test_marked=f"""
        import pytest
        def test_fine(): pass
        class TestClass:
            @pytest.mark.forked({marker})
            def test_wrong(self): pass
        """
    )
    assert_refused(suite.run("-p", "forkiso"), "test_marked.py::TestClass::test_wrong", *words)


def test_an_unknown_module_to_preload(suite: Suite) -> None:
    """The traceback is there, without the frames of the machinery being all that is seen."""
    suite.write(test_a="def test_a(): pass")
    run = suite.forked("--fork-preload=json,no_such_module_here")
    assert_refused(run, "no_such_module_here", "ModuleNotFoundError", "--fork-preload")


def test_a_module_to_preload_that_fails(suite: Suite) -> None:
    """Its own traceback is shown."""
    suite.write(broken_module="def inner(): raise RuntimeError('at import')\ninner()", test_a="def test_a(): pass")
    assert_refused(suite.forked("--fork-preload=broken_module"), "RuntimeError: at import", "in inner")


def test_a_module_to_preload_that_exits(suite: Suite) -> None:
    """A module that leaves the interpreter, or kills it, is an error and no hang."""
    for statement in ("raise SystemExit(0)", "import os; os._exit(0)", "import os; os.abort()"):
        suite.write(exits=statement, test_a="def test_a(): pass")
        run = suite.forked("--fork-preload=exits")
        assert run.code not in (0, 1), run.out
        assert not run.reports


def test_modules_are_preloaded_once(suite: Suite) -> None:
    """From options, repeated and with commas, and from the ini file; in the template, not in pytest's own process."""
    for name in ("one", "two", "three", "four"):
        suite.write(
            **{f"mod_{name}": "import os\nwith open('imports', 'a') as f: print(os.getpid(), __name__, file=f)"}
        )
    suite.write(
        test_loaded="""
        import os, sys
        import pytest
        @pytest.mark.parametrize("n", range(3))
        @pytest.mark.forked
        def test_loaded(n):
            for name in ("one", "two", "three", "four"): assert "mod_" + name in sys.modules
        def test_not_here(): assert "mod_one" not in sys.modules
        """
    )
    suite.pytester.makeini("[pytest]\nfork_preload = mod_one mod_two")
    run = suite.run("-p", "forkiso", "--fork-preload=mod_three,mod_one", "--fork-preload", "mod_four")
    assert run.code == 0, run.out
    lines = [line.split() for line in (suite.path / "imports").read_text().splitlines()]
    assert [name for _, name in lines] == ["mod_one", "mod_two", "mod_three", "mod_four"]
    assert len({pid for pid, _ in lines}) == 1


def test_nothing_is_preloaded_where_nothing_is_forked(suite: Suite) -> None:
    """Without a forked test there is no template, and no line in the summary."""
    suite.write(test_a="def test_a(): pass")
    run = suite.run("-p", "forkiso", "--fork-preload=no_such_module_here")
    assert run.code == 0
    assert "forkiso:" not in run.out


def test_the_summary_line(suite: Suite) -> None:
    """One line of counts; with -v the template's memory and the cost of a child; with -qq nothing."""
    suite.write(test_a="def test_a(): pass\ndef test_b(): pass")
    usual, verbose, quiet = suite.forked(), suite.forked("-v"), suite.forked("-qq")
    line = "forkiso: 2 children forked, 0 crashes, 0 timeouts, 0 leftover processes"
    assert [text for text in usual.out.splitlines() if text.startswith("forkiso: 2")] == [line]
    assert f"{line}, template " in verbose.out
    assert " MB, median time to a child " in verbose.out
    assert "forkiso:" not in quiet.out


def test_help_and_markers(suite: Suite) -> None:
    """Options and marker are described where pytest describes its own."""
    help_text = suite.run("-p", "forkiso", "--help").out
    for option in ("--forked", "--fork-preload", "--fork-timeout", "--fork-jobs", "fork_output_limit"):
        assert option in help_text
    assert "@pytest.mark.forked(" in suite.run("-p", "forkiso", "--markers").out


def test_switched_off(suite: Suite) -> None:
    """With -p no:forkiso neither option nor marker is there."""
    suite.write(test_a="import pytest\n@pytest.mark.forked\ndef test_a(): pass")
    assert_refused(suite.run("-p", "no:forkiso", "--forked"), "unrecognized arguments: --forked")
    assert suite.plain("-W", "ignore").outcomes() == {"test_a": "passed"}


def test_loaded_by_its_entry_point(suite: Suite) -> None:
    """Installed, it needs no -p."""
    suite.write(test_a="import os\ndef test_a(): os.abort()")
    suite.environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = ""
    run = suite.run("--forked", "-W", "ignore")
    assert run.outcomes() == {"test_a": "failed"}
