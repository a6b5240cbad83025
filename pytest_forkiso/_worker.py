"""How a process that collects by itself appears to other plugins: as a worker of pytest-xdist.

Plugins that know pytest-xdist leave reports, caches and servers to the controller, which is pytest's own process here.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from typing import Any

import pytest

_LISTENERS = {"pytest_mpl.plugin": "XdistPlugin", "pytest_mypy": "MypyXdistControllerPlugin"}


class Node:
    """What ``pytest_configure_node``, a hook of pytest-xdist, hands to plugins for each worker.

    Attributes:
        config: Of pytest's own process.
        workerinput: What the worker gets as ``config.workerinput``; plugins add to it.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.gateway = self
        self.id = "master"
        self.workerinput: dict[str, Any] = {
            "workerid": "master",  # what the fixture worker_id gives where there are no workers
            "workercount": 1,
            "testrunuid": uuid.uuid4().hex,
            "mainargv": list(sys.argv),
        }


def worker_input(config: pytest.Config) -> dict[str, Any]:
    """Give what a process that collects is to have as ``config.workerinput``.

    Args:
        config: Of pytest's own process, configured. If this is a worker itself, it passes for the same one.

    Raises:
        pytest.UsageError: A plugin cannot do without a controller that distributes.
    """
    own = getattr(config, "workerinput", None)
    if own is not None:
        return dict(own)
    node = Node(config)
    manager = config.pluginmanager
    seed = config.getoption("randomly_seed", None)
    if seed is not None:  # pytest-randomly adds it by the hook below, but only where pytest-xdist is loaded
        node.workerinput["randomly_seed"] = seed
    coverage = manager.get_plugin("_cov")
    if coverage is not None:
        node.workerinput |= _coverage_input(config)
    if manager.hasplugin("xdist"):
        # pytest-cov's implementation expects that it is distributing, and it is not.
        without = [coverage] if coverage is not None else []
        manager.subset_hook_caller("pytest_configure_node", without)(node=node)
    else:
        _input_without_xdist(node)
    _refuse_retry(config)
    return node.workerinput


def become_worker(config: pytest.Config, given: dict[str, Any]) -> None:
    """Let this session pass for a worker, before plugins are configured.

    Args:
        config: Of the session.
        given: What `worker_input` has given.
    """
    config.workerinput = given  # type: ignore[attr-defined]
    config.workeroutput = {}  # type: ignore[attr-defined]


def set_options(config: pytest.Config) -> None:
    """Set options as they are in a worker, when plugins have looked at the command line."""
    option = config.option
    option.cacheclear = False  # pytest's own process has done it
    if hasattr(option, "dist"):  # as pytest-xdist does it for its workers
        option.dist = "no"
        option.numprocesses = option.maxprocesses = None
        option.loadgroup = False


def be_no_worker(config: pytest.Config) -> None:
    """Let tests, and plugins while they run, see no worker."""
    del config.workerinput, config.workeroutput  # type: ignore[attr-defined]


def _coverage_input(config: pytest.Config) -> dict[str, Any]:
    """Give what pytest-cov wants to know in a worker: that it sees the same files."""
    import socket

    return {
        "cov_master_host": socket.gethostname(),
        "cov_master_topdir": str(config.invocation_params.dir),
        "cov_master_rsync_roots": [],
    }


def _input_without_xdist(node: Node) -> None:
    """Ask those that listen to the hook only where pytest-xdist is loaded, and miss in a worker what it adds."""
    for module_name, name in _LISTENERS.items():
        module: Any = sys.modules.get(module_name)
        if module is not None and node.config.pluginmanager.is_registered(module):
            with contextlib.suppress(AttributeError):  # of a plugin that has nothing to do
                getattr(module, name)().pytest_configure_node(node)


def _refuse_retry(config: pytest.Config) -> None:
    """Say that pytest-retry needs a fork of this process: in a worker, it connects to a server that is not there."""
    module = sys.modules.get("pytest_retry.retry_plugin")
    if module is not None and config.pluginmanager.is_registered(module):
        raise pytest.UsageError(
            "pytest-retry works with --fork-template=fork only: "
            "it cannot be loaded in another process where pytest-xdist does not distribute"
        )
