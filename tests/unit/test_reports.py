"""Reports and warnings as plain data, and back."""

from __future__ import annotations

import sys
import types
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_forkiso._events import EventDecoder, encode
from pytest_forkiso._reports import pack_report, pack_warning, shorten, unpack_report, unpack_warning


@given(st.text(), st.integers(1, 50))
def test_shorten(text: str, limit: int) -> None:
    """Short texts stay; of others the beginning, the end, and how much is missing."""
    short = shorten(text, limit)
    if len(text) <= limit:
        assert short == text
    else:
        half = limit // 2
        assert short.startswith(text[:half])
        assert half == 0 or short.endswith(text[-half:])
        assert f"{len(text) - 2 * half} characters left out" in short


def test_half_of_nothing() -> None:
    """With a limit of one character nothing is kept, and in particular not everything."""
    assert "abc" not in shorten("abcdef" * 10, 1)


class Plain(UserWarning):
    """A category that a test's process and pytest's both have."""


class Special(UserWarning):
    """Its text is not its argument."""

    def __init__(self, number: int) -> None:
        super().__init__(number)

    def __str__(self) -> str:
        return f"number {self.args[0]}"


class Demanding(UserWarning):
    """Cannot be made from its arguments."""

    def __init__(self, *, text: str) -> None:
        super().__init__()
        self.text = text

    def __str__(self) -> str:
        return self.text


def crossed(message: Warning) -> warnings.WarningMessage:
    """Send a warning through the codec."""
    original = warnings.WarningMessage(message, type(message), "file.py", 12, line="the line")
    data = pack_warning(original, "runtest", "test.py::test", None)
    ((_, received),) = EventDecoder().feed(encode(("warning", data)))
    return unpack_warning(received)


@pytest.mark.parametrize("message", [Plain("text"), Special(3), Demanding(text="odd"), UserWarning("a", 1)])
def test_warnings(message: Warning) -> None:
    """Category, text and place arrive."""
    found = crossed(message)
    assert found.category is type(message)
    assert (found.filename, found.lineno, found.line) == ("file.py", 12, "the line")
    assert isinstance(found.message, type(message))
    assert str(found.message) == str(message)
    if not isinstance(message, Demanding):
        assert type(found.message) is type(message)
        assert found.message.args == message.args


def test_a_category_that_is_not_here() -> None:
    """One of the same name and of the nearest base that is; nothing is imported."""
    module = types.ModuleType("gone_module")
    category = type("Gone", (DeprecationWarning,), {"__module__": "gone_module"})
    sys.modules["gone_module"] = module
    try:
        module.Gone = category  # type: ignore[attr-defined]
        original = warnings.WarningMessage(category("text"), category, "file.py", 1)
        data = pack_warning(original, "runtest", "", None)
    finally:
        del sys.modules["gone_module"]
    found = unpack_warning(data)
    assert (found.category.__module__, found.category.__name__) == ("gone_module", "Gone")
    assert issubclass(found.category, DeprecationWarning)
    assert str(found.message) == "text"
    assert "gone_module" not in sys.modules


@given(
    st.dictionaries(
        st.sampled_from(["own_a", "own_b"]), st.text() | st.integers() | st.lists(st.floats(allow_nan=False))
    )
)
def test_reports(pytestconfig: pytest.Config, extra: dict[str, object]) -> None:
    """All attributes cross, those of plugins too."""
    report = pytest.TestReport(
        nodeid="test.py::test",
        location=("test.py", 1, "test"),
        keywords={"test": 1},
        outcome="failed",
        longrepr="why",
        when="call",
        sections=[("Captured stdout call", "text")],
        duration=1.5,
        start=2.0,
        stop=3.5,
        user_properties=[("a", 1)],
        **extra,
    )
    data = pack_report(pytestconfig, report, 1000)
    ((_, received),) = EventDecoder().feed(encode(("report", data)))
    found = unpack_report(pytestconfig, received)
    names = ("nodeid", "when", "outcome", "longrepr", "sections", "duration", "start", "stop", *extra)
    assert {name: getattr(found, name) for name in names} == {name: getattr(report, name) for name in names}
    assert [tuple(pair) for pair in found.user_properties] == [("a", 1)]
