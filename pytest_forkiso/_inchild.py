"""What runs in the template and in its children: one test each, through pytest's own hooks."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from forkcore import run_exit_handlers
from pytest_forkiso import (
    _coverage,
    _hazards,
    _immortal,
    _leftovers,
    _memory,
    _neighbours,
    _private,
    _private_output,
    _reruns,
    _usage,
)
from pytest_forkiso._bounds_config import read_audit
from pytest_forkiso._config import learns_preload, read_collected
from pytest_forkiso._events import Plain
from pytest_forkiso._fork_server import forget_fork_server
from pytest_forkiso._intact import Intact
from pytest_forkiso._interrupts import INTERRUPTS, describe_interrupt
from pytest_forkiso._late_imports import LateImports
from pytest_forkiso._profiles import BOUNDS
from pytest_forkiso._shared import Snapshots
from pytest_forkiso._stream import (
    ChannelEnd,
    ReportMute,
    ReportStream,
    flush_streams,
    plain_text,
)
from pytest_forkiso._tracebacks import describe_error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pytest

    from pytest_forkiso._sandboxed import SandboxedTest
    from pytest_forkiso._slots import Slot, SlotTable

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)

# Bound now: a test may replace names of the module `signal`, and built-ins, and is reported all the same.
_set_handler = signal.signal
_isinstance = isinstance

DUMP_SIGNAL = signal.SIGRTMAX - 2 if sys.platform == "linux" else signal.SIGUSR2
"""Makes a child write the traceback of all its threads; one that tests hardly use."""


class Order(NamedTuple):
    """What a child is told to do.

    Attributes:
        position: Of the test among the session's items.
        nodeid: Of the test.
        slot: Number of its output files.
        attempts: How many were made at this test before, in other children.
        memory: What is known of them, see `_reruns.Attempt`.
        template: Process id of the template that the child comes from.
        location: Of the test, as `pytest.Item.location`; None where that is to be looked up here.
        shares: Fixtures of the test may be set up already.
        told: What other plugins have to know of tests before it, see `_neighbours.hear`.
        group: Folder of the control group of the test; empty for none.
    """

    position: int
    nodeid: str
    slot: int
    attempts: int
    memory: Any
    template: int
    location: tuple[str, int | None, str] | None
    shares: bool
    told: dict[str, Any]
    group: str


class InChild:
    """The plugin's part in the template (`prepare`) and in each child (`run`).

    Made in pytest's own process, before the template is forked from it; forks get it with the rest of the memory.
    """

    def __init__(
        self,
        session: pytest.Session,
        table: SlotTable,
        output_limit: int,
        items: Mapping[int, pytest.Item] | None = None,
    ) -> None:
        """Make it.

        Args:
            session: After collection.
            table: The output files of children.
            output_limit: Bytes that are kept of the output of each phase.
            items: The tests by their places in the whole run; None where the session has all of them.
        """
        self._session = session
        self._items: Mapping[int, pytest.Item] | Sequence[pytest.Item] = session.items if items is None else items
        self._config = session.config
        self._table = table
        self._output_limit = output_limit
        self._stream = ReportStream(self._config, output_limit, table)
        self._faults = -1
        self._sandboxed: SandboxedTest | None = None
        self._collects_all = read_collected(self._config) == "all"
        self._measures = bool(self._config.getoption("fork_report", None))
        self._adopt_orphans = self._end_with_template = _do_nothing
        self._snapshots = Snapshots(session, self._items, table, self._stream, output_limit)
        self._audit_kind = read_audit(self._config)
        self._in_own_group = not (_shows_output(self._config) and _has_terminal())

    def prepare(self) -> None:
        """Make the template ready for its first fork."""
        self._adopt_orphans, self._end_with_template = orphan_adoption(), shared_death()
        self._adopt_orphans()
        self.take_over()
        self._config.hook.pytest_forkiso_template_ready(config=self._config)
        _hazards.refuse_threads()
        forget_fork_server()
        gc.freeze()  # garbage as well: pytest's own process collects it, and its finalisers must not run twice

    def spare(self, forks: int) -> None:
        """Let each further fork cost the template and its children less; the first ones run their tests meanwhile.

        Args:
            forks: How many there will be.
        """
        if self._config.getini("fork_immortal"):
            _immortal.spare_counts(forks, [self._config])
        _memory.spare_forks(forks)

    def take_over(self, known_modules: frozenset[str] | None = None) -> None:
        """Register what sends reports, and what writes a traceback when this process crashes.

        Args:
            known_modules: See `LateImports`.
        """
        if learns_preload(self._config):
            self._config.pluginmanager.register(LateImports(known_modules), "forkiso-late-imports")
        self._config.pluginmanager.register(self._stream, "forkiso-stream")
        self._config.pluginmanager.register(ReportMute(), "forkiso-mute")
        _neighbours.register_in_child(self._config, self._stream)
        self._hear_warnings_alone()
        self._intact = Intact(self._config)
        if not self._config.pluginmanager.is_blocked("faulthandler"):
            import faulthandler

            # Each child points this descriptor at a file of its own.
            self._faults = os.dup(self._table.slots[0].faults)
            faulthandler.enable(file=self._faults)
            faulthandler.register(DUMP_SIGNAL, file=self._faults)

    def _hear_warnings_alone(self) -> None:
        """Keep warnings from other plugins, which hear of them in pytest's own process.

        A historic hook has no wrappers that could mute it, as `ReportMute` does it with others.
        """
        manager = self._config.pluginmanager
        others = [plugin for plugin in manager.get_plugins() if plugin is not self._stream]
        name = "pytest_warning_recorded"
        setattr(manager.hook, name, manager.subset_hook_caller(name, others))

    def snapshot(self) -> None:
        """Set fixtures up in this template, or tear them down: what the channel says that was sent here before."""
        self._snapshots.serve(self._adopt_orphans, self._faults)

    def run(self, channel: socket.socket) -> NoReturn:
        """Wait for the order to run a test, run it, and end the process.

        Args:
            channel: To pytest's own process; consumed.
        """
        if self._in_own_group:
            os.setpgid(0, 0)
        self._adopt_orphans()
        self._end_with_template()
        end = ChannelEnd(channel.detach())
        order = Order(*end.receive()[1:])
        leave_orphaned(end, order)
        item = self._items[order.position]
        _private.set_nodeid(item, order.nodeid)  # where tests share one, the same item stands for several
        self.obey(end, order, item, time.monotonic())

    def obey(self, end: ChannelEnd, order: Order, item: pytest.Item, started: float) -> NoReturn:
        """Run one test, and end the process.

        Args:
            end: Of the channel; consumed.
            order: What was received there.
            item: The test that is meant.
            started: When the order came, on the monotonic clock.
        """
        if self._collects_all:
            gc.unfreeze()
        if order.location is not None:
            item.location = order.location  # pytest's own process knows it; to look it up takes some 85 page faults
        path = str(item.path)  # before the test can replace what gives it
        try:
            self._attach(end, self._table.slots[order.slot])
            self._bind(item, order.group)
            self._audit(item)
            _reruns.tell(item, _reruns.Attempt(order.attempts, order.memory))
            _neighbours.hear(item, order.told)
            if order.shares:
                self._snapshots.begin_test(item)
            word = (*self._run_item(item), started)
            end.end_if_copied()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends the run as an internal error
            self._give_up(end, error, path, started)
        # Before the last word: what they remove, or wait for, belongs to this test and not to the time of the next.
        run_exit_handlers(lambda: self._conclude(end, item, word, path))

    def _conclude(self, end: ChannelEnd, item: pytest.Item, word: tuple[Any, ...], path: str) -> NoReturn:
        """Say the last word, and end the process."""
        try:
            self._before_the_end(item)
            end.send(word)
        except BaseException as error:  # noqa: BLE001 - the same
            self._give_up(end, error, path, word[-1])
        flush_streams()
        end.leave()

    def _give_up(self, end: ChannelEnd, error: BaseException, path: str, started: float) -> NoReturn:
        if _isinstance(error, MemoryError):
            # Where pytest itself was at work, and reports nothing: it costs the test, as a crash, and not the run.
            self._crash(end, "MemoryError, in pytest itself")
        words = self._intact.blame(error, path)
        if words:
            self._crash(end, words)  # what the test itself has done to pytest here costs the test alone
        end.send(("error", describe_error(error), started))
        flush_streams()
        end.leave()

    def _crash(self, end: ChannelEnd, text: str) -> NoReturn:
        """End this process without a last word; the text goes where the traceback of a crash goes."""
        if self._faults >= 0:
            os.write(self._faults, f"{text}\n".encode("utf-8", "backslashreplace"))
        end.leave(1)

    def _attach(self, end: ChannelEnd, slot: Slot) -> None:
        _private_output.redirect_capture(self._config, slot, self._output_limit)
        if self._faults >= 0:
            os.dup2(slot.faults, self._faults, inheritable=False)
        self._stream.attach(end, slot)

    def _bind(self, item: pytest.Item, group: str) -> None:
        bounds = item.stash.get(BOUNDS, None)
        if bounds is None:
            return
        from pytest_forkiso._sandboxed import SandboxedTest

        self._sandboxed = SandboxedTest(self._config, bounds, self._stream, group)
        self._sandboxed.enter(self._faults)
        self._config.pluginmanager.register(self._sandboxed, "forkiso-sandbox")

    def _audit(self, item: pytest.Item) -> None:
        if not self._audit_kind:
            return
        from pytest_forkiso._audit import Audit

        bounds = item.stash.get(BOUNDS, None)
        audit = Audit(
            self._config, fails=self._audit_kind == "fail", has_folder=bounds is not None and bounds.has_folder
        )
        self._config.pluginmanager.register(audit, "forkiso-audit")

    def _run_item(self, item: pytest.Item) -> tuple[Any, ...]:
        """Run the whole protocol; give the last word but for its time."""
        session = self._session
        try:
            item.config.hook.pytest_forkiso_child_started(item=item)
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            self._check_end()
        except INTERRUPTS as error:
            _set_handler(signal.SIGINT, signal.SIG_IGN)  # another one would break off what follows
            _private.tear_down_all(session)
            _leftovers.end_children()
            return describe_interrupt(error, shows_all=bool(self._config.getoption("fulltrace", default=False)))
        except _reruns.RunAgain:
            return "again", _reruns.memory(item)
        return "end", _plain_flag(session.shouldstop), _plain_flag(session.shouldfail)

    def _check_end(self) -> None:
        """See that the test was reported; a plugin that runs tests in its own way may have said nothing of it."""
        if not self._stream.has_ended and not self._intact.has_all_parts():
            raise RuntimeError("pytest has not reported the end of this test")

    def _before_the_end(self, item: pytest.Item) -> None:
        has_file = self._sandboxed is not None and self._sandboxed.leave()
        for key, data in item.config.hook.pytest_forkiso_child_gathered(item=item):
            self._stream.channel.send(("gathered", key, Plain().of(data, key)))
        if self._measures:
            self._stream.channel.send(("measured", *_usage.measure()))
        try:
            _coverage.save(has_file=has_file)
        except Exception as error:  # noqa: BLE001 - its file may be out of reach, and what it needs replaced
            self._stream.warn(item, f"coverage.py cannot save what the test has executed: {error}")


def _plain_flag(value: object) -> bool | str:
    return value if isinstance(value, bool) else plain_text(value)


def _shows_output(config: pytest.Config) -> bool:
    return bool(config.getoption("capture", "no") == "no")


def _has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


def orphan_adoption() -> Callable[[], None]:
    """Give a function that makes the process the parent of what its descendants leave behind (prctl(2); Linux).

    In a child, so that it finds what its test has left; in the template, for children that crash before they can look.
    """
    return _process_control(_PR_SET_CHILD_SUBREAPER, 1)


def shared_death() -> Callable[[], None]:
    """Give a function for a child: when its template is killed, so is the process (prctl(2); Linux).

    A template kills its children when pytest ends, but it cannot where one signal has ended both: that of a CI system
    to the process group of pytest, say, or Ctrl-Backslash.
    """
    return _process_control(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def ending_with_parent() -> Iterator[None]:
    """Let a template that runs code of the project end when its parent does: it does not look at its socket then."""
    shared_death()()
    try:
        yield
    finally:
        _process_control(_PR_SET_PDEATHSIG, 0)()


def leave_orphaned(end: ChannelEnd, order: Order) -> None:
    """End a child whose template was gone before it could ask to end with it: nobody knows of it."""
    if os.getppid() != order.template:
        end.leave(1)


def _process_control(option: int, argument: int) -> Callable[[], None]:
    if sys.platform != "linux":
        return _do_nothing
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(option, argument, 0, 0, 0)


def _do_nothing() -> None:
    pass
