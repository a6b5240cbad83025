"""pytest-bdd: reports know their scenario in pytest's own process, where its reporters ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_ATTRIBUTE = "forkiso_bdd"


class Neighbour:
    """Takes the scenario of each report along."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """In a test's process: attach what the plugin has noted of the report that was just made."""
        from pytest_bdd.reporting import test_report_context_registry

        report = yield
        context = test_report_context_registry.get(report)
        if context is not None:
            setattr(report, _ATTRIBUTE, [context.scenario, context.name])
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In pytest's own: note it for the report that has come."""
        from pytest_bdd.reporting import ReportContext, test_report_context_registry

        found = report.__dict__.pop(_ATTRIBUTE, None)
        if found is not None:
            test_report_context_registry[report] = ReportContext(*found)
