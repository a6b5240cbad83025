"""pytest-xdist with ``--fork-jobs``: a worker runs several of its forked tests at a time.

The worker's own loop hands out one test after another, and has no public way to take more. This one takes its place and
keeps to what worker and controller say to each other: the commands ``runtests``, ``runtests_all``, ``steal`` and
``shutdown``, and the events ``unscheduled`` and ``runtest_protocol_complete`` (`xdist.workermanage.WorkerController`).
Of `xdist.remote.WorkerInteractor` it uses ``channel``, ``sendevent`` and ``item_index``.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso import _private, _xdist

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pytest_forkiso._scheduler import Scheduler
    from pytest_forkiso._session import ForkedSession

_SHUTDOWN: tuple[str, dict[str, Any]] = ("shutdown", {})
_NO_TIME = 0.0
"""Seconds that a test is said to have taken. To workers whose tests take long, a controller sends more only when they
have less than two left; then most of the jobs would have nothing to do."""


class Assignment:
    """The tests that the controller has given to this worker and that are not over, in the order in which they came.

    Commands come in a thread of execnet's.
    """

    def __init__(self, session: pytest.Session, forked: ForkedSession, interactor: Any, *, looks_ahead: bool) -> None:
        """Begin to listen; what the controller has sent before counts as well.

        Args:
            session: Of the worker.
            forked: Knows which tests are forked.
            interactor: pytest-xdist's.
            looks_ahead: No test is handed out before it is known which one comes after it.
        """
        self._items = session.items
        self._forked = forked
        self._interactor = interactor
        self._looks_ahead = looks_ahead
        self._changed = threading.Condition()
        self._indices: deque[int] = deque()  # of tests that are not handed out
        self._ends = False
        self._running: dict[int, pytest.Item] = {}  # by index
        self._bell, self._rope = socket.socketpair()
        for end in (self._bell, self._rope):
            end.setblocking(False)
        interactor.channel.setcallback(self._obey, endmarker=_SHUTDOWN)

    def close(self) -> None:
        """Wake nobody any more."""
        with self._changed:
            self._bell.close()
            self._rope.close()

    def _obey(self, command: tuple[str, dict[str, Any]]) -> None:
        name, values = command
        with self._changed:
            if name == "runtests":
                self._indices.extend(values["indices"])
            elif name == "runtests_all":
                self._indices.extend(range(len(self._items)))
            elif name == "steal":
                self._give_away(values["indices"])
            elif name == "shutdown":
                self._ends = True
            self._changed.notify()
            with contextlib.suppress(OSError):  # it rings already, or nobody listens any more
                self._rope.send(b"\0")

    def _give_away(self, wanted: Collection[int]) -> None:
        """Let another worker have tests: all of those that are wanted, or none where one of them is ours already."""
        own = (
            self._indices[0] if self._looks_ahead and self._indices else None
        )  # somebody has been told that it follows
        given = list(wanted) if set(wanted).issubset(self._indices) and own not in wanted else []
        self._indices = deque(index for index in self._indices if index not in given)
        self._interactor.sendevent("unscheduled", indices=given)

    # ---------------------------------------------------------------------------------------------- for the scheduler

    def fileno(self) -> int:
        """Give a descriptor that can be read when something has changed."""
        return self._bell.fileno()

    def note_change(self) -> None:
        """Have the descriptor unreadable until something changes again."""
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)

    def take(self, most: int) -> list[pytest.Item]:
        """Hand out forked tests that are to be started now, ``most`` at the most."""
        taken: list[pytest.Item] = []
        with self._changed:
            held_back = int(self._looks_ahead and not self._ends)
            while len(taken) < most and len(self._indices) > held_back and self._is_next_forked():
                taken.append(self._take_first())
        return taken

    @property
    def following(self) -> pytest.Item | None:
        """The first test that is not handed out; None where there is none."""
        with self._changed:
            return self._items[self._indices[0]] if self._indices else None

    @property
    def is_exhausted(self) -> bool:
        """The next test is not forked, or there will be none."""
        with self._changed:
            return not self._is_next_forked() if self._indices else self._ends

    @property
    def is_complete(self) -> bool:
        """All tests are handed out, and there will be no more."""
        with self._changed:
            return self._ends and not self._indices

    def done(self, item: pytest.Item) -> None:
        """Tell the controller that a test is over."""
        index = next(index for index, each in self._running.items() if each is item)
        del self._running[index]
        self._interactor.sendevent("runtest_protocol_complete", item_index=index, duration=_NO_TIME)

    # ------------------------------------------------------------------------------------------- for the worker's loop

    def take_other(self) -> tuple[pytest.Item, pytest.Item | None]:
        """Hand out the next test, which is not forked, and tell which one comes after it; waits for that."""
        with self._changed:
            self._changed.wait_for(lambda: self._ends or len(self._indices) > 1)
            return self._take_first(), self._items[self._indices[0]] if self._indices else None

    def address(self, nodeid: str) -> None:
        """Have reports sent as those of the running test with this id, the first one where there are several."""
        self._interactor.item_index = next(index for index, item in self._running.items() if item.nodeid == nodeid)

    def _is_next_forked(self) -> bool:
        return self._forked.is_forked(self._items[self._indices[0]])

    def _take_first(self) -> pytest.Item:
        index = self._indices.popleft()
        self._running[index] = self._items[index]
        return self._items[index]


class WorkerJobsLoop:
    """Runs the tests of a worker: forked ones several at a time, others one after another, in between."""

    def __init__(self, forked: ForkedSession, interactor: Any) -> None:
        self._forked = forked
        self._interactor = interactor
        self._assignment: Assignment | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run them until the controller has no more."""
        source = _xdist.open_source(self._forked, session)
        if source is None:
            return None  # pytest-xdist's own loop runs none of them
        try:
            with (
                self._forked.scheduler(session, source) as scheduler,
                self._listening(session, looks_ahead=source.shares) as assignment,
            ):
                _run(session, scheduler, assignment)
        except pytest.UsageError as error:
            _xdist.refuse(session, error)
        return True

    @contextlib.contextmanager
    def _listening(self, session: pytest.Session, *, looks_ahead: bool) -> Iterator[Assignment]:
        assignment = Assignment(session, self._forked, self._interactor, looks_ahead=looks_ahead)
        self._assignment = assignment
        try:
            yield assignment
        finally:
            self._assignment = None
            assignment.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say which test a report is of, before it is sent."""
        if self._assignment is not None:
            self._assignment.address(report.nodeid)


def _run(session: pytest.Session, scheduler: Scheduler, assignment: Assignment) -> None:
    while not session.shouldfail and not session.shouldstop:
        scheduler.run_incoming(assignment)
        if assignment.is_complete:
            return
        item, following = assignment.take_other()
        _private.tear_down_to(session, item)  # fixtures that were kept for forked tests
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        assignment.done(item)


def find_interactor(config: pytest.Config) -> Any:
    """Give what speaks with the controller.

    Raises:
        pytest.UsageError: It is not where it was in the versions of pytest-xdist that are known.
    """
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor" and hasattr(plugin, "channel") and hasattr(plugin, "sendevent"):
            return plugin
    raise pytest.UsageError(
        "--fork-jobs does not know its way in the workers of this version of pytest-xdist; run with --fork-jobs 1, or "
        "with pytest-xdist 3.8"
    )
