"""What runs in the templates of a chain: setting fixtures up, and tearing them down, through pytest's own machinery."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import forkcore
from pytest_forkiso import _coverage, _findings, _memory, _private_output
from pytest_forkiso import _private_fixtures as machinery
from pytest_forkiso._interrupts import describe_interrupt
from pytest_forkiso._plan import chain_of
from pytest_forkiso._reports import pack_report
from pytest_forkiso._seeds import seed
from pytest_forkiso._stream import ChannelEnd, ReportStream, flush_streams
from pytest_forkiso._tracebacks import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_forkiso._events import Event
    from pytest_forkiso._slots import SlotTable

# Plugins of pytest that wrap the phases of a test, and that a phase without the rest of the protocol needs.
_WRAPPERS = frozenset(
    ("warnings", "faulthandler", "capturemanager", "logging-plugin", "unraisableexception", "threadexception")
)
# Of pytest, what makes a report, and knows what is expected to fail. Other plugins look for what they have noted of the
# phases before, in the process of that test.
_REPORTERS = frozenset(("runner", "skipping"))
_CURRENT_TEST = "PYTEST_CURRENT_TEST"
# What no plugin turns into a report.
_LEAVES = (KeyboardInterrupt, pytest.exit.Exception)


class WantedFixture(NamedTuple):
    """A fixture that is to be set up.

    Attributes:
        name: By which the test asks for it.
        depth: See `pytest_forkiso._plan.Fixture`.
        is_allowed: It is shared, whatever it leaves open.
        failure: It is known to fail, in this way: an earlier attempt has ended its process.
    """

    name: str
    depth: int
    is_allowed: bool
    failure: str | None


class Snapshots:
    """The part of templates: makes snapshots, and ends them; and the part of their children, before their test.

    A process has what was set up in those that it was forked from, and tears down what it has set up itself.
    """

    def __init__(
        self,
        session: pytest.Session,
        items: Mapping[int, pytest.Item] | Sequence[pytest.Item],
        table: SlotTable,
        stream: ReportStream,
        output_limit: int,
    ) -> None:
        self._session = session
        self._items = items
        self._config = session.config
        self._table = table
        self._stream = stream
        self._output_limit = output_limit

    # ------------------------------------------------------------------------------------------------- in a template

    def serve(self, prepare: Callable[[], None], faults: int) -> None:
        """Do what the next event of a channel asks for; the channel was sent to this template before.

        Args:
            prepare: Called first: what each process of ours has to do once.
            faults: Descriptor that faulthandler writes to, or -1.
        """
        (channel,) = forkcore.take_args()
        end = ChannelEnd(channel.detach())
        kind, position, slot_number, *values = end.receive()
        end.send(("alive",))
        item = self._items[position]
        slot = self._table.slots[slot_number]
        prepare()
        if faults >= 0:
            os.dup2(slot.faults, faults, inheritable=False)
        _private_output.redirect_capture(self._config, slot, self._output_limit)
        self._stream.attach(end, slot)
        self._table.note_phase(slot, "setup" if kind == "set_up" else "teardown")
        try:
            with _interruptible():
                if kind == "set_up":
                    word = self._set_up(item, [WantedFixture(*each) for each in values[0]], end, values[1])
                else:
                    word = self._tear_down(item)
                    _coverage.save()
        except _LEAVES as error:
            word = describe_interrupt(error, shows_all=bool(self._config.getoption("fulltrace", default=False)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends the run as an internal error
            word = ("error", describe_error(error))
        self._stream.detach()
        flush_streams()
        end.send(word)
        end.close()

    def _set_up(self, item: pytest.Item, wanted: list[WantedFixture], end: ChannelEnd, forks: int) -> Event:
        machinery.disown(self._session)
        seed(self._config, f"{item.nodeid}:{wanted[0].name}")
        phase = _Phase(self._config, self._stream, item, "setup")
        filling = _Filling(item, wanted, end)
        call = phase.run(filling.fill)
        machinery.renew_request(item)
        if filling.problem is None and call.excinfo is not None:
            # A node above the fixtures has failed: pytest remembers it, and each of them would fail by it.
            filling.failed, filling.begun = list(range(len(wanted))), len(wanted)
        if filling.problem is not None:
            # It is set up once more without that fixture, and what fails here fails there as well.
            self._end_all(item)
        else:
            _memory.spare_forks(forks)  # pages that this process has written to are small ones again
        return "made", filling.begun, filling.failed, filling.problem

    def _end_all(self, item: pytest.Item) -> pytest.CallInfo[None]:
        phase = _Phase(self._config, self._stream, item, "teardown")
        call = phase.run(lambda: machinery.tear_down(self._session))
        if call.excinfo is not None:
            call.excinfo = _without_own_frames(call.excinfo.value)
        return call

    def _tear_down(self, item: pytest.Item) -> Event:
        # The logging plugin expects one before a teardown.
        _Phase(self._config, self._stream, item, "setup").run(_nothing)
        start = machinery.count_sections(item)
        call = self._end_all(item)
        sections = machinery.take_sections(item, start)
        if call.excinfo is None and not sections:
            return "ended", None
        report: pytest.TestReport = self._report(item, call)
        report.sections = sections
        return "ended", pack_report(self._config, report, self._output_limit)

    def _report(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        manager = self._config.pluginmanager
        others = [plugin for plugin in manager.get_plugins() if manager.get_name(plugin) not in _REPORTERS]
        caller = manager.subset_hook_caller("pytest_runtest_makereport", others)
        return caller(item=item, call=call)

    # ---------------------------------------------------------------------------------------------------- in a child

    def begin_test(self, item: pytest.Item) -> None:
        """Make a fork of a template ready for a test: what was set up before the fork is not its own to tear down."""
        machinery.disown(self._session)
        seed(self._config, item.nodeid)
        if machinery.count_sections(item):
            self._config.pluginmanager.register(_SectionJoiner(), "forkiso-sections")


class _Filling:
    """Sets up fixtures one after another, and looks at what each of them has left behind.

    Attributes:
        begun: How many set-ups were begun.
        failed: Which of the fixtures have failed, by their places; pytest keeps it.
        problem: Why the one that was begun last cannot be shared; None where all can.
    """

    def __init__(self, item: pytest.Item, wanted: list[WantedFixture], end: ChannelEnd) -> None:
        self._item = item
        self._wanted = wanted
        self._end = end
        self.begun = 0
        self.failed: list[int] = []
        self.problem: list[str] | None = None

    def fill(self) -> None:
        """Set them up, until one fails or cannot be shared."""
        for place, each in enumerate(self._wanted):
            before = _findings.look()
            if each.depth:
                has_failed, found = self._fill_one(place, each)
            else:
                machinery.set_up_nodes(self._package(each.name))
                self.begun += 1
                has_failed, found = False, []
            if not each.is_allowed:
                found += _findings.new_since(before)
            if found:
                self.problem = found
                return
            if has_failed:
                self.failed.append(place)
                return

    def _package(self, name: str) -> machinery.Node:
        return next(node for node in machinery.nodes(self._item) if name == f"{node.nodeid}/__init__.py")

    def _fill_one(self, place: int, wanted: WantedFixture) -> tuple[bool, list[str]]:
        """Set a fixture up; tell whether it has failed, and what else speaks against sharing it."""
        chain = chain_of(self._item, wanted.name, wanted.depth)
        definition, given = chain[-1]
        scope = given.scope if given is not None else definition.scope
        node = machinery.scope_node(self._item, definition, scope)
        assert node is not None  # noqa: S101 - the plan has it from there
        machinery.set_up_nodes(node)
        self._end.send(("fixture", place))
        self.begun += 1
        if wanted.failure is not None:
            error = pytest.fail.Exception(wanted.failure, pytrace=False)
            machinery.plant_failure(definition, given, error)
        call = pytest.CallInfo.from_call(lambda: machinery.execute(self._item, chain), "setup", reraise=_LEAVES)
        if call.excinfo is None:
            return False, []
        if machinery.has_failed(definition):
            return True, []
        return True, [f"the exception {call.excinfo.exconly()!r}, which pytest does not keep for other tests"]


class _Phase:
    """Runs something as pytest would run a phase of a test: captured, logged, its warnings recorded.

    Hooks of conftest files and other plugins are not called: they belong to the process of a test.
    """

    def __init__(self, config: pytest.Config, stream: ReportStream, item: pytest.Item, when: str) -> None:
        self._manager = config.pluginmanager
        self._stream = stream
        self._item = item
        self._when = when
        self._work: Callable[[], None] = _nothing
        self._call: pytest.CallInfo[None] | None = None

    def run(self, work: Callable[[], None]) -> pytest.CallInfo[None]:
        """Run it, and give what came of it."""
        self._work = work
        self._manager.register(self, "forkiso-phase")
        os.environ[_CURRENT_TEST] = f"{self._item.nodeid} ({self._when})".replace("\0", "(null)")
        try:
            self._caller("pytest_runtest_protocol")(item=self._item, nextitem=None)
        finally:
            os.environ.pop(_CURRENT_TEST, None)
            self._manager.unregister(self)
        assert self._call is not None  # noqa: S101 - the protocol below has set it
        return self._call

    def _caller(self, name: str) -> Any:
        others = [
            plugin
            for plugin in self._manager.get_plugins()
            if plugin is not self and self._manager.get_name(plugin) not in _WRAPPERS
        ]
        return self._manager.subset_hook_caller(name, others)

    @pytest.hookimpl
    def pytest_runtest_protocol(self) -> bool:
        hook = self._caller(f"pytest_runtest_{self._when}")
        arguments: dict[str, Any] = {"item": self._item}
        if self._when == "teardown":
            arguments["nextitem"] = None
        self._call = pytest.CallInfo.from_call(lambda: hook(**arguments), self._when, reraise=_LEAVES)  # type: ignore[arg-type]
        return True

    @pytest.hookimpl
    def pytest_runtest_setup(self) -> None:
        self._stream.keep_log()
        self._work()

    @pytest.hookimpl
    def pytest_runtest_teardown(self) -> None:
        self._stream.keep_log()
        self._work()


class _SectionJoiner:
    """In a child: what a shared set-up has shown, and what the test's own has, are one section, as ever."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> None:
        machinery.join_sections(item)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt in the user's code; a template that waits is deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _without_own_frames(error: BaseException) -> pytest.ExceptionInfo[BaseException]:
    """Cut off the frames that lead to pytest's teardown: it hides its own ones in a report, and would show ours."""
    entry = error.__traceback__
    while entry is not None and entry.tb_frame.f_code is not machinery.tear_down.__code__:
        entry = entry.tb_next
    rest = None if entry is None else entry.tb_next
    return pytest.ExceptionInfo.from_exception(error if rest is None else error.with_traceback(rest))


def _nothing() -> None:
    pass
