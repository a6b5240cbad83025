"""Plugins with tests that live on what those before them have left: these are not forked, and that is said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

every_way = pytest.mark.parametrize("ways", [[], ["--fork-template=exec"], ["--fork-jobs=2"]], ids=" ".join)


@every_way
def test_steps(suite: Suite, ways: list[str]) -> None:
    """Steps of pytest-steps share what they have made; other tests beside them are forked."""
    pytest.importorskip("pytest_steps")
    suite.write(
        test_stepwise="""
        from pytest_steps import test_steps
        @test_steps("one", "two", "three")
        def test_generator():
            made = 1
            yield
            assert made == 1
            yield
            assert made == 2
            yield
        def write(steps_data): steps_data.made = 1
        def read(steps_data): assert steps_data.made == 1
        @test_steps(write, read)
        def test_functions(test_step, steps_data): test_step(steps_data)
        @test_steps(write, read, test_step_argname="step", steps_data_holder_name="kept")
        def test_own_name(step, kept): step(kept)
        def test_other(): pass
        """
    )
    plain, forked = suite.plain("-p", "pytest_steps.plugin"), suite.forked("-p", "pytest_steps.plugin", *ways)
    assert_same(plain, forked)
    assert "forkiso: 7 tests are not forked: steps of a test share what they have made (pytest-steps)" in forked.out
    assert "forkiso: 1 child forked" in forked.out


@every_way
def test_notebooks(suite: Suite, ways: list[str]) -> None:
    """Cells of a notebook share a kernel."""
    pytest.importorskip("nbval")
    pytest.importorskip("ipykernel")
    stream = {"name": "stdout", "output_type": "stream"}
    sources = [("x = 2\nprint(x)", "2\n"), ("print(x + 1)", "4\n")]
    cells = [
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "outputs": [stream | {"text": [output]}],
            "source": source,
        }
        for source, output in sources
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 2}
    (suite.path / "book.ipynb").write_text(json.dumps(notebook))
    suite.write(test_other="def test_other(): pass")
    plain, forked = suite.plain("-p", "nbval", "--nbval"), suite.forked("-p", "nbval", "--nbval", *ways)
    assert plain.outcomes() == forked.outcomes() == {"Cell 0": "passed", "Cell 1": "failed", "test_other": "passed"}
    assert "forkiso: 2 tests are not forked: cells of a notebook share its kernel (nbval)" in forked.out
