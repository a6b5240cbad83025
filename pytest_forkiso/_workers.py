"""``--fork-workers``: workers of pytest-xdist on this machine are forked from one template, not started one by one."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import forkcore
from pytest_forkiso import _launcher
from pytest_forkiso._config import read_modules
from pytest_forkiso._inner import is_inner
from pytest_forkiso._worker_server import WorkerServer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


_WORKER = "PYTEST_XDIST_WORKER"
"""Variable that pytest-xdist sets in its workers, and in what they start."""
_NAME = "forkiso-workers"


def install_early(config: pytest.Config) -> None:
    """As `install`, before conftest files are loaded: the imports in the template go on beside all that is done then.

    A run that was started in a worker cannot be told from that worker yet, and waits for `install`.
    """
    if _WORKER not in os.environ:
        install(config, config.known_args_namespace)


def install(config: pytest.Config, options: argparse.Namespace) -> None:
    """Begin to prepare the template, where this process is going to be pytest-xdist's controller.

    Args:
        config: Of the session.
        options: Its own, or those that are known before conftest files are loaded.

    Raises:
        pytest.UsageError: pytest-xdist is not there.
    """
    if not options.fork_workers or hasattr(config, "workerinput") or is_inner(config):
        return
    if config.pluginmanager.hasplugin(_NAME):
        return
    if not config.pluginmanager.hasplugin("xdist"):
        raise pytest.UsageError(
            "--fork-workers forks the workers of pytest-xdist, which is not loaded: install it, or leave out the option"
        )
    if options.numprocesses == 0 or not (options.numprocesses or options.tx):
        return
    workers = WorkerTemplate(_begin(config, read_modules(config, options)))
    config.add_cleanup(workers.close)
    config.pluginmanager.register(workers, _NAME)


def _begin(config: pytest.Config, modules: Sequence[str]) -> forkcore.Template:
    """Make a template, and queue what it shall import; does not wait for it."""
    template = forkcore.new_exec(
        cwd=config.invocation_params.dir,
        sys_path=_search_path(config),
        site=True,
        title="forkiso: template of workers",
    )
    arguments = [str(argument) for argument in config.invocation_params.args]
    template.eval("from pytest_forkiso import _worker_process; _worker_process.load_plugins(args)", *arguments)
    if modules:
        template.preload(*modules)
    return template.eval("_worker_process.settle()")


def _search_path(config: pytest.Config) -> list[str]:
    """Give ``sys.path`` as it will be when pytest has added to it what the ini file says."""
    try:
        added = [str(path) for path in config.getini("pythonpath")]
    except ValueError:  # pytest's plugin for it is switched off
        added = []
    return [*added, *sys.path]


class WorkerTemplate:
    """Owns the template, and makes launchers of the gateways that would start an interpreter."""

    def __init__(self, template: forkcore.Template) -> None:
        """Take over a template that is being prepared.

        Args:
            template: Consumed.
        """
        self._template = template
        self._server: WorkerServer | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[Any]) -> None:
        """Change the specifications of workers before they are started."""
        chosen = [spec for spec in specs if spec.popen and not spec.python and not spec.via]
        if not chosen:
            return
        self._server = WorkerServer(self._ready())
        launcher = [sys.executable, "-I", "-S", str(Path(_launcher.__file__)), self._server.path]
        for spec in chosen:
            spec.python = shlex.join(launcher)

    def _ready(self) -> forkcore.Template:
        try:
            return self._template.ready()
        except forkcore.RemoteError as error:
            text = error.remote_traceback or str(error)
            raise pytest.UsageError(
                f"--fork-workers: the template of the workers could not be prepared:\n{text}"
            ) from error

    def close(self) -> None:
        """End template and workers."""
        if self._server is not None:
            self._server.close()
        else:
            self._template.close()
