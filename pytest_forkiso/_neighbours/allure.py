"""allure-pytest: a test that has crashed has its result, which the plugin writes in the test's own process."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


class Neighbour:
    """Writes results that are missing."""

    @pytest.hookimpl
    def pytest_forkiso_test_crashed(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Write the result, with all that the plugin says of any test, the report and its sections."""
        listener = item.config.pluginmanager.get_plugin("allure_listener")
        if listener is None:
            return
        with _wrapped(listener.pytest_runtest_protocol(item=item, nextitem=None)):
            with _wrapped(listener.pytest_runtest_setup(item=item)):
                pass
            _fill(listener, item, report)
            with _wrapped(listener.pytest_runtest_teardown(item=item)):
                pass


@contextlib.contextmanager
def _wrapped(hook: Generator[None, Any, None]) -> Generator[None, None, None]:
    """Call a hook wrapper around something that is no hook."""
    next(hook)
    yield
    with contextlib.suppress(StopIteration):
        hook.send(None)


def _fill(listener: Any, item: pytest.Item, report: pytest.TestReport) -> None:
    from allure_commons.model2 import Status, StatusDetails
    from allure_commons.types import AttachmentType

    result = listener.allure_logger.get_test(None)
    result.start, result.stop = round(1000 * report.start), round(1000 * report.stop)
    result.status = Status.BROKEN if report.failed else Status.SKIPPED
    message = str(getattr(getattr(report.longrepr, "reprcrash", None), "message", ""))
    if hasattr(report, "wasxfail"):
        message = f"XFAIL {report.wasxfail}\n\n{message}"
    result.statusDetails = StatusDetails(message=message, trace=report.longreprtext)
    if item.config.option.attach_capture:
        for name, text in report.sections:
            listener.attach_data(text, name, AttachmentType.TEXT, None)
