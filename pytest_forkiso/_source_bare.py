"""The template is a fresh interpreter: it knows pytest and the preloads, and nothing of the project."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING

import pytest

import forkcore
from pytest_forkiso import _bare, _baseline, _private, _worker
from pytest_forkiso._collected import elsewhere, renamed, twins
from pytest_forkiso._inner import arguments
from pytest_forkiso._module_names import module_names
from pytest_forkiso._plugin_modules import importable
from pytest_forkiso._quiet import terminal_color
from pytest_forkiso._source import FAILURES, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_forkiso._source import Request

TARGET = "pytest_forkiso._bare:run"


def make_template(request: Request) -> forkcore.Template:
    """Execute an interpreter.

    Raises:
        pytest.UsageError: The template could not be prepared.
    """
    config = request.session.config
    table = request.table
    standard_input = _private.standard_input(config)
    plan = _bare.Plan(
        arguments=arguments(config),
        argv=list(sys.argv),
        color=terminal_color(config),
        descriptors=table.descriptors,
        standard_input=standard_input,
        workerinput=_worker.worker_input(config),
        is_worker=hasattr(config, "workerinput"),
        renamed=renamed(config),
        elsewhere=elsewhere(config, request.session.items),
        modules=module_names(config, request.session.items),
        twins=twins(config, request.session.items),
        output_limit=request.settings.output_limit,
    )
    descriptors = [*table.descriptors, *({standard_input} - {0})]
    template = _load_plugin_modules(_execute(config, descriptors), config) or _execute(config, descriptors)
    ours = [name for name in sys.modules if name.startswith("_pytest.")]
    template.preload("pytest", *sorted(ours), "pytest_forkiso._file_session", "pytest_forkiso.plugin")
    code = "from pytest_forkiso._bare import prepare, spare; prepare()"
    return prepare(template.send_arg(pickle.dumps(tuple(plan))), request, code)


def _execute(config: pytest.Config, descriptors: Sequence[int]) -> forkcore.Template:
    try:
        return forkcore.new_exec(
            cwd=config.invocation_params.dir,
            pass_fds=descriptors,
            site=not sys.flags.no_site,  # the flags of what a test starts are read from those of its process
            title="forkiso bare template",
        )
    except FileNotFoundError as error:
        raise pytest.UsageError(f"{error}; or use --fork-template=early") from error


def _load_plugin_modules(template: forkcore.Template, config: pytest.Config) -> forkcore.Template | None:
    """Import in a template what plugins import; None, with the template closed, where that does it no good."""
    names = importable(_baseline.of(config).modules, sys.modules)
    code = "from pytest_forkiso._preload import load_quietly; load_quietly(*args)"
    try:
        return template.eval(code, "\n".join(names)).ready()
    except FAILURES:
        template.close()
        return None
    except BaseException:
        template.close()
        raise
