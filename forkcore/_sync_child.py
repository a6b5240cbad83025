"""`Child` for programs with threads, or without: the blocking driver."""

from __future__ import annotations

from forkcore import _many, _steps
from forkcore._base_child import ChildBase
from forkcore._sync_any import wait_for_any
from forkcore.errors import TimeoutExpired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from forkcore._status import ExitStatus
    from forkcore._steps import Steps, T
    from forkcore._sync_link import SyncLink


def perform(steps: Steps[T]) -> T:
    """Go through steps, waiting for what each of them asks for."""
    try:
        wait = next(steps)
        while True:
            try:
                has_come = _wait(wait)
            except BaseException as error:  # noqa: BLE001 - it comes out of the steps again; Ctrl-C, for one
                wait = steps.throw(error)
            else:
                wait = steps.send(has_come)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _wait(wait: _steps.Until | _steps.Sent | _steps.Ended | _steps.AnyOf) -> bool:
    if isinstance(wait, _steps.Until):
        return wait.link.wait_until(wait.is_done, wait.timeout)
    if isinstance(wait, _steps.Sent):
        return wait.link.flush(wait.timeout)
    if isinstance(wait, _steps.AnyOf):
        return wait_for_any(wait.links, wait.processes, wait.is_done, wait.timeout)
    return wait.process.wait(wait.timeout) is not None


class Child(ChildBase):
    """A process that runs a function; made by `Template.run`.

    Use it in a ``with`` statement, which closes the channel and waits, as ``subprocess.Popen``
    does.

    Attributes:
        channel: The parent's end of the child's own socket: blocking, close-on-exec. Its other
            end is the function's first argument. It reaches its end when the child is gone.
    """

    @property
    def pid(self) -> int:
        """The process id; waits until the template has forked.

        Raises:
            ForkFailed: The template could not fork.
            ForkHazard: The template had threads.
            TemplateDied: The template is gone.
        """
        pid = self._core.pid
        if pid is None:
            pid = perform(_steps.child_pid(self._core))
        if pid is None:
            raise self._failure()
        return pid

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for the end of the child.

        Args:
            timeout: Seconds; None waits for ever, 0 does not wait.

        Raises:
            TimeoutExpired: The child still runs.
            ForkcoreError: As `poll`.
        """
        if not perform(_steps.child_end(self._core, timeout)):
            raise TimeoutExpired("waiting for a child", timeout)
        return self._result()

    def _send(self, link: SyncLink) -> None:
        link.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.channel.close()
        if not self._is_detached:
            perform(_steps.child_end(self._core, None))


def wait(
    children: Iterable[Child], timeout: float | None = None, *, return_when: str = _many.ALL_COMPLETED
) -> _many.Waited[Child]:
    """Wait for many children at once, of any templates, as ``concurrent.futures.wait`` does for futures.

    Children that could not be made, or whose template is gone, count as ended: `Child.poll` raises why.

    Args:
        children: To wait for.
        timeout: Seconds, for all together; None waits for ever, 0 does not wait.
        return_when: "ALL_COMPLETED" or "FIRST_COMPLETED", as the constants of
            ``concurrent.futures`` are.

    Returns:
        Two sets: those that have ended by then, and those that have not.

    Raises:
        ValueError: There is no such `return_when`.
        OSError: EMFILE, where another thread waits for one of the templates.
    """
    return perform(_many.wait_steps(children, timeout, return_when))
