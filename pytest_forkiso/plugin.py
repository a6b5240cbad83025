"""The plugin's hook functions; all that they do is elsewhere."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from typing import TYPE_CHECKING

import pytest

from pytest_forkiso import _baseline, _config, hookspecs
from pytest_forkiso._bounds_config import read_audit
from pytest_forkiso._hook_marks import HookMarks
from pytest_forkiso._inner import is_inner
from pytest_forkiso._session import ForkedSession

if TYPE_CHECKING:
    from collections.abc import Generator

_SESSION = pytest.StashKey[ForkedSession]()
_REPLACES = pytest.StashKey[bool]()
_FORKED = ("pytest_forked", "forked")  # entry point and -p name of pytest-forked


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    for name in _FORKED:
        if not pluginmanager.hasplugin(name):
            pluginmanager.set_blocked(name)
    _config.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before output is captured
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    if is_inner(early_config):
        return (yield)
    if early_config.known_args_namespace.fork_workers:
        from pytest_forkiso import _workers

        _workers.install_early(early_config)
    watch = _baseline.note(early_config).watch
    marks = HookMarks(watch, early_config.pluginmanager)
    try:
        return (yield)
    finally:
        watch.pause()
        marks.finish()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _config.MARKER_HELP)
    for name in _FORKED:
        plugin = config.pluginmanager.get_plugin(name)
        if plugin is not None:
            config.pluginmanager.unregister(plugin)
        if plugin is not None or _would_be_loaded(config, name):
            config.stash[_REPLACES] = True
    config.stash[_SESSION] = ForkedSession(_config.read_settings(config))
    _install(config)


def _install(config: pytest.Config) -> None:
    """Register what the user asks for; every run of pytest pays for what this module imports itself."""
    if config.option.fork_report:
        from pytest_forkiso import _report

        _report.install(config)
    if config.option.fork_workers:
        from pytest_forkiso import _workers

        _workers.install(config, config.option)
    if read_audit(config):
        importlib.import_module("pytest_forkiso._audit")  # here, so that no child has to load it
        if not is_inner(config):
            from pytest_forkiso._audit_summary import AuditSummary

            config.pluginmanager.register(AuditSummary(), "forkiso-audit-summary")


def _would_be_loaded(config: pytest.Config, name: str) -> bool:
    """Tell whether a plugin that we have blocked is installed, and not blocked by the user as well."""
    is_loading = not config.getoption("disable_plugin_autoload", default=False)  # an option since pytest 8.4
    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") or not is_loading or f"no:{name}" in config.option.plugins:
        return False
    return any(entry.name == name for entry in importlib.metadata.entry_points(group="pytest11"))


def pytest_report_header(config: pytest.Config) -> str | None:
    if _REPLACES in config.stash:
        return "forkiso: answers in place of pytest-forked, which is installed as well"
    return None


@pytest.hookimpl(trylast=True)  # what plugins tell workers of pytest-xdist is there when they have begun
def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_SESSION].begin(session)


@pytest.hookimpl(tryfirst=True)  # the terminal says where the template comes from when it is called
def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_SESSION].select(session)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    return config.stash[_SESSION].lines(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SESSION in config.stash:
        config.stash[_SESSION].close()
    _baseline.forget(config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    statistics = config.stash[_SESSION].statistics
    verbose = config.get_verbosity() > 0
    if statistics.children and config.get_verbosity() > -2:  # noqa: PLR2004 - not under -qq
        alone = statistics.files_alone() if verbose else []
        for line in [*statistics.findings(), *alone, statistics.line(verbose=verbose)]:
            terminalreporter.write_line(line)
