"""Sessions of pytest that work for another session: in templates that collect by themselves, and in bare children."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PLUGIN_NAME = "forkiso-inner"
"""Registered in such sessions: the plugin chooses and forks no tests there."""


def is_inner(config: pytest.Config) -> bool:
    """Tell whether a session works for another one."""
    return config.pluginmanager.hasplugin(PLUGIN_NAME)


def arguments(config: pytest.Config) -> list[str]:
    """Give the command line for a session that works for this one, in another process.

    Args:
        config: Of this session.
    """
    found = list(config.invocation_params.args)
    if config.pluginmanager.hasplugin("xdist"):
        found.append("-n0")
    if config.pluginmanager.hasplugin("_cov"):
        found.append("--cov-append")  # or it would erase what other processes have measured
    found += ["-o", "log_file_mode=a"]  # or each would begin the log file anew
    return found
