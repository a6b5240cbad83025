"""Libraries with threads of their own: what a fork of them bears, and what is done where it does not."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING

import pytest
from inner_hazards import STARTER, chosen

if TYPE_CHECKING:
    from inner import Suite

LIBRARIES = {
    "sklearn": (
        "import numpy, sklearn.cluster",
        "sklearn.cluster.KMeans(4, n_init=1).fit(numpy.random.default_rng(0).random((5000, 4)))",
    ),
    "lightgbm": (
        "import numpy, lightgbm",
        "lightgbm.train({'verbose': -1}, lightgbm.Dataset(numpy.eye(5000, 4), numpy.arange(5000)), 5)",
    ),
    "torch": ("import torch", "assert torch.ones(10 ** 7).sum() == 10 ** 7"),
    "jax": ("import jax, jax.numpy", "assert jax.jit(lambda x: x @ x)(jax.numpy.ones((500, 500)))[0, 0] == 500"),
    "polars": ("import polars", "polars.DataFrame({'a': range(100000)}).lazy().group_by('a').len().collect()"),
    "pyarrow": ("import pyarrow, pyarrow.compute", "pyarrow.compute.sum(pyarrow.array(range(100000)))"),
}
OPENMP = {"sklearn", "lightgbm", "torch"}
"""Those that compute with OpenMP of GNU, and bring it along."""


def need(library: str) -> None:
    """Skip where a library is not installed; it is not imported here, for it can be loaded into a process once only."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_was_only_imported(suite: Suite, library: str) -> None:
    """The plain fork is safe, and children compute."""
    need(library)
    load, compute = LIBRARIES[library]
    suite.write(conftest=load, test_it=f"{load}\ndef test_it(): {compute}")
    assert chosen(suite, "--fork-timeout=50") == "'fork', because nothing speaks against it"


@pytest.mark.parametrize("library", [each for each in LIBRARIES if each != "pyarrow"])
def test_a_library_that_has_computed(suite: Suite, library: str) -> None:
    """Computing in a child of a plain fork hangs; here it does not, and the import and the library are named."""
    need(library)
    load, compute = LIBRARIES[library]
    suite.write(conftest=f"import os\n{load}\n{compute}", test_it=f"{load}\ndef test_it(): {compute}")
    insisted = suite.forked("--fork-template=fork", "--fork-timeout=10")
    assert "Timeout" in insisted.failure("test_it").text
    line = chosen(suite, "--fork-timeout=50")
    assert line.startswith("'bare', because a fork would not have these threads: ")
    assert f"conftest.py:2: {load})" in line
    if library in OPENMP:
        assert re.search(r"threads: one of \S+/libgomp\S* \(after", line)


def test_pyarrow_that_has_computed(suite: Suite) -> None:
    """It starts its threads anew in a child."""
    need("pyarrow")
    load, compute = LIBRARIES["pyarrow"]
    suite.write(conftest=f"{load}\n{compute}", test_it=f"{load}\ndef test_it(): {compute}")
    assert "'fork'" in chosen(suite, "--fork-timeout=50")


def test_a_thread_beside_those_of_pyarrow(suite: Suite) -> None:
    """That a library bears a fork says nothing of another one's threads."""
    need("pyarrow")
    load, compute = LIBRARIES["pyarrow"]
    suite.write(
        starter=STARTER,
        conftest=f"{load}\n{compute}\nimport starter\nstarter.start()",
        test_it=f"{load}\ndef test_it(): {compute}",
    )
    line = chosen(suite, "--fork-timeout=50")
    expected = "'bare', because a fork would not have these threads: one without a name of its own (after "
    assert line == expected + "conftest.py:3: import starter)"
