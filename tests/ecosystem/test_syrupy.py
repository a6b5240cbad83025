"""syrupy: snapshots of forked tests are written once, reported, and found to be unused, as ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Run, Suite

pytest.importorskip("syrupy")

TESTS = """
import pytest
from syrupy.extensions.json import JSONSnapshotExtension

@pytest.mark.parametrize("n", {parameters})
def test_each(snapshot, n): assert {{"n": n}} == snapshot

def test_two(snapshot):
    assert "text" == snapshot
    assert [1, 2] == snapshot
    assert "named" == snapshot(name="by name")

def test_json(snapshot): assert {{"a": 1}} == snapshot.use_extension(JSONSnapshotExtension)

@pytest.mark.xfail
def test_expected(snapshot):
    assert 5 == snapshot
    assert 0

def test_without(): pass
"""


def snapshots(suite: Suite) -> dict[str, bytes]:
    """Give all that has been written."""
    folder = suite.path / "__snapshots__"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pair(suite: Suite, *options: str) -> tuple[Run, Run]:
    """Run without the plugin, and with it, from the same snapshots."""
    before = snapshots(suite)
    plain = suite.plain("-p", "syrupy", *options)
    wanted = snapshots(suite)
    for name in set(wanted) | set(before):
        (suite.path / "__snapshots__" / name).unlink(missing_ok=True)
    for name, data in before.items():
        (suite.path / "__snapshots__" / name).write_bytes(data)
    forked = suite.forked("-p", "syrupy", *options)
    assert snapshots(suite) == wanted
    return plain, forked


def test_written_compared_and_removed(suite: Suite) -> None:
    """The same files and the same report: at first, when all is well, after changes, and for what is unused."""
    suite.write(test_shots=TESTS.format(parameters=[1, 2, 3]))
    assert_same(*pair(suite))  # there are none yet
    assert_same(*pair(suite, "--snapshot-update"))
    assert len(snapshots(suite)) == 2
    assert_same(*pair(suite))
    suite.write(test_shots=TESTS.format(parameters=[1, 2]).replace('"text"', '"other"'))
    assert_same(*pair(suite))
    assert_same(*pair(suite, "--snapshot-update", "--snapshot-details"))


def test_jobs(suite: Suite) -> None:
    """Tests that run at a time lose nothing that the others would write."""
    suite.write(test_shots=TESTS.format(parameters=list(range(20))))
    suite.plain("-p", "syrupy", "--snapshot-update")
    wanted = snapshots(suite)
    for name in wanted:
        (suite.path / "__snapshots__" / name).unlink()
    suite.forked("-p", "syrupy", "--snapshot-update", "--fork-jobs=3")
    assert snapshots(suite) == wanted
