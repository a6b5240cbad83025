"""pytest-examples: examples in documents are run in forked tests, and updated once, by pytest's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same, steady_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from inner import Run, Suite

pytest.importorskip("pytest_examples")

TESTS = """
import pytest
from pytest_examples import find_examples
@pytest.mark.parametrize("example", find_examples("first.md", "second.md"), ids=str)
def test_document(example, eval_example):
    if eval_example.update_examples: eval_example.run_print_update(example)
    else: eval_example.run_print_check(example)
"""
DOCUMENT = """
```py
for n in range(4):
    print(n)
```
Text.
```py
print("two")
#> one
```
"""


@pytest.mark.parametrize(
    "ways", [[], ["--fork-template=exec"], ["--fork-template=bare"], ["--fork-jobs=2"]], ids=" ".join
)
def test_updated_once(suite: Suite, ways: list[str]) -> None:
    """An update that moves what follows it in the same file is as right as without forks; then all is up to date."""
    documents = [suite.path / "first.md", suite.path / "second.md"]
    suite.write(test_documents=TESTS)

    def run(how: Callable[..., Run], *options: str) -> tuple[Run, list[str]]:
        for document in documents:
            document.write_text(DOCUMENT)
        done = how("-p", "examples", "--update-examples", *options)
        return done, [document.read_text() for document in documents]

    plain, wanted = run(suite.plain)
    forked, written = run(suite.forked, *ways)
    assert written == wanted
    assert wanted[0].count("#> ") == 5
    assert plain.outcomes() == forked.outcomes()
    assert sorted(steady_terminal(plain)[:-1]) == sorted(steady_terminal(forked)[:-1])  # the order of files is random
    assert_same(suite.plain("-p", "examples"), suite.forked("-p", "examples", *ways))
