"""``--fork-report``: gathers what pytest and the children's ends tell, and writes it at the end of the run."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso import _report_html, _report_json, _report_trace
from pytest_forkiso._inner import is_inner
from pytest_forkiso._record import PHASES, Phase, Records, pack_figures
from pytest_forkiso._reports import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import forkcore
    from pytest_forkiso._record import ChildFigures

_KINDS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    (".trace.json", _report_trace.to_text),  # before that of which it is an ending
    (".json", _report_json.to_text),
    (".html", _report_html.to_text),
)
_ATTRIBUTE = "forkiso_figures"
"""Of reports, and of pytest-xdist's ``workeroutput``: what has come together in a worker since the last one."""
DETAILS_LIMIT = 6000
"""Characters that are kept of how a failure is shown."""
MESSAGE_LIMIT = 400
"""Characters that are kept of why a test failed."""


def install(config: pytest.Config) -> None:
    """Register what writes the reports, or what sends figures to the process that writes them.

    Raises:
        pytest.UsageError: A file cannot be written, or its kind is not known.
    """
    names = config.getoption("fork_report", None)
    if not names or config.option.collectonly or is_inner(config):
        return
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(FigureSender(config), "forkiso-report")
        return
    files = [(check_path(config.invocation_params.dir / name, name), _writer(name)) for name in names]
    config.pluginmanager.register(ReportWriter(config, files), "forkiso-report")


def _writer(name: str) -> Callable[[dict[str, Any]], str]:
    for ending, writer in _KINDS:
        if name.lower().endswith(ending):
            return writer
    known = ", ".join(sorted(ending for ending, _ in _KINDS))
    raise pytest.UsageError(
        f"--fork-report: the name of the file says what is written, and must end in one of {known}: {name!r}"
    )


def check_path(path: Path, name: str) -> Path:
    """Make the folders above a file, and see that it can be written, before any test runs.

    Raises:
        pytest.UsageError: It cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        path.open("a").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise pytest.UsageError(f"--fork-report: {name!r} cannot be written: {error.strerror}") from error
    return path


class FigureSender:
    """In a worker of pytest-xdist: sends what is known of children with the next report, or at the worker's end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._pending: list[dict[str, Any]] = []

    @pytest.hookimpl
    def pytest_forkiso_child_ended(self, nodeid: str, status: forkcore.ExitStatus, figures: ChildFigures) -> None:
        """Keep it until there is something to send it with."""
        self._pending.append({"nodeid": nodeid, **pack_figures(figures, status)})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send it as an attribute of the report: those cross to the controller."""
        if self._pending:
            setattr(report, _ATTRIBUTE, self._pending)
            self._pending = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Send the rest."""
        self._config.workeroutput[_ATTRIBUTE] = self._pending  # type: ignore[attr-defined] # pytest-xdist's


class ReportWriter:
    """In pytest's own process: gathers, and writes at the end of the session, however that comes."""

    def __init__(self, config: pytest.Config, files: list[tuple[Path, Callable[[dict[str, Any]], str]]]) -> None:
        self._config = config
        self._files = files
        self._records = Records()
        self._started = time.time()

    @pytest.hookimpl
    def pytest_forkiso_child_ended(self, nodeid: str, status: forkcore.ExitStatus, figures: ChildFigures) -> None:
        """Gather what is known of a child."""
        self._records.add_figures(nodeid, None, pack_figures(figures, status))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the report of a phase, and what a worker has sent with it."""
        worker = _worker_of(report)
        self._add_sent(worker, report.__dict__.pop(_ATTRIBUTE, []))
        if type(report) is pytest.TestReport:  # and none of a subtest
            self._records.add_phase(report.nodeid, worker, self._phase(report))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Gather what a worker has sent at its end; one that has crashed sends nothing more."""
        self._add_sent(node.gateway.id, getattr(node, "workeroutput", {}).get(_ATTRIBUTE, []))

    def _add_sent(self, worker: str | None, sent: list[dict[str, Any]]) -> None:
        for figures in sent:
            self._records.add_figures(figures["nodeid"], worker, figures)

    def _phase(self, report: pytest.TestReport) -> Phase:
        status = self._config.hook.pytest_report_teststatus(report=report, config=self._config)
        has_failed = report.outcome == "failed"
        now = time.time()
        return Phase(
            when=report.when if report.when in PHASES else "call",  # pytest-xdist's own, of a worker that crashed
            start=report.start or now,
            stop=report.stop or now,
            category=status[0] if status else "",
            message=_message(report)[:MESSAGE_LIMIT],
            details=shorten(report.longreprtext, DETAILS_LIMIT) if has_failed else "",
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Write the reports: after all others, who may still have something to say."""
        try:
            return (yield)
        finally:
            document = _report_json.make_document(self._records, self._describe_run(session))
            for path, writer in self._files:
                path.write_text(writer(document), encoding="utf-8", errors="backslashreplace")

    def _describe_run(self, session: pytest.Session) -> dict[str, Any]:
        config = self._config
        return {
            "title": config.rootpath.name or "pytest",
            "arguments": [str(argument) for argument in config.invocation_params.args],
            "started": self._started,
            "stopped": time.time(),
            "exit_status": int(session.exitstatus),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "pytest": pytest.__version__,
            "plugin": _own_version(),
        }

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where they are, as pytest does for the junit XML."""
        for path, _ in self._files:
            terminalreporter.write_sep("-", f"forkiso report: {path}")


def _worker_of(report: pytest.TestReport) -> str | None:
    """Give the name of pytest-xdist's worker that a report comes from, or that it is about; None without one."""
    node: Any = getattr(report, "node", None)
    return getattr(report, "worker_id", None) or (None if node is None else node.gateway.id)


def _message(report: pytest.TestReport) -> str:
    """Say in a line why a test was skipped, failed, or was expected to fail; empty for a test that passed."""
    if report.outcome == "passed":
        return ""
    longrepr: Any = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2])
    crash = getattr(longrepr, "reprcrash", None)
    text = getattr(report, "wasxfail", "") or (crash.message if crash is not None else report.longreprtext)
    return text.strip().partition("\n")[0]


def _own_version() -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("pytest-forkiso")
    return "unknown"
