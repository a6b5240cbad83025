"""What has come to lists, tables and texts since a test began, and the same brought to those of another process."""

from __future__ import annotations

import io
from typing import Any


def measure(kept: Any) -> Any:
    """Note how much there is of something that will grow.

    Args:
        kept: A list, a text that is written to (`io.StringIO`), or a dictionary of such and of values.
    """
    if isinstance(kept, list):
        return len(kept)
    if isinstance(kept, io.StringIO):
        return len(kept.getvalue())
    if isinstance(kept, dict):
        return {key: measure(value) for key, value in kept.items()}
    return kept


def since(kept: Any, before: Any) -> Any:
    """Give what has come to it.

    Args:
        kept: As `measure` takes it.
        before: What `measure` gave; None for what was not there.

    Returns:
        Elements of a list, the end of a text, keys of a dictionary with what has come there; empty for nothing.
    """
    if isinstance(kept, list):
        return kept[before or 0 :]
    if isinstance(kept, io.StringIO):
        return kept.getvalue()[before or 0 :]
    if not isinstance(kept, dict):
        return kept
    found = {}
    for key, value in kept.items():
        known = (before or {}).get(key)
        if known is None or (measure(value) != known):
            found[key] = since(value, known)
    return found


def grow(kept: Any, more: Any) -> None:
    """Let a list, text or dictionary have what has come to its like in another process."""
    if isinstance(kept, list):
        kept += more
    elif isinstance(kept, io.StringIO):
        kept.seek(0, io.SEEK_END)
        kept.write(more)
    else:
        for key, value in more.items():
            if isinstance(kept.get(key), (list, dict, io.StringIO)):
                grow(kept[key], value)
            else:
                kept[key] = value
