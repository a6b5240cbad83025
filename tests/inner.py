"""Runs of pytest inside of a test: started, watched, ended, and what they reported."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

TAG_VARIABLE = "FORKISO_TEST_TAG"
PLUGINS = Path(__file__).parent / "inner_plugins"
RUN_LIMIT = 60.0
"""Seconds after which a run hangs; none takes a tenth of it."""


@dataclasses.dataclass(frozen=True)
class Report:
    """One phase of a test, as pytest's own process reported it."""

    nodeid: str
    location: Any
    when: str
    type: str
    outcome: str
    category: str
    wasxfail: str | None
    text: str
    message: str | None
    sections: list[list[str]]
    properties: list[Any]
    keywords: list[str]
    has_times: bool

    @property
    def everything(self) -> str:
        """The failure and all sections as one text."""
        return "\n".join([self.text, *(f"--- {name} ---\n{text}" for name, text in self.sections)])

    def section(self, name: str) -> str:
        """Give the text of the section of this name; there must be just one."""
        (text,) = [text for title, text in self.sections if title == name]
        return text


class Run:
    """A run of pytest that has ended.

    Attributes:
        code: Exit code; negative for a signal.
        out: Standard output and error.
        records: What the recorder wrote, in order.
        reports: The reports among it.
    """

    def __init__(self, code: int, out: str, records: list[dict[str, Any]]) -> None:
        self.code = code
        self.out = out
        self.records = records
        fields = [{key: value for key, value in row.items() if key != "kind"} for row in self.of_kind("report")]
        self.reports = [Report(**row) for row in fields]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Give the records of a kind."""
        return [row for row in self.records if row["kind"] == kind]

    def outcomes(self) -> dict[str, str]:
        """Give what the terminal counts, joined over the phases, by the test's name within its file."""
        found: dict[str, list[str]] = {}
        for report in self.reports:
            categories = found.setdefault(_short(report.nodeid), [])
            if report.category:
                categories.append(report.category)
        return {name: "+".join(categories) for name, categories in found.items()}

    def phases(self, name: str) -> list[str]:
        """Give the phases and outcomes of a test: ``["setup passed", "call failed", …]``."""
        return [f"{report.when} {report.outcome}" for report in self.reports if _short(report.nodeid) == name]

    def report(self, name: str, when: str) -> Report:
        """Give the report of a phase of a test; there must be just one."""
        found = [report for report in self.reports if _short(report.nodeid) == name and report.when == when]
        assert len(found) == 1, f"{len(found)} reports of {name}, {when}:\n{self.out}"
        return found[0]

    def failure(self, name: str) -> Report:
        """Give the only report of a test that has a category other than passed."""
        found = [r for r in self.reports if _short(r.nodeid) == name and r.category not in ("", "passed")]
        assert len(found) == 1, f"{len(found)} failures of {name}:\n{self.out}"
        return found[0]


def _short(nodeid: str) -> str:
    return nodeid.partition("::")[2] or nodeid


class Process:
    """A run of pytest that is under way; its output goes to a file."""

    def __init__(self, popen: subprocess.Popen[bytes], output: Path, record: Path) -> None:
        self.popen = popen
        self._output = output
        self._record = record

    @property
    def pid(self) -> int:
        """Of pytest's own process."""
        return self.popen.pid

    def output(self) -> str:
        """Give the output so far."""
        return self._output.read_bytes().decode("utf-8", "backslashreplace")

    def finish(self) -> Run:
        """Wait for the end."""
        try:
            code = self.popen.wait(RUN_LIMIT)
        except subprocess.TimeoutExpired as error:
            self.popen.kill()
            raise AssertionError(f"pytest hangs:\n{self.output()[-5000:]}") from error
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        return Run(code, self.output(), [json.loads(line) for line in lines])


class Suite:
    """A folder with tests, and runs of pytest in it.

    Attributes:
        tag: In the environment of each process of each run.
        environment: Variables for the runs, beside those of this process.
    """

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.tag = uuid.uuid4().hex
        self.environment: dict[str, str] = {}
        self._runs = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def write(self, **sources: str) -> None:
        """Write modules; a name as ``test_it`` gives ``test_it.py``."""
        self.pytester.makepyfile(**sources)

    def plain(self, *arguments: str) -> Run:
        """Run pytest without the plugin."""
        return self.run("-p", "no:forkiso", *arguments)

    def forked(self, *arguments: str) -> Run:
        """Run pytest with the plugin, all tests forked."""
        return self.run("-p", "forkiso", "--forked", *arguments)

    def run(self, *arguments: str) -> Run:
        """Run pytest, and wait for its end."""
        return self.start(*arguments).finish()

    def start(self, *arguments: str, **options: Any) -> Process:
        """Start pytest in a session of its own, so that a signal to its group reaches nobody else.

        Args:
            arguments: For pytest.
            options: For ``subprocess.Popen``.
        """
        self._runs += 1
        output, record = self.path / f".output{self._runs}", self.path / f".record{self._runs}"
        with output.open("wb") as file:
            defaults: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}
            popen = subprocess.Popen(
                self.command(arguments),
                **defaults | options,
                cwd=self.path,
                env=self._environment(record),
                start_new_session=True,
            )
        self._processes.append(popen)
        return Process(popen, output, record)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments in the folder, with the environment of all runs."""
        return self.program(sys.executable, *arguments)

    def program(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the folder, with the environment of all runs."""
        environment = self._environment(self.path / ".record")
        return subprocess.run(
            command, cwd=self.path, env=environment, check=False, capture_output=True, text=True, timeout=RUN_LIMIT
        )

    def command(self, arguments: Iterable[str]) -> list[str]:
        """Give the command line of a run; signals work in it even if our own caller, `nohup` say, ignores them."""
        script = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "[signal.signal(each, signal.SIG_DFL) for each in (signal.SIGHUP, signal.SIGQUIT)]; "
            "sys.path.insert(0, ''); import pytest; sys.exit(pytest.main())"
        )
        return [sys.executable, "-c", script, "-p", "report_recorder", *arguments]

    def _environment(self, record: Path) -> dict[str, str]:
        changing = ("PYTEST_", "COV_", "PY_COLORS", "NO_COLOR", "FORCE_COLOR", "CI", "BUILD_NUMBER")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(changing)}
        return kept | {
            TAG_VARIABLE: self.tag,
            "COLUMNS": "120",
            "TERM": "xterm",
            "PYTEST_DEBUG_TEMPROOT": str(self.path),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": search_path(),
            "REPORT_RECORDER_FILE": str(record),
            **self.environment,
        }

    def processes(self) -> dict[int, str]:
        """Give the living processes of all runs so far, whoever their parent is."""
        return tagged_processes(self.tag)

    def close(self) -> None:
        """End what is still there.

        Raises:
            AssertionError: A process was left.
        """
        try:
            wait_for(lambda: not self.processes(), f"no process is left of {self.processes()}")
        finally:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for popen in self._processes:
                popen.wait()


def search_path(*folders: Path) -> str:
    """Give PYTHONPATH for a run: our plugins, these folders, and what whoever runs the tests has there."""
    return os.pathsep.join(filter(None, [*map(str, (PLUGINS, *folders)), os.environ.get("PYTHONPATH")]))


def tagged_processes(tag: str) -> dict[int, str]:
    """Give the command lines of all processes that have this in their environment, zombies left out."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{TAG_VARIABLE}={tag}".encode() not in (folder / "environ").read_bytes():
                continue
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state != b"Z":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
        except OSError:
            continue  # it has just ended
    return found
