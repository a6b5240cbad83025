"""coverage.py in children: their measurement would be lost, since they leave without exit handlers."""

from __future__ import annotations

import sys


def save() -> None:
    """Write what this process has measured to a data file of its own, if coverage.py is at work.

    pytest-cov and ``coverage combine`` find the file beside the others: a data object that notices a fork
    gives its file a new name (``coverage.sqldata``).
    """
    coverage = sys.modules.get("coverage")
    if coverage is None:
        return
    current = coverage.Coverage.current()
    if current is not None:
        current.stop()
        current.save()
