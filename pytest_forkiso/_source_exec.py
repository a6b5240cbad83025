"""The template is a fresh interpreter that collects by itself, at the same time as pytest does."""

from __future__ import annotations

import contextlib
import difflib
import os
import pickle
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import forkcore
from pytest_forkiso import _exec, _private, _worker
from pytest_forkiso._collected import numbered
from pytest_forkiso._events import EventDecoder
from pytest_forkiso._inner import arguments
from pytest_forkiso._quiet import terminal_color
from pytest_forkiso._slots import anonymous_file
from pytest_forkiso._source import FAILURES, NOT_READY, explain_failure, queue_preloads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_forkiso._collected import CollectedList
    from pytest_forkiso._config import Settings
    from pytest_forkiso._source import Request

TARGET = ":run"
_DIFFERENT = (
    "The template, which collects by itself, has found other tests than this process. Parameters made of a set, the "
    "time, a random number or an address differ in each process: give them fixed ids."
)
_COLLECT = "import pickle; from pytest_forkiso import _exec; collecting = _exec.collect(pickle.loads(args[0])); "
_CHOOSE = (
    "collecting.choose(pickle.loads(args[0]), _exec.take_table()); "
    "run, snapshot, spare = collecting.run, collecting.snapshot, collecting.spare"
)


class Collecting:
    """A template that collects, while this process does something else."""

    def __init__(
        self, config: pytest.Config, settings: Settings, template: forkcore.Template, known: CollectedList
    ) -> None:
        """Let it begin.

        Args:
            config: Of this process, after all plugins have begun the session.
            settings: Of the run.
            template: Consumed.
            known: The tests of this process, as they are collected here.
        """
        self._known = known
        self._template = template
        self._collected: _exec.Collected | None = None
        with contextlib.ExitStack() as undo:
            undo.callback(template.close)
            plan = _exec.Plan(
                arguments=arguments(config),
                argv=list(sys.argv),
                color=terminal_color(config),
                workerinput=_worker.worker_input(config),
                is_worker=hasattr(config, "workerinput"),
                output_limit=settings.output_limit,
            )
            self._answer = anonymous_file("forkiso-collected")
            undo.callback(os.close, self._answer)
            queue_preloads(template, config, settings)
            template.send_fd(_private.standard_input(config), self._answer)
            template.eval(_COLLECT, pickle.dumps(plan))
            undo.pop_all()

    def wait(self) -> _exec.Collected:
        """Wait until the template has collected, and give what it has found.

        Raises:
            pytest.UsageError: It could not even do that.
        """
        if self._collected is None:
            self._ready()
            size = os.fstat(self._answer).st_size
            ((_, *values),) = EventDecoder().feed(os.pread(self._answer, size, 0))
            self._collected = _exec.Collected(*values)
        return self._collected

    def is_usable(self) -> bool:
        """Tell whether the template can be forked, and has the tests of this process; waits for it."""
        try:
            collected = self.wait()
        except pytest.UsageError:
            return False
        return not collected.hazards and not compare(self._known.nodeids(), collected.nodeids)

    def _ready(self) -> None:
        try:
            self._template.ready()
        except FAILURES as error:
            raise explain_failure(NOT_READY, error) from error

    def make_template(self, request: Request) -> forkcore.Template:
        """Compare what was collected here and there, and prepare the template for its first fork.

        Returns:
            The template, owned by the caller; this object is spent.

        Raises:
            pytest.UsageError: The template could not be prepared.
            pytest.Session.Interrupted: It has other tests; that is reported.
        """
        try:
            collected = self.wait()
            differences = compare(self._known.nodeids(), collected.nodeids)
            if differences:
                _report_differences(request.session, differences, collected.errors)
            wanted = _wanted(self._known.found, request.session.items)
            self._template.send_fd(*request.table.descriptors)
            self._template.eval(_CHOOSE, pickle.dumps(wanted))
            self._ready()
        except BaseException:
            self.close()
            raise
        os.close(self._answer)
        return self._template

    def close(self) -> None:
        """End the template."""
        self._template.close()
        os.close(self._answer)


def make_template(request: Request) -> forkcore.Template:
    """Make a template of one that has begun to collect before; see `Collecting.make_template`."""
    if request.collecting is None:
        raise RuntimeError("nobody has told a template to collect")
    return request.collecting.make_template(request)


def execute(config: pytest.Config, search_path: Sequence[str]) -> forkcore.Template:
    """Start a fresh interpreter like this one.

    Args:
        config: Of this process.
        search_path: ``sys.path`` as it was before anything of the project was loaded.

    Raises:
        pytest.UsageError: There is no interpreter, as in a frozen application.
    """
    try:
        return forkcore.new_exec(
            env=os.environ,  # libraries in C may have added to the other one, as readline does
            cwd=config.invocation_params.dir,
            sys_path=search_path,
            site=not sys.flags.no_site,
            title="forkiso template",
        )
    except FileNotFoundError as error:
        raise pytest.UsageError(f"{error}; or use --fork-template=early") from error


def compare(here: Sequence[str], there: Sequence[str]) -> list[str]:
    """Compare node ids, whatever their order; give the lines of a diff, none where all are in both."""
    if Counter(here) == Counter(there):
        return []
    lines = difflib.unified_diff(sorted(here), sorted(there), "pytest", "template", n=0, lineterm="")
    return list(lines)


def _report_differences(session: pytest.Session, differences: Sequence[str], errors: Sequence[str]) -> None:
    """Report them as pytest reports what it cannot collect.

    Raises:
        pytest.Session.Interrupted: Always.
    """
    text = "\n".join([_DIFFERENT, *differences, *errors])
    report = pytest.CollectReport("the template", "failed", text, [])
    session.config.hook.pytest_collectreport(report=report)
    raise session.Interrupted("the template has collected other tests")


def _wanted(known: Sequence[tuple[str, pytest.Item]], items: Sequence[pytest.Item]) -> list[_exec.ChosenTest]:
    """Describe the chosen tests to the template; what a plugin has added later is known by its last node id."""
    places = {
        id(item): place for (_, item), place in zip(known, numbered([nodeid for nodeid, _ in known]), strict=True)
    }
    return [_exec.ChosenTest(*places.get(id(item), (item.nodeid, 0)), item.nodeid) for item in items]
