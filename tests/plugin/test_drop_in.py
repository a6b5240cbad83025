"""A suite that uses pytest-forked runs as it is, also where that is still installed beside us."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from inner import search_path

if TYPE_CHECKING:
    from pathlib import Path

    from inner import Suite


@pytest.fixture(scope="session")
def pytest_forked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the real pytest-forked; skips where there is none to be had."""
    folder = tmp_path_factory.mktemp("pytest-forked")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "pytest-forked", "--no-deps"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"pytest-forked cannot be installed: {done.stderr[-200:]}")
    return folder


@pytest.fixture
def both(suite: Suite, pytest_forked: Path) -> Suite:
    """Give a suite where both plugins are found by their entry points."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(suite.path / "py"), "--no-deps", "py"],
        check=False,
        capture_output=True,
        timeout=120,
    )
    if done.returncode:
        pytest.skip("py, which pytest-forked needs, cannot be installed")
    suite.environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = ""
    suite.environment["PYTHONPATH"] = search_path(pytest_forked, suite.path / "py")
    return suite


USES_FORKED = """
import os
import pytest

@pytest.mark.forked
def test_marked(): assert os.getpid() != int(os.environ["MAIN"])
@pytest.mark.forked
def test_crash(): os.kill(os.getpid(), 15)
@pytest.mark.forked
@pytest.mark.xfail
def test_expected(): os._exit(1)
def test_unmarked(): pass
"""

CONFTEST = "import os\nos.environ['MAIN'] = str(os.getpid())"
OFF = ["-p", "no:asyncio", "-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:cov", "-p", "no:anyio"]
WANTED = {"test_marked": "passed", "test_crash": "failed", "test_expected": "xfailed", "test_unmarked": "passed"}


@pytest.mark.parametrize("options", [[], ["--forked"], ["-p", "pytest_forked"], ["-p", "forkiso"]], ids=" ".join)
def test_both_are_installed(both: Suite, options: list[str]) -> None:
    """Ours answers, says so once, and each test is reported once; whichever is loaded first."""
    both.write(test_uses=USES_FORKED, conftest=CONFTEST)
    run = both.run(*OFF, "--strict-markers", *options)
    assert run.outcomes() == WANTED, run.out
    assert run.out.count("answers in place of pytest-forked") == 1
    assert "SIGTERM" in run.failure("test_crash").text
    assert "forkiso: " in run.out


@pytest.mark.parametrize("options", [["-p", "no:pytest_forked"], ["--disable-plugin-autoload", "-p", "forkiso"]])
def test_theirs_is_switched_off(both: Suite, options: list[str]) -> None:
    """Nothing is said of a plugin that the user has blocked, or that is not loaded by itself."""
    if options[0] == "--disable-plugin-autoload" and pytest.version_tuple < (8, 4):
        pytest.skip("this pytest has no such option")
    both.write(test_uses=USES_FORKED, conftest=CONFTEST)
    run = both.run(*OFF, *options)
    assert run.outcomes() == WANTED, run.out
    assert "pytest-forked" not in run.out


def test_ours_is_switched_off(both: Suite) -> None:
    """Theirs starts and has its option, as if ours were not installed."""
    both.write(test_a="def test_a(): pass")
    run = both.run(*OFF, "-p", "no:forkiso", "--help")
    assert "--forked" in run.out
    assert "--fork-preload" not in run.out


def test_an_ini_file_that_has_their_option(suite: Suite) -> None:
    """A suite whose options say `--forked` needs no change where theirs is not installed any more."""
    suite.write(test_a="import os, pytest\n@pytest.mark.forked\ndef test_a(): os.abort()")
    suite.pytester.makeini("[pytest]\naddopts = --forked")
    assert suite.run("-p", "forkiso", "--strict-markers").outcomes() == {"test_a": "failed"}


def test_a_suite_that_inherits_its_config(suite: Suite) -> None:
    """What users of pytest-forked rely on: the marker on classes and modules, skips, failing setups."""
    suite.write(
        test_old="""
        import pytest
        pytestmark = pytest.mark.forked
        @pytest.fixture
        def broken(): raise ValueError
        def test_setup(broken): pass
        @pytest.mark.skipif("True", reason="a string")
        def test_skip(): pass
        class TestOld:
            def test_method(self): assert 1
        """
    )
    run = suite.run("-p", "forkiso", "--strict-markers", "-rs")
    assert run.outcomes() == {"test_setup": "error", "test_skip": "skipped", "TestOld::test_method": "passed"}
    assert "a string" in run.out
