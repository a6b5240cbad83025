"""A fresh interpreter that becomes a template."""

from __future__ import annotations

import os
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forkcore._proc import DirectProcess

# ``-c`` puts the working directory first, where a module of any name may lie: it is taken out.
_BOOTSTRAP = (
    "import sys; sys.path[:] = [p for p in sys.path if p] + [{place!r}]; "
    "from forkcore._server import prepare, run; run(prepare({control}))"
)


def find_interpreter(interpreter: str | os.PathLike[str] | None = None) -> str:
    """Find the interpreter to execute.

    That is the one that the caller wants; or the one that runs this program; or, where a program has
    Python built in (``sys.executable`` is empty then, or the program itself), that of the same
    installation.

    Args:
        interpreter: What the caller wants.

    Raises:
        FileNotFoundError: There is none, as in a frozen application: `forkcore.early.install`
            makes one unnecessary.
    """
    if interpreter is not None:
        return os.fspath(interpreter)
    if not getattr(sys, "frozen", False):
        for candidate in _candidates():
            if os.access(candidate, os.X_OK):
                return candidate
    raise FileNotFoundError(
        "this program has no Python interpreter to execute; call forkcore.early.install() "
        "at its start, or name one with interpreter="
    )


def _candidates() -> list[str]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    installed = [os.path.join(sys.exec_prefix, "bin", name) for name in (version, "python3")]
    own = sys.executable
    if not own:
        return installed
    # A program that has Python built in would be executed itself, and start anew.
    return [own, *installed] if "py" in os.path.basename(own).lower() else [*installed, own]


def needs_site() -> bool:
    """Whether import hooks of editable installs are active, which only ``site`` sets up."""
    return any(
        (getattr(finder, "__module__", None) or type(finder).__module__).startswith("__editable__")
        for finder in sys.meta_path
    )


def start_interpreter(
    control: int,
    *,
    interpreter: str | os.PathLike[str] | None = None,
    flags: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    umask: int = -1,
    pass_fds: Sequence[int] = (),
    site: bool | None = None,
) -> DirectProcess:
    """Execute an interpreter that serves as a template.

    The flags of this interpreter (-E, -I, -X, -W and so on) carry over as ``subprocess`` and
    ``multiprocessing`` do it.

    Args:
        control: Descriptor of the control socket, above 2; borrowed.
        interpreter: Path; None for that of this program.
        flags: Further flags of the interpreter.
        env: The whole environment; None for that of this process.
        cwd: Working directory; None for that of this process.
        umask: -1 for that of this process.
        pass_fds: Descriptors that stay open under the same numbers; borrowed.
        site: Whether ``site`` is imported there; None: where editable installs need it.

    Returns:
        The process, owned by the caller.

    Raises:
        OSError: There is no such interpreter or directory, or a limit is reached.
    """
    from forkcore._proc import DirectProcess

    place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = [find_interpreter(interpreter), *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
    if not (needs_site() if site is None else site):
        command.append("-S")
    command += [*flags, "-c", _BOOTSTRAP.format(place=place, control=control)]
    popen = subprocess.Popen(command, env=env, cwd=cwd, umask=umask, pass_fds=(control, *pass_fds), close_fds=True)
    # Popen found the errors of exec; the process itself has another owner from here on.
    process = DirectProcess(popen.pid)
    popen.returncode = 0
    return process
