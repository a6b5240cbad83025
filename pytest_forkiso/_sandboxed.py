"""A test's process in its sandbox: how it gets there, and what its reports say of it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forkcore import SandboxUnavailable
from pytest_forkiso import _coverage, _private

if TYPE_CHECKING:
    from collections.abc import Generator

    from forkcore.sandbox import Applied, Sandbox
    from pytest_forkiso._bounds import Bounds
    from pytest_forkiso._stream import ReportStream

_OWN_BASE = "/tmp/pytest-sandbox"  # noqa: S108 - in a private folder, which nobody else sees


class SandboxedTest:
    """Puts this process into the sandbox of its test, and, as a plugin, speaks of it in the test's reports."""

    def __init__(self, config: pytest.Config, bounds: Bounds, stream: ReportStream, group: str) -> None:
        """Prepare it.

        Args:
            config: Of the session.
            bounds: Of the test.
            stream: Of its reports.
            group: Folder of its control group; empty for none.
        """
        self._config = config
        self._group = group
        self._bounds = bounds
        self._stream = stream
        self._applied: Applied | None = None
        self._refusal = ""
        self._is_skipped = False
        self._has_failed = False
        self._is_measured = False
        self._folders: list[str] = []

    def enter(self, faults: int) -> None:
        """Enter the sandbox; where that fails, the test will fail, or be skipped, before it is set up.

        Args:
            faults: Descriptor of what faulthandler writes, borrowed; or -1.
        """
        try:
            self._enter()
        except SandboxUnavailable as error:
            self._refusal = f"the test's sandbox cannot be had: {error}"
            self._is_skipped = self._bounds.policy == "skip"
        except (OSError, LookupError, ValueError) as error:
            self._refusal = f"the test's sandbox cannot be applied: {error}"
        if self._bounds.sandbox.cpu is not None and faults >= 0:
            import faulthandler

            faulthandler.register(signal.SIGXCPU, file=faults, chain=True)

    def _enter(self) -> None:
        bounds, sandbox = self._bounds, self._bounds.sandbox
        if self._group:
            sandbox = dataclasses.replace(sandbox, group=self._group)
        becomes_other = sandbox.user is not None
        folders: list[str] = []
        if bounds.limits_files or bounds.has_folder or bounds.has_home:
            if not becomes_other:
                self._stream.fetch_base_temp()
                folders = self._make_folders()
            sandbox = self._widen(sandbox)
        self._applied = sandbox.apply()
        if becomes_other and sandbox.private_tmp:
            Path(_OWN_BASE).mkdir(mode=0o700)
            self._stream.use_base_temp(_OWN_BASE)
            folders = self._make_folders()
        self._use(folders)

    def _widen(self, sandbox: Sandbox) -> Sandbox:
        """Add what pytest itself needs in there: temporary directories, the project, the file of coverage.py."""
        user = sandbox.fields()["user"][0] if sandbox.user is not None else None
        measured = _coverage.prepare_file(user)
        self._is_measured = measured is not None
        if not (sandbox.read_only or sandbox.private_tmp):
            return sandbox
        base = None if sandbox.user is not None else self._stream.fetch_base_temp()
        more = [path for path in (base, measured) if path is not None]
        visible = (*sandbox.visible, self._config.rootpath) if sandbox.private_tmp else sandbox.visible
        return dataclasses.replace(sandbox, writable=(*sandbox.writable, *more), visible=visible)

    def _make_folders(self) -> list[str]:
        wanted = [
            name for name, is_wanted in (("cwd", self._bounds.has_folder), ("home", self._bounds.has_home)) if is_wanted
        ]
        made = []
        for name in wanted:
            path = _private.make_temporary(self._config, name)
            if path is None:
                raise ValueError(f"{name}='tmp' needs pytest's own plugin 'tmpdir', which is switched off")
            made.append(path)
        self._folders = made
        return made

    def _use(self, folders: list[str]) -> None:
        rest = list(folders)
        if self._bounds.has_folder:
            os.chdir(rest.pop(0))
        if self._bounds.has_home:
            os.environ["HOME"] = rest.pop(0)

    def leave(self) -> bool:
        """At the end: let this process save what it has to, and remove its folders as pytest's policy has it.

        Returns:
            Whether the data file of coverage.py is there already.
        """
        if self._applied is not None:
            self._applied.relax()
        policy = self._config.getini("tmp_path_retention_policy") if self._folders else "all"
        if policy == "none" or (policy == "failed" and not self._has_failed):
            os.chdir("/")
            for folder in self._folders:
                shutil.rmtree(folder, ignore_errors=True)
        return self._is_measured

    # Hooks.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self._refusal:
            if self._is_skipped:
                _private.skip_at_item(self._refusal)
            pytest.fail(self._refusal, pytrace=False)
        self._tighten()
        if self._applied is not None:
            for text in self._applied.missing:
                item.warn(pytest.PytestWarning(f"the test runs without a part of its sandbox: {text}"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        self._tighten()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        self._tighten()

    def _tighten(self) -> None:
        if self._applied is not None:
            self._applied.tighten()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if self._applied is not None:
            self._applied.relax()
            if call.excinfo is not None:
                text = self._applied.explain(call.excinfo.value)
                if text is not None:
                    call.excinfo.value.add_note(text)
        report = yield
        self._has_failed = self._has_failed or report.failed
        return report
