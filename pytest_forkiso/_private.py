"""All names of pytest that are not public, each with the reason why there is no other way.

Tested against the pytest versions of tox.ini. Nothing else in this package imports ``_pytest``, but for its
neighbours `_private_fixtures`, `_private_output` and `_private_shown`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from _pytest._code.code import (
    ExceptionChainRepr,
    ReprEntryNative,
    ReprFileLocation,
    ReprTraceback,
)
from _pytest.capture import FDCapture
from _pytest.config import _prepareconfig
from _pytest.skipping import evaluate_xfail_marks, xfailed_key

_failed_subtests_key: Any
try:
    # Now, and not when a test reports: it may have replaced what imports need.
    from _pytest.subtests import failed_subtests_key as _failed_subtests_key
except ImportError:  # before pytest 9; pytest-subtests has no such count
    _failed_subtests_key = None

if TYPE_CHECKING:
    from collections.abc import Iterator


# ------------------------------------------------------------------------------------ sessions that do not run tests


def read_command_line(arguments: list[str], plugins: list[object]) -> pytest.Config:
    """Make a configuration that is not configured yet, as pytest-xdist does it for its workers.

    ``pytest.main`` returns when its session has ended; a template has to be forked while its session goes on.
    """
    return _prepareconfig(arguments, plugins)


def begin_session(config: pytest.Config) -> pytest.Session:
    """Configure, and make a session, as ``pytest.main`` does."""
    from _pytest.main import Session

    session = Session.from_config(config)
    config._do_configure()
    config.hook.pytest_sessionstart(session=session)
    return session


def set_nodeid(item: pytest.Item, nodeid: str) -> None:
    """Give a test the node id that it has in pytest's own process.

    It is another one where a plugin has changed it (pytest-xdist), and for files outside of the root directory.
    """
    if item.nodeid == nodeid:
        return
    if hasattr(item, "_id"):  # since pytest 9.2
        item._id = type(item._id).parse(nodeid)
    else:
        item._nodeid = nodeid  # type: ignore[attr-defined] # as pytest-xdist does


@contextlib.contextmanager
def quiet_log_file(config: pytest.Config) -> Iterator[None]:
    """Keep what is logged for a while out of ``--log-file``: pytest's own process has it there already."""
    plugin: Any = config.pluginmanager.get_plugin("logging-plugin")
    handler = getattr(plugin, "log_file_handler", None)
    if handler is None:
        yield
        return

    def drop(_record: object) -> bool:
        return False

    handler.addFilter(drop)
    try:
        yield
    finally:
        handler.removeFilter(drop)


# ---------------------------------------------------------------------------------------------------------- capturing


def standard_input(config: pytest.Config) -> int:
    """Give the descriptor of the input that pytest was started with; capturing holds it, and has put /dev/null at 0."""
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    capture = getattr(getattr(manager, "_global_capturing", None), "in_", None)
    return capture.targetfd_save if isinstance(capture, FDCapture) else 0


def redirect_terminal(config: pytest.Config, file: Any) -> Any:
    """Let the terminal plugin write to another file; give the one that it wrote to.

    ``-p no:terminal`` would take with it what fixtures and debuggers show on the terminal.
    """
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return file
    before = reporter._tw._file
    reporter._tw._file = file
    return before


_NOT_WRITTEN = "\0"  # in place of what stands in a line before this process writes to it


def begin_line(config: pytest.Config) -> None:
    """Let the terminal plugin of this process begin anew with what it notes of the line that it writes to."""
    writer = terminal_writer(config)
    if writer is not None:
        writer._current_line = _NOT_WRITTEN


def written_line(config: pytest.Config) -> str:
    """Give what it has noted since: what was added to that line, or the line that it is in now."""
    writer = terminal_writer(config)
    return _NOT_WRITTEN if writer is None else writer._current_line


def go_on_in_line(config: pytest.Config, written: str) -> None:
    """Tell the terminal plugin where the cursor is, since it aligns by that.

    Args:
        config: Of the session.
        written: By another process; of `written_line`.
    """
    writer = terminal_writer(config)
    if writer is not None:
        is_same = written.startswith(_NOT_WRITTEN)
        writer._current_line = writer._current_line + written.removeprefix(_NOT_WRITTEN) if is_same else written


def terminal_writer(config: pytest.Config) -> Any:
    """Give what the terminal plugin writes with; None without that plugin."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    return None if reporter is None else reporter._tw


# ------------------------------------------------------------------------------------------------------- fixture state


def tear_down_to(session: pytest.Session, nextitem: pytest.Item | None) -> None:
    """Tear down the fixtures of this process that ``nextitem`` does not need.

    Needed where another plugin's loop (pytest-xdist's) runs the tests: the test before a forked one was told that the
    forked one is next. The public hook, pytest_runtest_teardown, would be called for a test that does not run here.
    """
    session._setupstate.teardown_exact(nextitem)


def tear_down_all(session: pytest.Session) -> None:
    """Tear down what is set up in this process, as pytest does at the end of an interrupted session."""
    session._setupstate.teardown_exact(None)


def base_temp(config: pytest.Config) -> str | None:
    """Make the base directory of ``tmp_path`` if it is not there, and give its path; None without that plugin.

    The factory is public as a fixture only, and pytest's own process runs none for a forked test.
    """
    factory: Any = getattr(config, "_tmp_path_factory", None)
    return None if factory is None else str(factory.getbasetemp())


def set_base_temp(config: pytest.Config, path: str) -> None:
    """Let ``tmp_path`` of this process lie under the directory that pytest's own process has made."""
    factory: Any = getattr(config, "_tmp_path_factory", None)
    if factory is not None:
        factory._basetemp = Path(path)


def make_temporary(config: pytest.Config, name: str) -> str | None:
    """Make a directory below the base directory of this process, and give its path; None without that plugin."""
    factory: Any = getattr(config, "_tmp_path_factory", None)
    return None if factory is None else str(factory.mktemp(name))


# ------------------------------------------------------------------------------------------------------------ reports


def native_failure(text: str, path: str, line: int, message: str) -> ExceptionChainRepr:
    """Make the representation of a failure from a text.

    Report classes are public, what they show is not; a plain string would lack the message in the short summary.

    Args:
        text: What is shown, whole.
        path: File of the test.
        line: Its line, from 1.
        message: For the short summary.
    """
    entry = ReprTraceback([ReprEntryNative([text])], None, "native")
    return ExceptionChainRepr([(entry, ReprFileLocation(path, line, message), None)])


def expected_failure(item: pytest.Item) -> tuple[bool, str]:
    """Tell whether ``xfail`` marks expect any failure of this test, and give the reason.

    A test that crashes cannot tell any more. Marks that name exceptions (``raises=``) do not expect a crash.
    """
    if item.config.getoption("runxfail", default=False):
        return False, ""
    mark = evaluate_xfail_marks(item)
    if mark is None or mark.raises is not None:
        return False, ""
    return True, mark.reason


def note_xfail(item: pytest.Item) -> None:
    """Note in this process what pytest notes of ``xfail`` marks where a test is set up; other plugins ask for it."""
    item.stash[xfailed_key] = evaluate_xfail_marks(item)


def failed_subtests(config: pytest.Config, report: pytest.TestReport) -> int:
    """Give the count by which pytest 9 and newer let a test fail whose subtests failed; each process has its own."""
    counts = _subtest_counts(config)
    return 0 if counts is None else counts.get(_structured_id(report), 0)


def set_failed_subtests(config: pytest.Config, report: pytest.TestReport, count: int) -> None:
    """Take over the count of a test that ran in another process."""
    counts = _subtest_counts(config)
    if counts is not None:
        counts[_structured_id(report)] = count


def _subtest_counts(config: pytest.Config) -> dict[Any, int] | None:
    if _failed_subtests_key is None:
        return None
    counts: dict[Any, int] | None = config.stash.get(_failed_subtests_key, None)
    return counts


def share_id(report: pytest.TestReport, item: pytest.Item) -> None:
    """Let a report have the object that its test has for its node id: pytest 9.2 has one beside each text.

    Reports are kept to the end of the run, and what is public makes another object of the same text.
    """
    own = getattr(item, "_id", None)
    if own is not None and getattr(report, "_id", None) == own:
        report._id = own


def restore_subtest(report: pytest.TestReport, data: dict[str, Any]) -> None:
    """Give a subtest the parameters that it had: pytest makes a repr of them, and here once more of that repr."""
    context = data.get("_subtest.context")
    if context is not None:
        object.__setattr__(report.context, "kwargs", context["kwargs"])


def _structured_id(report: pytest.TestReport) -> Any:
    return getattr(report, "id", report.nodeid)  # since pytest 9.2


def skip_at_item(reason: str) -> NoReturn:
    """Skip a test from a hook; the report names the place of the test, as it does for pytest's own markers."""
    raise pytest.skip.Exception(reason, _use_item_location=True)


# ---------------------------------------------------------------------------------------------------------- junit XML


def junit_log(config: pytest.Config) -> Any | None:
    """Give the object that collects the junit XML, or None: its plugin has no name."""
    if not config.getoption("xmlpath", None):
        return None
    from _pytest.junitxml import xml_key

    return config.stash.get(xml_key, None)


def collect_junit(config: pytest.Config) -> None:
    """Let fixtures of tests record properties in a process that passes for a worker of pytest-xdist, which does not.

    The file is not written there.
    """
    path = config.getoption("xmlpath", None)
    if path:
        from _pytest.junitxml import LogXML, xml_key

        config.stash[xml_key] = LogXML(path, config.option.junitprefix, family=config.getini("junit_family"))


def junit_state(log: Any, report: pytest.TestReport) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Give what tests have recorded so far: properties of the suite, attributes of this test."""
    reporter = log.node_reporters.get((_structured_id(report), None))
    return list(log.global_properties), dict(reporter.attrs) if reporter is not None else {}


def junit_add(log: Any, nodeid: str, properties: list[tuple[str, str]], attributes: dict[str, str]) -> None:
    """Record what a test recorded in its own process."""
    log.global_properties.extend(properties)
    if attributes:
        log.node_reporter(nodeid).attrs.update(attributes)
