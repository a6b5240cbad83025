"""pytest-html: a test that has crashed has its row, which the plugin writes when the teardown is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso._failures import closing_report

if TYPE_CHECKING:
    from collections.abc import Iterator


class Neighbour:
    """Closes rows."""

    @pytest.hookimpl
    def pytest_forkiso_test_crashed(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Let the page have its row."""
        if report.when != "teardown":
            for page in _pages(item.config):
                page.pytest_runtest_logreport(closing_report(report))


def _pages(config: pytest.Config) -> Iterator[Any]:
    from pytest_html.basereport import BaseReport

    return (plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, BaseReport))
