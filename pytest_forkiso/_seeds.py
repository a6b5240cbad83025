"""Random numbers of a process that was forked from a snapshot: its own, and the same in each run."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def seed(config: pytest.Config, text: str) -> None:
    """Seed the global generators of ``random`` and ``numpy.random``, where they are loaded.

    Args:
        config: Of the session; what pytest-randomly was told to begin with is part of the seed.
        text: What is to differ from process to process: a node id.
    """
    base = getattr(config.option, "randomly_seed", "")
    number = int.from_bytes(hashlib.sha256(f"{base}:{text}".encode("utf-8", "surrogatepass")).digest()[:4], "big")
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed(number)
