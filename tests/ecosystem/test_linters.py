"""Plugins whose tests are files to be checked: pytest-ruff, pytest-mypy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite


@pytest.mark.parametrize("ways", [[], ["--fork-template=exec"], ["--fork-jobs=2"]], ids=" ".join)
@pytest.mark.parametrize(
    ("plugin", "options", "finding"),
    [
        ("ruff", ["--ruff", "--ruff-format"], "`os` imported but unused"),
        ("mypy", ["--mypy"], 'Incompatible return value type (got "int", expected "str")'),
    ],
    ids=["ruff", "mypy"],
)
def test_same(suite: Suite, plugin: str, options: list[str], finding: str, ways: list[str]) -> None:
    """The same findings, shown without tracebacks."""
    pytest.importorskip(f"pytest_{plugin}")
    wrong = "import os\ndef function(n: int) -> str: return n\ndef test_it() -> None: pass"
    suite.write(test_wrong=wrong, test_right="")
    plain, forked = suite.plain("-p", plugin, *options), suite.forked("-p", plugin, *options, *ways)
    assert finding in forked.out
    assert plain.outcomes() == forked.outcomes()
    if plugin == "mypy":
        assert_same(plain, forked)
    assert "from_call" not in forked.out
