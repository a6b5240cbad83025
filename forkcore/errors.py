"""The exceptions of forkcore: one type for each way in which something can fail.

Everything that forkcore raises on its own account derives from `ForkcoreError`, beside the plain
``ValueError`` and ``TypeError`` for arguments that can never work and ``OSError`` for a call to the
system that failed in this very process.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from forkcore._status import ExitStatus


class ForkcoreError(Exception):
    """Base of all exceptions that forkcore defines."""


class ProtocolError(ForkcoreError):
    """What arrived on a control socket is not a frame.

    Cause: something other than forkcore writes to the socket, descriptors were cut off
    (MSG_CTRUNC, because the receiver had reached its limit of open files), or the two ends are of
    different versions. Remedy: raise the limit of open files, or find the writer; the template is
    given up.
    """


class FrameTooLarge(ForkcoreError, ValueError):
    """One argument is larger than what a frame may carry.

    Cause: `send_arg` with more than 64 MiB. Remedy: split it, or write it to the child's channel.
    """


class RemoteError(ForkcoreError):
    """Code that ran in a template or in a child, on request of this process, has failed.

    Cause: see `remote_traceback`. Remedy: correct that code. A template whose `eval` or `preload`
    failed answers every later request with the same error.

    Args:
        message: The remote exception's text.
        remote_type: Qualified name of the remote exception's type.
        remote_traceback: The formatted traceback, as text.
    """

    def __init__(self, message: str, remote_type: str = "Exception", remote_traceback: str = "") -> None:
        super().__init__(message)
        self.remote_type = remote_type
        self.remote_traceback = remote_traceback
        if remote_traceback:
            self.__cause__ = RemoteTraceback(remote_traceback)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.args[0], self.remote_type, self.remote_traceback)


class RemoteTraceback(Exception):
    """Shows a remote traceback as the cause of the error that was raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return '\n"""\n' + self.text.rstrip("\n") + '\n"""'


class TargetNotFound(RemoteError):
    """The function that `run` was asked for could not be found in the child.

    Cause: no such module, an error while the module was imported, or no such name in it. Remedy:
    check the spelling ("package.module:function"), and the child's ``sys.path``.
    """


class ForkHazard(ForkcoreError):
    """Forking this process now is unsafe.

    Cause: `hazards` says it: Python threads other than the caller, or a running asyncio loop.
    Remedy: fork earlier, or from a template that was made earlier; pass ``allow_hazards=`` only
    where you know that none of those threads can hold a lock that the child needs.
    """

    def __init__(self, message: str, hazards: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.hazards = tuple(hazards)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.args[0], self.hazards)


class ForkFailed(ForkcoreError, OSError):
    """The template could not fork.

    Cause: `errno`: EAGAIN where a limit of processes is reached (RLIMIT_NPROC, pids.max of the
    cgroup, kernel.pid_max), ENOMEM where memory is short. Remedy: fewer children at a time, or a
    higher limit. The template itself is intact and can be asked again.
    """


class TemplateDied(ForkcoreError):
    """The template is gone.

    Cause: it was killed, it crashed, or code given to `eval` ended it; `status` tells which, where
    it is known. Remedy: make a new template. Children that it had already forked go on, but their
    exit status is lost.
    """

    def __init__(self, message: str, pid: int | None = None, status: ExitStatus | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.status = status

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.args[0], self.pid, self.status)


class SandboxUnavailable(ForkcoreError):
    """This system does not give what a sandbox asks for; the function was not called.

    Cause: `missing` says for each thing what it needs, why that cannot be had, and what to do about it. Remedy: that;
    or ``missing="ignore"`` in the sandbox, to run without it.
    """

    def __init__(self, *missing: str) -> None:
        super().__init__("; ".join(missing))
        self.missing = missing

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), self.missing


class ChildDied(ForkcoreError):
    """The child that performed a call of `forkcore.ForkExecutor` is gone, and gave no result.

    Cause: `status` tells: the signal that ended it, or the exit code that it left with. Remedy:
    find out what the function did to its process; calls in other children are not touched.
    """

    def __init__(self, message: str, pid: int | None = None, status: ExitStatus | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.status = status

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.args[0], self.pid, self.status)


class NotPicklable(ForkcoreError, TypeError):
    """A call of `forkcore.ForkExecutor`, or its result, cannot cross to another process.

    Cause: the exception's ``__cause__``, which pickle raised: lambdas, local functions, open files
    and locks cannot be pickled; or the other process cannot import what the pickle names. Remedy:
    use functions at the top of a module that can be imported, and pass descriptors by `send_fd`.
    """


class ObjectSpent(ForkcoreError, ValueError):
    """The template object was used up before.

    Cause: a call on a `Template` after `run`, `close` or `detach`. Remedy: call `fork` first and
    use its result where the template is needed again.
    """


class TimeoutExpired(ForkcoreError, TimeoutError):
    """Something took longer than the time that the caller allows. Nothing was changed by it.

    Cause: a child or a template is busy, stopped or stuck. Remedy: wait again, or end it.
    """

    def __init__(self, what: str, timeout: float | None) -> None:
        super().__init__(f"{what} timed out after {timeout} seconds")
        self.what = what
        self.timeout = timeout

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.what, self.timeout)
