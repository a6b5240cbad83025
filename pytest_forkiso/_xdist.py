"""pytest-xdist: each worker forks its tests one at a time; what is wrong with settings is said by the controller."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from pytest_forkiso._child_source import ChildSource
    from pytest_forkiso._scheduler import Scheduler
    from pytest_forkiso._session import ForkedSession
    from pytest_forkiso._summary import Statistics

_USAGE_ERROR = "forkiso_usage_error"
_STATISTICS = "forkiso_statistics"
_WORKERS_HERE = "forkiso_workers_here"


def is_worker(config: pytest.Config) -> bool:
    """Tell whether this is a worker's session."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Tell whether this session has workers, and runs no tests itself."""
    return config.pluginmanager.hasplugin("dsession")


def workers_here(config: pytest.Config) -> int:
    """Count the workers that this process shares its machine with, itself included; 1 where it is none."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    # Without this plugin the controller does not tell, and all may be on one machine.
    return int(given.get(_WORKERS_HERE, given.get("workercount", 1)))


class WorkerLoop:
    """Runs the forked ones among the tests that the worker is given, one at a time."""

    def __init__(self, forked: ForkedSession) -> None:
        self._forked = forked
        self._scheduler: Scheduler | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Have a template while the worker's own loop runs."""
        source = open_source(self._forked, session)
        if source is None:
            return (yield)
        with self._forked.scheduler(session, source) as self._scheduler:
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a forked test in a child."""
        if self._scheduler is None or not self._forked.is_forked(item):
            return None
        from pytest_forkiso import _private

        try:
            self._scheduler.run([item], nextitem)
        except pytest.UsageError as error:
            refuse(item.session, error)
            return True
        _private.tear_down_to(item.session, nextitem)
        return True


def open_source(forked: ForkedSession, session: pytest.Session) -> ChildSource | None:
    """Have a template in a worker; None where that is refused: see `refuse`."""
    import forkcore

    try:
        source = forked.make_source(session)
        with source.forking() as fork:
            template = None if fork is None else forkcore.fork_here(**fork)
        source.open(template)
    except pytest.UsageError as error:
        refuse(session, error)
        return None
    return source


class _Refusal:
    """Runs none of the tests that the worker is given until it hears that it is to stop."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> bool:
        return True


def refuse(session: pytest.Session, error: pytest.UsageError) -> None:
    """End a worker because of an error that its user has to read.

    An exception would do, but its text would not reach the controller.
    """
    config: Any = session.config
    config.workeroutput[_USAGE_ERROR] = str(error)
    config.pluginmanager.register(_Refusal(), "forkiso-refusal")
    session.shouldstop = "a usage error in a worker"


class WorkerSummary:
    """In a worker: tells the controller of its children, and of what did not go as it should."""

    def __init__(self, forked: ForkedSession) -> None:
        self._forked = forked

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send it with the worker's last word."""
        config: Any = session.config
        statistics = self._forked.statistics
        alone = statistics.files_alone() if config.get_verbosity() > 0 else []
        config.workeroutput[_STATISTICS] = statistics.pack([*self._forked.lines(config), *alone])


class Controller:
    """Tells workers how many they are, hears of their children, and ends the run with the error of one."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._ended: set[str] = set()
        self._machines: Counter[str] = Counter()

    @pytest.hookimpl
    def pytest_xdist_setupnodes(self, specs: Iterable[Any]) -> None:
        """Count the workers of each machine."""
        self._machines.update(_machine(spec) for spec in specs)

    @pytest.hookimpl
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker, before it begins."""
        node.workerinput[_WORKERS_HERE] = max(1, self._machines[_machine(node.gateway.spec)])

    @pytest.hookimpl
    def pytest_testnodedown(self, node: Any) -> None:
        """Look at what a worker says at its end; one that has crashed says nothing.

        Raises:
            pytest.UsageError: The worker had one.
        """
        output: dict[str, Any] = getattr(node, "workeroutput", {})
        self._count(node.gateway.id, output)
        text = output.get(_USAGE_ERROR)
        if text is not None:
            raise pytest.UsageError(text)

    def _count(self, worker: str, output: dict[str, Any]) -> None:
        if worker in self._ended:
            return  # pytest-xdist tells twice of one that was interrupted
        self._ended.add(worker)
        if _STATISTICS in output:
            self._statistics.add(worker, output[_STATISTICS])
        elif not output:
            self._statistics.uncounted.append(worker)


def _machine(spec: Any) -> str:
    """Give a name for the machine of a worker, from execnet's `XSpec`."""
    if spec.ssh or spec.vagrant_ssh:
        return str(spec.ssh or spec.vagrant_ssh)
    return str(spec.socket).partition(":")[0] if spec.socket else ""
