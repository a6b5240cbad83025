"""What tests print, log, warn of and record: in sections, in the summary of warnings, in junit XML, as ever."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same, steady
from inner_sources import OUTCOMES

if TYPE_CHECKING:
    from pathlib import Path

    from inner import Suite

SECTIONS = """
import logging, sys, warnings
import pytest

class OwnWarning(UserWarning):
    def __init__(self, number, text):
        super().__init__(number, text)
    def __str__(self): return "own: " + str(self.args[1])

@pytest.fixture
def loud():
    print("out in setup"); print("err in setup", file=sys.stderr); logging.warning("log in setup")
    warnings.warn("warned in setup")
    yield
    print("out in teardown"); logging.error("log in teardown")
    warnings.warn("warned in teardown", DeprecationWarning)

def test_loud_pass(loud): print("out"); logging.error("log")

def test_loud_fail(loud):
    sys.stdout.write("no newline"); sys.stderr.write("to err"); logging.error("%s", {"a": 1})
    warnings.warn(OwnWarning(1, "first"))
    assert 0

def test_properties(record_property):
    record_property("number", 1); record_property("list", [1, {"a": (2, 3)}]); record_property("none", None)

@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_warning_is_error(): warnings.warn("fatal", RuntimeWarning)

@pytest.mark.filterwarnings("ignore::UserWarning")
def test_warning_ignored(): warnings.warn("nobody sees it", UserWarning)

def test_same_warning():
    for _ in range(3): warnings.warn("thrice")

def test_warning_with_source():
    warnings.warn_explicit("explicit", ImportWarning, "some_file.py", 12)

def test_unraisable():
    class Bad:
        def __del__(self): raise ValueError("in del")
    Bad()

def test_thread_exception():
    import threading
    thread = threading.Thread(target=lambda: 1 / 0, name="own"); thread.start(); thread.join()

def test_lost_file(): open("lost", "w")
"""


@pytest.mark.parametrize(
    "options",
    [
        ["-rA"],
        ["--capture=sys", "-rA"],
        ["--capture=tee-sys"],
        ["-W", "error::DeprecationWarning", "--tb=short"],
        ["--log-level=DEBUG", "--log-format=%(levelname)s %(message)s"],
        ["-p", "no:logging", "--disable-warnings"],
    ],
    ids=" ".join,
)
def test_sections_and_warnings(suite: Suite, options: list[str]) -> None:
    """What is captured, logged, warned of and recorded in each phase."""
    suite.write(test_sections=SECTIONS)
    plain = suite.plain(*options)
    assert_same(plain, suite.forked(*options))


def junit(path: Path) -> str:
    """Give the text of a junit file but for its times."""
    root = ET.parse(path).getroot()  # noqa: S314 - our own file
    for element in root.iter():
        for name in ("time", "timestamp"):
            element.attrib.pop(name, None)
    return steady(ET.tostring(root, encoding="unicode"))


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_junit(suite: Suite, family: str) -> None:
    """The XML is equal, with what tests record in it, for the suite as well."""
    suite.write(
        test_outcomes=OUTCOMES,
        test_sections=SECTIONS,
        test_recorded="""
        def test_property(record_property): record_property("key", "value")
        def test_suite_property(record_testsuite_property): record_testsuite_property("kind", "whole")
        def test_suite_property_again(record_testsuite_property): record_testsuite_property("kind", "again")
        def test_attribute(record_xml_attribute): record_xml_attribute("own", "attribute"); assert 0
        """,
    )
    options = ["-o", f"junit_family={family}", "-o", "junit_logging=all"]
    suite.plain("--junit-xml=plain.xml", *options)
    suite.forked("--junit-xml=forked.xml", *options)
    assert 'value="again"' in junit(suite.path / "plain.xml")
    assert junit(suite.path / "forked.xml") == junit(suite.path / "plain.xml")
