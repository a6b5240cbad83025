"""The tracebacks of exceptions in the process of a test, which may have replaced what would show them."""

from __future__ import annotations

import traceback
from typing import NamedTuple


class Place(NamedTuple):
    """A line of code that an exception has come through.

    Attributes:
        path: Of the file.
        line: Number.
        function: Name.
    """

    path: str
    line: int
    function: str


def describe_error(error: BaseException) -> str:
    """Give the whole traceback of an exception as text; without its source lines and its message where it must be."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as secondary:  # noqa: BLE001 - the user's own __str__ or __repr__, or what a test has replaced
        lines = [f'  File "{each.path}", line {each.line}, in {each.function}\n' for each in places(error)]
        kind, reason = type(error).__name__, type(secondary).__name__
        return f"{''.join(lines)}{kind} (more of its traceback cannot be shown: {reason})\n"


def places(error: BaseException) -> list[Place]:
    """Give where an exception comes from, the innermost place last; reads no files."""
    found = []
    entry = error.__traceback__
    while entry is not None:
        code = entry.tb_frame.f_code
        found.append(Place(code.co_filename, entry.tb_lineno, code.co_name))
        entry = entry.tb_next
    return found
