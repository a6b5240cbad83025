"""coverage.py in children: their measurement would be lost, since they leave without exit handlers."""

from __future__ import annotations

import os
import sys
from typing import Any


def _current() -> Any | None:
    coverage = sys.modules.get("coverage")
    return None if coverage is None else coverage.Coverage.current()


def save(*, has_file: bool = False) -> None:
    """Write what this process has measured to a data file of its own, if coverage.py is at work.

    pytest-cov and ``coverage combine`` find the file beside the others: a data object that notices a fork
    gives its file a new name (``coverage.sqldata``).

    Args:
        has_file: `prepare_file` was called. Saving might make another file, or rename this one.
    """
    current = _current()
    if current is None:
        return
    current.stop()
    if has_file:
        current.get_data()  # writes to the file what was not written yet
    else:
        current.save()


def prepare_file(user: int | None) -> str | None:
    """Make the data file of this process already, for a test that will not be allowed to make one.

    coverage.py writes without a journal, and so needs nothing but the file.

    Args:
        user: Who will write to it; None for the present user.

    Returns:
        Its path; None where coverage.py is not at work, or keeps its data in memory.
    """
    current = _current()
    if current is None:
        return None
    data = current.get_data()
    # A query makes the file. Saving would as well, under a name that says what is in it, which is not all by then.
    data.set_query_context("")
    data.set_query_contexts(None)
    path: str = data.data_filename()
    if not os.path.exists(path):  # noqa: PTH110 - a path as coverage.py has it
        return None
    if user is not None:
        os.chown(path, user, -1)
    return path
