"""All sources of templates, and the choice between them."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

from forkcore import early
from pytest_forkiso import _baseline, _xdist
from pytest_forkiso._choice import Choice
from pytest_forkiso._source import Source

if TYPE_CHECKING:
    import forkcore
    from pytest_forkiso._collected import CollectedList
    from pytest_forkiso._config import Settings
    from pytest_forkiso._source import Request
    from pytest_forkiso._source_exec import Collecting

# Modules, of which a run needs one.
_SOURCES = {"fork": "_source_fork", "exec": "_source_exec", "early": "_source_exec", "bare": "_source_bare"}


def can_fork() -> bool:
    """Tell whether this platform has what a template needs."""
    return sys.platform != "win32" and hasattr(os, "fork")


def choose_source(config: pytest.Config, settings: Settings) -> Choice:
    """Choose where the template comes from.

    Args:
        config: Of the session; conftest files and test modules may have been loaded.
        settings: Of the run.
    """
    if settings.template not in ("auto", "fork"):
        return Choice(settings.template, "the user asked for it")
    if settings.template == "auto" and sys.platform == "darwin":
        return Choice("bare", "system libraries of macOS do not survive a fork")
    verdict = _baseline.of(config).watch.judge()
    if settings.template == "fork":
        return Choice(
            "fork", f"the user asked for it, although {verdict}" if verdict.reasons else "the user asked for it"
        )
    if not verdict.reasons:
        return Choice("fork", "nothing speaks against it")
    return Choice("bare" if verdict.is_projects else "exec", str(verdict))


def begin_collecting(config: pytest.Config, settings: Settings, known: CollectedList) -> Collecting:
    """Let a template collect by itself, beside this process.

    Args:
        config: Of the session, after all plugins have begun it.
        settings: Of the run.
        known: The tests of this process, as they are collected here.

    Raises:
        pytest.UsageError: There is no early template, or no interpreter.
    """
    from pytest_forkiso import _source_exec

    baseline = _baseline.of(config)
    if settings.template == "early" and baseline.early is None and not early.is_installed():
        raise pytest.UsageError(
            "--fork-template=early needs this plugin before conftest files are loaded: use -p forkiso, or install it"
        )
    template = baseline.early
    if template is None or not template.is_usable:
        template = _source_exec.execute(config, baseline.search_path)
    return _source_exec.Collecting(config, settings, template, known)


def fork_again(request: Request) -> forkcore.Template | None:
    """Fork this process once more, in the middle of a run.

    Returns:
        The fork; None where something speaks against it: what tests that are not forked leave in this process would
        reach all others, and a worker of pytest-xdist is in the middle of a hook for one test.
    """
    import forkcore
    from pytest_forkiso._source_fork import forking

    session, config = request.session, request.session.config
    if request.forks < len(session.items) or _xdist.is_worker(config):
        return None
    if choose_source(config, request.settings).kind != "fork":
        return None
    with forking(request) as arguments:
        return forkcore.fork_here(**arguments)


def make_source(choice: Choice, request: Request) -> Source:
    """Make a template.

    Raises:
        pytest.UsageError: This process cannot be forked, or the template could not be prepared.
        pytest.Session.Interrupted: The template has collected other tests; that is reported.
    """
    module = importlib.import_module(f"pytest_forkiso.{_SOURCES[choice.kind]}")
    return Source(module.make_template(request), module.TARGET, choice)
