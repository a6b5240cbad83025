"""Tests that several of our tests run."""

from __future__ import annotations

OUTCOMES = """
import pytest

def test_passes(): pass

def test_fails():
    left, right = {"a": [1, 2], "b": "x" * 90}, {"a": [1, 3], "c": "y"}
    assert left == right, "they differ"

def test_fails_deep():
    def inner(depth):
        if depth: inner(depth - 1)
        else: raise KeyError("deep")
    inner(3)

def test_chained():
    try:
        int("x")
    except ValueError as error:
        raise RuntimeError("outer") from error

def test_group():
    raise ExceptionGroup("some", [ValueError(1), ExceptionGroup("more", [TypeError("two")])])

@pytest.mark.skip(reason="marked")
def test_skip_mark(): pass

@pytest.mark.skipif(True, reason="if")
def test_skip_if(): pass

def test_skip_call(): pytest.skip("called")

def test_import_or_skip(): pytest.importorskip("no_such_module_at_all")

@pytest.fixture
def skipping(): pytest.skip("in a fixture")

def test_skip_fixture(skipping): pass

@pytest.fixture
def broken(): raise OSError(2, "no such thing", "name")

def test_error_in_setup(broken): pass

@pytest.fixture
def broken_end():
    yield
    raise ValueError("at the end")

def test_error_in_teardown(broken_end): pass

def test_both_fail(broken_end): assert 1 == 2

def test_unknown_fixture(no_such_fixture): pass

@pytest.mark.xfail(reason="known")
def test_xfail(): assert 0

@pytest.mark.xfail
def test_xpass(): pass

@pytest.mark.xfail(strict=True, reason="strict")
def test_xpass_strict(): pass

@pytest.mark.xfail(raises=KeyError)
def test_xfail_raises(): raise KeyError(1)

@pytest.mark.xfail(raises=KeyError)
def test_xfail_raises_other(): raise ValueError(1)

@pytest.mark.xfail(run=False, reason="not run")
def test_xfail_not_run(): raise SystemError

@pytest.mark.xfail("'x' == 'x'", reason="a condition")
def test_xfail_condition(): assert 0

def test_xfail_call(): pytest.xfail("called")

@pytest.mark.xfail
def test_xfail_setup(broken): pass

def test_fail_call(): pytest.fail("no traceback", pytrace=False)

def test_system_exit(): raise SystemExit(3)

@pytest.mark.parametrize("value", ["a b", "ü", "[x]", "", None, 1.5, "x::y", "\\n", "\\udc80"])
def test_parameters(value): assert value != 1.5
"""
