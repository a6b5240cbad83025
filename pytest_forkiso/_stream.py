"""The child's end of its channel, and the plugin that sends there what pytest has to say of the test."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_forkiso import _config, _leftovers, _private, _private_output, _slots
from pytest_forkiso._events import Event, EventDecoder, Plain, encode
from pytest_forkiso._reports import changed, pack_report, pack_warning
from pytest_forkiso._reruns import RunAgain, are_known

if TYPE_CHECKING:
    from collections.abc import Generator

# Bound now: a test may replace names of the module `os`, and is reported all the same.
_read = os.read
_write = os.write
_getpid = os.getpid
_exit = os._exit
_waitid = os.waitid


class ChannelEnd:
    """Sends and receives events over a descriptor that a test may not know of.

    A copy of the process that a test itself forked, and that runs on into pytest, ends at its first word: the test's
    own process alone reports.
    """

    def __init__(self, fd: int) -> None:
        """Take over a descriptor.

        Args:
            fd: Of a connected stream socket in blocking mode; consumed.
        """
        self._fd = fd
        self._pid = _getpid()
        self._decoder = EventDecoder()
        self._received: list[Event] = []

    def send(self, event: Event) -> None:
        """Send one event; where nobody listens any more, the process ends."""
        self.end_if_copied()
        data = memoryview(encode(event))
        try:
            while data:
                data = data[_write(self._fd, data) :]
        except OSError:
            _exit(1)

    def receive(self) -> Event:
        """Wait for one event; where nobody will send one any more, the process ends."""
        self.end_if_copied()
        while not self._received:
            data = _read(self._fd, 65536)
            if not data:
                _exit(0)
            self._received = self._decoder.feed(data)
        return self._received.pop(0)

    def end_if_copied(self) -> None:
        """End a process that was forked from the one that this channel belongs to."""
        if _getpid() != self._pid:
            _exit(0)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)

    def leave(self, code: int = 0) -> NoReturn:
        """End this process, without exit handlers or destructors."""
        _exit(code)


class Muted(Exception):
    """Keeps a hook call from the implementations of other plugins."""


class ReportStream:
    """A plugin of the child: what would be reported here is sent to pytest's own process, and reported there.

    Attributes:
        has_ended: The teardown was reported.
    """

    def __init__(self, config: pytest.Config, output_limit: int, table: _slots.SlotTable) -> None:
        self._config = config
        self._table = table
        self._output_limit = output_limit
        self._junit = _private.junit_log(config)
        self._channel: ChannelEnd | None = None
        self._slot: _slots.Slot | None = None
        self.has_ended = False
        self._starts = 0
        self._in_step = _config.is_live(config)
        self._knows_base_temp = False
        self._base_temp: str | None = None
        self._failure: tuple[pytest.TestReport, dict[str, Any]] | None = None

    def attach(self, channel: ChannelEnd, slot: _slots.Slot) -> None:
        """Begin to send.

        Args:
            channel: Borrowed.
            slot: The output files of this process, borrowed.
        """
        self._channel = channel
        self._slot = slot
        _private.begin_line(self._config)
        self._table.note_phase(slot, "setup")

    def detach(self) -> None:
        """Send no more, in a template: its children have channels of their own."""
        self._channel = self._slot = None

    @property
    def channel(self) -> ChannelEnd:
        """The channel of this process; templates have none."""
        if self._channel is None:
            raise RuntimeError("a template runs no tests")
        return self._channel

    # What pytest and other plugins report goes over the channel and no further: the wrappers below are called before
    # every other implementation, and an exception that a wrapper raises ends the call (pluggy's documented behaviour).

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        self._send_report(report)
        if not _ends_phase(report):
            self._show_subtest(report)
        raise Muted
        yield  # type: ignore[unreachable] # makes it a wrapper

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, object, object]:
        self._starts += 1
        if self._starts > 1 and are_known(self._config):
            raise RunAgain
        raise Muted
        yield  # type: ignore[unreachable] # makes it a wrapper

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self) -> Generator[None, object, object]:
        raise Muted
        yield  # type: ignore[unreachable] # makes it a wrapper

    @pytest.hookimpl
    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: Any
    ) -> None:
        if self._channel is not None:  # a historic hook: what was recorded before the fork comes again
            self._channel.send(("warning", pack_warning(warning_message, when, nodeid, location)))

    def warn(self, item: pytest.Item, text: str) -> None:
        """Warn of something after the protocol of the test, where pytest records no warnings any more."""
        path, line = item.location[0], item.location[1] or 0
        message = pytest.PytestWarning(text)
        warning = warnings.WarningMessage(message, type(message), path, line + 1)
        self.pytest_warning_recorded(warning, "runtest", item.nodeid, None)

    def _send_report(self, report: pytest.TestReport) -> None:
        channel = self.channel
        channel.end_if_copied()
        flush_streams()
        if report.when == "teardown":
            found = _leftovers.end_children(_waitid)
            if found.ended:
                report.sections.append((_leftovers.SECTION, _leftovers.describe(found.ended)))
            if found.ended or found.helpers:
                channel.send(("leftovers", len(found.ended), found.helpers))
        self._send_junit(report)
        self._send_line()
        failed_subtests = _private.failed_subtests(self._config, report)
        packed = pack_report(self._config, report, self._output_limit)
        channel.send(("report", packed, failed_subtests))
        self._failure = (report, packed) if report.failed and _ends_phase(report) else None
        self.has_ended = report.when == "teardown"
        if self._slot is not None and _ends_phase(report):
            _private_output.empty(self._slot.log)  # it is part of this report
        if self._in_step:
            channel.send(("shown",))
            channel.receive()

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self, report: object) -> None:
        """Send what other plugins have changed in a failure that was reported just now, as some do in this hook."""
        if self._failure is None or self._failure[0] is not report:
            return
        failed, before = self._failure
        after = pack_report(self._config, failed, self._output_limit)
        names = changed(before, after)
        if names:
            self.channel.send(("amended", after, names))

    def _send_line(self) -> None:
        """Tell where the cursor is that pytest's own process takes over."""
        if self._in_step:
            self.channel.send(("line", _private.written_line(self._config)))
            _private.begin_line(self._config)

    def _show_subtest(self, report: pytest.TestReport) -> None:
        """Let the terminal plugin write about a subtest in mid-test: pytest captures that as output of the test."""
        if not _private_output.is_capturing(self._config):
            return
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.pytest_runtest_logreport(report)

    def _send_junit(self, report: pytest.TestReport) -> None:
        if self._junit is None:
            return
        properties, attributes = _private.junit_state(self._junit, report)
        if properties or attributes:
            self.channel.send(("junit", report.nodeid, properties, attributes))
            self._junit.global_properties.clear()

    # The phase is noted where it outlives a crash. No wrappers: tracebacks of tests would show their frames.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._note_phase("setup")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        self._note_phase("call")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        self._note_phase("teardown")

    def _note_phase(self, phase: str) -> None:
        if self._slot is not None:
            self._table.note_phase(self._slot, phase)
            self.keep_log()

    def keep_log(self) -> None:
        """Let what is logged in the phase that has just begun outlive a crash."""
        if self._slot is not None:
            _private_output.redirect_log(self._config, self._slot.log)

    # What belongs to the whole run is asked of pytest's own process.

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        if fixturedef.argname == "tmp_path_factory":
            self.fetch_base_temp()

    def fetch_base_temp(self) -> str | None:
        """Ask for the base directory of the whole run, once; None without the plugin that has one."""
        if not self._knows_base_temp:
            self.channel.send(("base_temp",))
            self.use_base_temp(self.channel.receive()[1])
        return self._base_temp

    def use_base_temp(self, path: str | None) -> None:
        """Let the test's temporary directories lie in this one."""
        self._knows_base_temp = True
        self._base_temp = path
        if path is not None:
            _private.set_base_temp(self._config, path)

    # A debugger in this process: the deadline stands still, and the terminal is ours while it runs.

    @pytest.hookimpl
    def pytest_enter_pdb(self) -> None:
        self.channel.send(("debugger", True))
        take_terminal(os.getpgrp())

    @pytest.hookimpl
    def pytest_leave_pdb(self) -> None:
        self.channel.send(("debugger", False))


class ReportMute:
    """The outermost wrapper of what `ReportStream` mutes: nobody sees the exception."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, object, object]:
        return (yield from _swallow())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, object, object]:
        return (yield from _swallow())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self) -> Generator[None, object, object]:
        return (yield from _swallow())


def _ends_phase(report: pytest.TestReport) -> bool:
    """Tell a report of a phase from one of a subtest."""
    return type(report) is pytest.TestReport


def _swallow() -> Generator[None, object, object]:
    try:
        return (yield)
    except Muted:
        return []


def take_terminal(group: int) -> None:
    """Make a process group the one that reads from the terminal, where there is one."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.tcsetpgrp(terminal, group)
    except OSError:
        pass  # not our controlling terminal: nothing will stop a reader either
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(terminal)


def flush_streams() -> None:
    """Write out what the standard streams hold, before a word of this process is shown by another one."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except BaseException:  # noqa: BLE001, S110 - a test may have closed it, or replaced it by one that raises anything
            pass


def plain_text(value: object) -> str:
    """Give a text that crosses, for what should be one but may be of the user's own type."""
    text = Plain().of(value, "text")
    return text if isinstance(text, str) else str(text)
