"""Other plugins that need a hand, since they gather in a test's process what they show or save in pytest's own.

A module for each, loaded where the plugin is. What they use of it beyond its documentation stands there and nowhere
else; ``tox -e ecosystem`` runs them beside the released plugins.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest

    from pytest_forkiso._stream import ReportStream

# The module of the other plugin, and ours for it. Those of the first kind work in both processes, by this plugin's
# own hooks; the others in tests' processes alone, and talk to pytest's own by themselves.
_IN_BOTH = {
    "allure_pytest.plugin": "allure",
    "flaky.flaky_pytest_plugin": "flaky",
    "pytest_bdd.plugin": "bdd",
    "pytest_benchmark.plugin": "benchmark",
    "pytest_dependency": "dependency",
    "pytest_depends": "depends",
    "pytest_examples": "examples",
    "pytest_html.plugin": "html",
    "syrupy": "syrupy",
}
_IN_CHILDREN = {
    "pytest_timeout": "timeout",
}
# Those that let something grow, for which one module is enough. It is not loaded where there are none.
_GROWING = (
    "pytest_accept",
    "pytest_codspeed.plugin",
    "pytest_doctestplus.plugin",
    "pytest_durations",
    "pytest_mpl.plugin",
    "pytest_profiling",
    "pytest_regtest",
    "pytest_retry.retry_plugin",
)
# Of the first kind, those whose tests have to know something of others.
_TELLING = ("dependency", "depends")


# Those with tests that need the process of others.
_TOGETHER = ("nbval.plugin", "pytest_steps.plugin")


class Together(NamedTuple):
    """Tests to be forked, without those that need the process of others.

    Attributes:
        others: They can be forked.
        lines: What is to be said of those that cannot.
    """

    others: list[pytest.Item]
    lines: list[str]


def register(config: pytest.Config) -> None:
    """Register what helps the plugins that are there; called again, it does nothing more."""
    for name in _present(config, _IN_BOTH):
        plugin = f"forkiso-{name}"
        if not config.pluginmanager.hasplugin(plugin):
            config.pluginmanager.register(_module(name).Neighbour(), plugin)
    for name in _present(config, {module: module for module in _GROWING}):
        plugin = f"forkiso-{name}"
        if not config.pluginmanager.hasplugin(plugin):
            config.pluginmanager.register(_module("growing").Neighbour(name), plugin)


def register_in_child(config: pytest.Config, stream: ReportStream) -> None:
    """Register in a template or a child what helps there.

    Args:
        config: Of the session.
        stream: What takes words to pytest's own process, borrowed.
    """
    register(config)
    for name in _present(config, _IN_CHILDREN):
        config.pluginmanager.register(_module(name).Neighbour(stream), f"forkiso-{name}")


def tell(item: pytest.Item) -> dict[str, Any]:
    """In pytest's own process: give what plugins in a test's process have to know of tests before it; plain data."""
    told = {name: neighbour.tell(item) for name, neighbour in _telling(item.config).items()}
    return {name: data for name, data in told.items() if data}


def hear(item: pytest.Item, told: dict[str, Any]) -> None:
    """In a test's process: let plugins know it."""
    neighbours = _telling(item.config)
    for name, data in told.items():
        neighbours[name].hear(item, data)


def awaits(item: pytest.Item) -> bool:
    """Tell whether a test needs to know something of others that may still run."""
    return any(neighbour.awaits(item) for neighbour in _telling(item.config).values())


def check(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Look whether another plugin is to do what cannot be where tests are forked; give what is to be said.

    Args:
        config: Of the session.
        items: The tests that are forked.

    Raises:
        pytest.UsageError: It was asked for that.
    """
    if not _present(config, {"inline_snapshot.pytest_plugin": "inline_snapshot"}):
        return []
    lines: list[str] = _module("inline_snapshot").check(config, items)
    return lines


def stay_together(items: list[pytest.Item]) -> Together:
    """Take out the tests that live on what those before them have left in memory."""
    if not items or not _present(items[0].config, {module: module for module in _TOGETHER}):
        return Together(items, [])
    together = _module("together")
    return Together([item for item in items if together.why(item) is None], together.describe(items))


def keep_order(config: pytest.Config) -> bool:
    """Tell whether a test may need to know something of those before it."""
    return bool(_telling(config))


def _telling(config: pytest.Config) -> dict[str, Any]:
    found = {name: config.pluginmanager.get_plugin(f"forkiso-{name}") for name in _TELLING}
    return {name: neighbour for name, neighbour in found.items() if neighbour is not None}


def _present(config: pytest.Config, modules: dict[str, str]) -> list[str]:
    found = []
    for module_name, name in modules.items():
        module = sys.modules.get(module_name)
        if module is not None and config.pluginmanager.is_registered(module):
            found.append(name)
    return found


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
