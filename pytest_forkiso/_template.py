"""The template: forked from pytest itself, or a fresh interpreter; prepared, and asked for children."""

from __future__ import annotations

import os
import pickle
import sys
from typing import TYPE_CHECKING

import pytest

import forkcore
from pytest_forkiso import _hazards, _memory, _private
from pytest_forkiso._inchild import InChild
from pytest_forkiso._run import ForkedRun
from pytest_forkiso._slots import SlotTable
from pytest_forkiso._stream import flush_streams

if TYPE_CHECKING:
    from pytest_forkiso._config import Settings

AHEAD = 1
"""Children that stand ready while the others run."""


class ChildSource:
    """Owns the template, its idle children and the output files of all of them."""

    def __init__(self, session: pytest.Session, settings: Settings, kind: str, forks: int) -> None:
        """Make the template, and prepare it.

        Args:
            session: After collection.
            settings: Of the run.
            kind: "fork" or "bare", see `choose_template`.
            forks: How many tests are forked, as far as that is known.

        Raises:
            pytest.UsageError: A module could not be preloaded, or this process cannot be forked.
        """
        # Each child that is about to end still holds its files: twice as many as run at a time, and those ahead.
        self._table = SlotTable.create(2 * settings.jobs + AHEAD + 1)
        self._free = list(reversed(self._table.slots))
        self._idle: list[forkcore.Child] = []
        try:
            if kind == "fork":
                self.template = _fork_template(session, settings, self._table, forks)
                self._target = ":run"
            else:
                self.template = _bare_template(session, settings, self._table, forks)
                self._target = "pytest_forkiso._bare:run"
        except BaseException:
            self._table.close()
            raise

    def has_free_slot(self) -> bool:
        """Tell whether another test can be started."""
        return bool(self._free)

    def take(self) -> ForkedRun:
        """Give a child that waits for its test, and its files; there must be a free slot."""
        if not self._idle:
            self.fork_ahead(1)
        slot = self._free.pop()
        slot.clear()
        return ForkedRun(self._idle.pop(0), slot, self._table)

    def fork_ahead(self, count: int) -> None:
        """Have at least so many children ready; does not wait for them."""
        while len(self._idle) < count:
            self._idle.append(self.template.fork().run(self._target, die_with_parent=True, reseed=False))

    def give_back(self, run: ForkedRun) -> None:
        """Take the files of a child that has ended."""
        run.close()
        self._free.append(run.slot)

    def idle_pids(self) -> set[int]:
        """Give the process ids of the idle children; waits until they are forked."""
        return {child.pid for child in self._idle}

    def close(self) -> None:
        """End the idle children and the template."""
        for child in self._idle:
            child.channel.close()
            child.detach()
        self._idle.clear()
        self.template.close()
        self._table.close()


def choose_template(settings: Settings) -> tuple[str, str]:
    """Choose where the template comes from; give the kind and the reason."""
    if settings.template != "auto":
        return settings.template, "the user asked for it"
    if sys.platform == "darwin":
        return "bare", "system libraries of macOS do not survive a fork"
    found = list(_hazards.hazardous_threads())
    if found:
        return "bare", f"a fork would not have these threads: {', '.join(map(str, found))}"
    return "fork", "nothing speaks against it"


def _fork_template(session: pytest.Session, settings: Settings, table: SlotTable, forks: int) -> forkcore.Template:
    """Fork this process: everything that was collected is there."""
    in_child = InChild(session, table, settings.output_limit)
    _memory.spare_forks(forks, at_least=_memory.LARGE)  # here, so that the template shares it with this process
    flush_streams()
    try:
        template = forkcore.fork_here(
            namespace={"prepare": in_child.prepare, "run": in_child.run},
            allow_hazards=_hazards.harmless_threads(),
        )
    except forkcore.ForkHazard as error:
        raise pytest.UsageError(f"pytest cannot be forked: {error}; try --fork-template=bare") from error
    return _prepare(template, settings, f"prepare({forks})")


def _bare_template(session: pytest.Session, settings: Settings, table: SlotTable, forks: int) -> forkcore.Template:
    """Execute a fresh interpreter: it knows pytest and the preloads, and nothing of the project."""
    config = session.config
    standard_input = _private.standard_input(config)
    plan = pickle.dumps((_arguments(config), table.descriptors, standard_input, settings.output_limit))
    template = forkcore.new_exec(
        cwd=config.invocation_params.dir,
        pass_fds=[*table.descriptors, *({standard_input} - {0})],
        title="forkiso bare template",
    )
    ours = [name for name in sys.modules if name.startswith("_pytest.")]
    template.preload("pytest", *sorted(ours), "pytest_forkiso._bare", "pytest_forkiso.plugin")
    return _prepare(template.send_arg(plan), settings, f"import pytest_forkiso._bare as bare; bare.prepare({forks})")


def _arguments(config: pytest.Config) -> list[str]:
    """Give the command line for a session that runs one test for this one."""
    arguments = list(config.invocation_params.args)
    if config.pluginmanager.hasplugin("xdist"):
        arguments.append("-n0")
    if config.pluginmanager.hasplugin("_cov"):
        arguments.append("--cov-append")  # or it would erase what other children have measured
    arguments += ["-o", "log_file_mode=a"]  # or each would begin the log file anew
    return arguments


def _prepare(template: forkcore.Template, settings: Settings, code: str) -> forkcore.Template:
    try:
        _preload(template, settings.preload)
        return template.eval(code).ready()
    except forkcore.RemoteError as error:
        template.close()
        text = error.remote_traceback or str(error)
        raise pytest.UsageError(f"the template could not be made ready for its first fork:\n{text}") from error
    except BaseException:
        template.close()
        raise


def _preload(template: forkcore.Template, modules: tuple[str, ...]) -> None:
    if not modules:
        return
    try:
        template.preload(*modules).ready()
    except forkcore.RemoteError as error:
        text = error.remote_traceback or str(error)
        raise pytest.UsageError(f"--fork-preload {','.join(modules)} failed in the template:\n{text}") from error


def can_fork() -> bool:
    """Tell whether this platform has what a template needs."""
    return sys.platform != "win32" and hasattr(os, "fork")
