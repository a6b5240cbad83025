"""How a test or a fixture breaks off the whole run: as an event of its process, and raised again in pytest's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

from pytest_forkiso._stream import plain_text
from pytest_forkiso._tracebacks import describe_error, places

if TYPE_CHECKING:
    from pytest_forkiso._events import Event

INTERRUPTS = (KeyboardInterrupt, pytest.exit.Exception, pytest.UsageError)
"""What ends the run when it comes through pytest's hooks; a test that raises a `pytest.UsageError` just fails."""

_ErrorT = TypeVar("_ErrorT", bound=BaseException)


class InTest(Exception):
    """Where a test was interrupted, in its own process; shown with ``--full-trace``."""


def describe_interrupt(error: BaseException, *, shows_all: bool) -> Event:
    """Make an event of one of `INTERRUPTS`.

    Args:
        error: Where it is a KeyboardInterrupt, the place where it was raised is part of the event.
        shows_all: And its whole traceback.
    """
    if isinstance(error, pytest.UsageError):
        return "usage", _text(error)
    kind = plain_text(type(error).__module__), plain_text(type(error).__qualname__)
    if isinstance(error, pytest.exit.Exception):
        code = error.returncode
        return "exit", *kind, plain_text(error.msg), None if code is None else int(code)
    found = places(error)
    path, line = (found[-1].path, found[-1].line) if found else ("", 0)
    return "keyboard", *kind, _text(error), path, line, describe_error(error) if shows_all else ""


def is_interrupt(event: Event) -> bool:
    """Tell whether an event is one that `describe_interrupt` makes."""
    return event[0] in ("usage", "exit", "keyboard")


def raise_interrupt(event: Event) -> NoReturn:
    """Raise what an event of `describe_interrupt` describes; values at its end that it knows nothing of do not matter.

    Raises:
        KeyboardInterrupt: By the name that it had there, with a traceback that ends where it was raised: pytest shows
            both.
        pytest.exit.Exception: By its name as well.
        pytest.UsageError: With the text.
    """
    kind, *values = event
    if kind == "usage":
        raise pytest.UsageError(values[0])
    module, name = values[:2]
    if kind == "exit":
        raise _same_kind(pytest.exit.Exception, module, name)(*values[2:4])
    text, path, line, trace = values[2:6]
    error = _same_kind(KeyboardInterrupt, module, name)(*([text] if text else []))
    error.__cause__ = InTest(f"in the test's process:\n{trace}") if trace else None
    code = compile("\n" * max(0, line - 1) + "raise error", path, "exec")
    exec(code, {"error": error})  # noqa: S102 - the code is the line above
    raise error


def _same_kind(base: type[_ErrorT], module: str, name: str) -> type[_ErrorT]:
    """Give a class by that name, which may be one of the user's own: `base`, or made as its subclass."""
    if (module, name) == (base.__module__, base.__qualname__):
        return base
    metaclass: Any = type(base)  # whose calls make classes
    made: type[_ErrorT] = metaclass(name.rpartition(".")[2], (base,), {"__module__": module, "__qualname__": name})
    return made


def _text(error: BaseException) -> str:
    try:
        return plain_text(str(error))
    except Exception:  # noqa: BLE001 - the user's own __str__
        return "<exception str() failed>"  # as Python says it
