"""Tests that take to pieces what pytest is made of, in their own process: it costs them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

CONFTEST = """
import pytest
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    assert item.config.option.verbose >= 0
    return (yield)
"""

PIECES = """
import sys

def test_no_hooks(request): request.config.hook = None
def test_no_plugin_manager(request): request.config.pluginmanager = None; assert 0
def test_no_plugins(request):
    manager = request.config.pluginmanager
    for plugin in list(manager.get_plugins()): manager.unregister(plugin)
def test_no_reports(request): request.config.pluginmanager.unregister(name="forkiso-stream")
def test_no_runner(request): request.config.pluginmanager.unregister(name="runner")
def test_empty_config(request): vars(request.config).clear()
def test_empty_session(request): vars(request.session).clear()
def test_empty_node(request): vars(request.node).clear()
def test_no_options(request): vars(request.config.option).clear()
def test_no_location(request): request.node.location = None
def test_sections(request): request.node._report_sections = [5]
def test_send():
    from pytest_forkiso._stream import ChannelEnd
    ChannelEnd.send = None
def test_last(): pass
"""


@pytest.mark.parametrize("template", ["fork", "bare"])
def test_what_pytest_is_made_of(suite: Suite, template: str) -> None:
    """Each such test fails or has an error, and none is lost; a hook that meets the ruins is not what has failed."""
    suite.write(conftest=CONFTEST, test_pieces=PIECES)
    run = suite.forked(f"--fork-template={template}")
    outcomes = run.outcomes()
    assert outcomes.pop("test_last") == "passed", run.out
    assert len(outcomes) == PIECES.count("def test_") - 1, run.out
    assert set(outcomes.values()) <= {"failed", "passed+error", "failed+error"}, run.out
    assert "The test has replaced what pytest needs" in run.failure("test_no_hooks").text
    assert "pytest has not reported the end of this test" in run.failure("test_no_plugins").text
    assert run.code == pytest.ExitCode.TESTS_FAILED


def test_what_reporters_cannot_read(suite: Suite) -> None:
    """A property that is no pair is shown as text; it costs not even its test."""
    suite.write(
        test_properties="""
        def test_properties(request, record_property):
            record_property("key", "value")
            request.node.user_properties.append(5)
        def test_none(request): request.node.user_properties = None
        def test_last(): pass
        """
    )
    run = suite.forked("--junitxml=junit.xml")
    assert run.outcomes() == {
        "test_properties": "passed",
        "test_none": "passed",
        "test_last": "passed",
    }, run.out
    report = run.report("test_properties", "call")
    assert report.properties == [["key", "value"]]
    assert "user_properties[1]: 5" in report.everything
