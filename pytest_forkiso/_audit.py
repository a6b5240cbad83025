"""What a test leaves behind: found at its end, in its own process, which is about to vanish."""

from __future__ import annotations

import functools
import gc
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_forkiso import _audit_process as process
from pytest_forkiso._audit_files import compare_files, take_files
from pytest_forkiso._audit_globals import Globals, compare_globals
from pytest_forkiso._audit_settings import compare_settings, take_settings
from pytest_forkiso._audit_summary import ATTRIBUTE, SECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

_MOST = 20  # findings of one aspect


class Aspect(NamedTuple):
    """Something that a test may leave changed."""

    name: str
    take: Callable[[], Any]
    compare: Callable[[Any, Any], Iterable[str]]


def aspects(config: pytest.Config) -> list[Aspect]:
    """Give those that can outlive a test: pytest's own plugin undoes what a test does to the filters of warnings."""
    found = [
        Aspect("processes", process.take_processes, process.compare_processes),
        Aspect("threads", process.take_threads, process.compare_threads),
        Aspect("descriptors", process.take_descriptors, process.compare_descriptors),
        Aspect("files", take_files, compare_files),
        Aspect("environment", process.take_environment, process.compare_environment),
        Aspect("place", process.take_place, process.compare_place),
        Aspect("signals", process.take_signals, process.compare_signals),
        Aspect("locale", process.take_locale, process.compare_locale),
        Aspect("sys.path", process.take_path, process.compare_path),
        Aspect("logging", process.take_logging, process.compare_logging),
        Aspect("settings", take_settings, compare_settings),
        Aspect("globals", functools.partial(Globals, config.rootpath), compare_globals),
    ]
    if not config.pluginmanager.hasplugin("warnings"):
        found.insert(-1, Aspect("warnings", process.take_warnings, process.compare_warnings))
    return found


class Audit:
    """A plugin of a test's process: looks at it before the test and after."""

    def __init__(self, config: pytest.Config, *, fails: bool, has_folder: bool) -> None:
        """Prepare it.

        Args:
            config: Of the session.
            fails: A test that leaves anything has failed.
            has_folder: The test has a working directory of its own, whose files are nobody else's.
        """
        self._aspects = [aspect for aspect in aspects(config) if not (has_folder and aspect.name == "files")]
        self._fails = fails
        self._before: list[Any] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, object, object]:
        """Look at the process: within the wrappers of the protocol, and before fixtures."""
        gc.collect()
        self._before = [aspect.take() for aspect in self._aspects]
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """After the teardown, look again, before anything that was left is ended."""
        report = yield
        if call.when != "teardown" or not self._before:
            return report
        findings = self.find()
        setattr(report, ATTRIBUTE, [list(finding) for finding in findings])
        if findings:
            text = "\n".join(f"{aspect}: {finding}" for aspect, finding in findings)
            report.sections.append((SECTION, text))
            if self._fails and report.passed:
                report.outcome = "failed"
                report.longrepr = f"the test left something behind (--fork-audit=fail):\n{text}"
        return report

    def find(self) -> list[tuple[str, str]]:
        """Compare, and give an aspect's name and a text for each finding."""
        gc.collect()  # what only waits for it would be found, too
        found = []
        for aspect, before in zip(self._aspects, self._before, strict=True):
            texts = list(aspect.compare(before, aspect.take()))
            if len(texts) > _MOST:
                texts[_MOST:] = [f"and {len(texts) - _MOST} more"]
            found += [(aspect.name, text) for text in texts]
        return found
