"""A template from the first moments of a program, before threads and open files pile up.

For programs that have no interpreter to execute (frozen applications), and for those that will
grow: from `install` on, every new process is forked from what the program was then.
"""

from __future__ import annotations

from forkcore._context import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["install", "is_installed"]


def install(*, allow_hazards: Collection[str] | bool = ()) -> None:
    """Fork a template from this program, now; a second call does nothing.

    Afterwards `forkcore.new` and `forkcore.new_exec` fork from it, and nothing is executed.

    Args:
        allow_hazards: See `forkcore.fork_here`.

    Raises:
        ForkHazard: Python threads other than the caller are alive, or a loop is running.
        RuntimeError: This is an isolated subinterpreter.
        OSError: EMFILE, EAGAIN, ENOMEM.
    """
    DEFAULT.install_early(allow_hazards=allow_hazards)


def is_installed() -> bool:
    """Tell whether this process has an early template."""
    return DEFAULT.has_early
