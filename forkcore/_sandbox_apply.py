"""Applies a sandbox to this very process; see `forkcore.sandbox` for the value that describes one.

What cannot be had is collected, and either refused as a whole, before any code of the user has run, or named.
"""

from __future__ import annotations

import marshal

from forkcore._sandbox_limits import NOTE
from forkcore._sandbox_missing import texts
from forkcore._sandbox_steps import Application
from forkcore.errors import SandboxUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from forkcore._sandbox_limits import Limits


class Applied:
    """The sandbox that this process is in.

    Attributes:
        missing: What was asked for and could not be had, in words; empty unless that is to be ignored.
        means: What was done for each thing that can be had in several ways: ``{"read_only": "mounts"}``.
    """

    def __init__(self, missing: tuple[str, ...], means: dict[str, str], limits: Limits) -> None:
        self.missing = missing
        self.means = means
        self._limits = limits

    def explain(self, error: BaseException) -> str | None:
        """Say which limit an error of this process speaks of, and how much of it is used; None where of none."""
        try:
            return self._limits.explain(error)
        except (MemoryError, OSError):
            return None  # still at the limit: the error itself has to do

    def relax(self) -> None:
        """Raise the limits by what is kept back, so that this process can report that it has reached one."""
        self._limits.relax()

    def tighten(self) -> None:
        """Take back what `relax` has given."""
        self._limits.tighten()


# A process is in one sandbox at the most, and forks of it are in the same.
current: Applied | None = None


def apply_encoded(data: bytes, vanishing: Collection[int] = ()) -> None:
    """Apply what a parent has sent; see `apply`."""
    apply(marshal.loads(data), vanishing)  # noqa: S302 - from the parent, over a private socket


def apply(fields: dict[str, Any], vanishing: Collection[int] = ()) -> Applied:
    """Apply a sandbox to this process; it cannot be undone.

    Args:
        fields: As `forkcore.sandbox.Sandbox.fields` gives them.
        vanishing: Descriptors that will be closed before the user's code runs.

    Raises:
        SandboxUnavailable: Something cannot be had here.
        OSError: A path is not there, or the system refused what it should allow.
        RuntimeError: This process is in a sandbox already.
    """
    global current  # noqa: PLW0603 - see above
    if current is not None:
        raise RuntimeError("this process is in a sandbox already")
    application = Application(fields, vanishing)
    application.run()
    missing = tuple(texts(application.missing))
    if missing and not fields.get("ignores_missing"):
        raise SandboxUnavailable(*missing)
    current = Applied(missing, application.means, application.limits)
    return current


def annotate(error: BaseException) -> None:
    """Add to an error of this process what it has to do with its sandbox, if anything."""
    if current is None:
        return
    current.relax()
    text = current.explain(error)
    if text is not None and not any(note.startswith(NOTE) for note in _notes(error)):
        error.add_note(text)


def _notes(error: BaseException) -> list[str]:
    return [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
