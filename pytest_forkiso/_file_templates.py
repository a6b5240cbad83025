"""With a bare template: which test files have templates of their own, and when."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_forkiso._collected import elsewhere, file_of, name_of, renamed, twins
from pytest_forkiso._config import item_timeout
from pytest_forkiso._file_session import FilePlan, WantedTest
from pytest_forkiso._file_template import FileTemplate
from pytest_forkiso._late_imports import KEY

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Container, Iterator

    import pytest

    import forkcore
    from pytest_forkiso._child_source import ChildSource
    from pytest_forkiso._config import Settings
    from pytest_forkiso._summary import Statistics

WORTH_IT = 2
"""Tests of a file, one after another, from which on a template of it is cheaper than children that load it."""


class FileTemplates:
    """Owns the templates of files: that of the file whose tests are next, and those whose children are still there."""

    def __init__(
        self,
        session: pytest.Session,
        settings: Settings,
        source: ChildSource,
        selector: selectors.BaseSelector,
        statistics: Statistics,
    ) -> None:
        self._session = session
        self._settings = settings
        self._source = source
        self._selector = selector
        self._statistics = statistics
        self._current: tuple[str, FileTemplate] | None = None
        self._former: list[FileTemplate] = []
        self._found: dict[str, list[int]] = {}
        self._alone: set[str] = set()  # files that each test loads by itself
        self._unfit_folders: dict[str, str] = {}  # and why no file below them is fit
        self._are_unfit = False  # whatever file it is

    # ---------------------------------------------------------------------------------------------------- before a test

    @property
    def is_on(self) -> bool:
        """Files may have templates."""
        return self._source.source.choice.kind == "bare" and not self._are_unfit

    def is_ready(self, upcoming: Callable[[], Iterator[pytest.Item]]) -> bool:
        """Tell whether the next test can be started; if not, the template of its file is being made.

        Args:
            upcoming: Gives the tests that are not started, as far as they are known, in their order; one at least.
        """
        if not self.is_on:
            return True
        file = file_of(next(upcoming()))
        if self._current is not None and self._current[0] == file:
            return not self._current[1].is_collecting
        if file in self._alone:
            return True
        neighbours = itertools.takewhile(lambda item: file_of(item) == file, upcoming())
        if sum(1 for _ in itertools.islice(neighbours, WORTH_IT)) < WORTH_IT:
            return True
        folder = next((folder for folder in self._unfit_folders if Path(file).is_relative_to(folder)), None)
        if folder is not None:
            self._load_alone(file, self._unfit_folders[folder])
            return True
        self._make(file, next(upcoming()))
        return False

    def root(self, item: pytest.Item) -> forkcore.Template | None:
        """Give the template of a test's file; None where its child has to load that by itself."""
        if self._current is None or not self.is_on:
            return None
        file, template = self._current
        return template.template if file == file_of(item) and template.is_ready else None

    def holder(self, item: pytest.Item) -> forkcore.Template | None:
        """Give the template that can hold a test's fixtures: it has collected that test; None where there is none."""
        return self._source.template if self._source.source.choice.collects else self.root(item)

    def share(self, item: pytest.Item, other: pytest.Item) -> bool:
        """Tell whether one template has collected two tests, or may do so."""
        return self._source.source.choice.collects or file_of(item) == file_of(other)

    def _make(self, file: str, item: pytest.Item) -> None:
        self._retire()
        forked = self._source.template.fork(title="forkiso template of a file")
        template = FileTemplate(forked, self._selector, self._note)
        try:
            template.begin(self._plan(file), item_timeout(item, self._settings), self._settings.alive_timeout)
        except BaseException:
            template.close()
            raise
        self._current = file, template

    def _plan(self, file: str) -> FilePlan:
        config, items, places = self._session.config, self._session.items, self._places()[file]
        names, numbers = renamed(config), twins(config, items)
        is_elsewhere = bool(elsewhere(config, [items[place] for place in places]))
        tests = []
        for place in places:
            nodeid = names.get(items[place].nodeid, items[place].nodeid)
            name = name_of(nodeid, is_elsewhere=is_elsewhere)
            tests.append(WantedTest(place, name, numbers.get(place, 0)))
        return FilePlan(file, is_elsewhere, str(config.rootpath), tests)

    def _places(self) -> dict[str, list[int]]:
        """Give the places of each file's tests."""
        if not self._found:
            for place, item in enumerate(self._session.items):
                self._found.setdefault(file_of(item), []).append(place)
        return self._found

    def _note(self, template: FileTemplate) -> None:
        """Take note of what has become of a template that was to collect."""
        assert self._current is not None  # noqa: S101 - the one that collects
        if template.is_ready:
            self._statistics.files += 1
            if template.imported:
                item = self._session.items[self._places()[self._current[0]][0]]
                item.config.hook.pytest_forkiso_gathered(item=item, key=KEY, data=template.imported)
            return
        file, _ = self._current
        self._current = None
        if self._source.template.is_usable:  # or it could not even be forked, and another one will be
            self._are_unfit = template.is_common  # the header says why
            self._load_alone(file, "" if template.is_common else template.objection)
            if template.folder:
                self._unfit_folders[template.folder] = template.objection
            if template.is_common and self._source.shares:
                self._statistics.unshared_files[template.objection] = []

    def _load_alone(self, file: str, why: str) -> None:
        self._alone.add(file)
        if why:
            shown = os.path.relpath(file, self._session.config.rootpath)
            self._statistics.alone.setdefault(why, []).append(shown)
            if self._source.shares:
                self._statistics.unshared_files.setdefault(why, []).append(shown)

    # ----------------------------------------------------------------------------------------------------- after a test

    def _retire(self) -> None:
        """Have no more children of the present one."""
        if self._current is not None:
            _, template = self._current
            self._current = None
            if template.is_collecting:
                template.end()
            else:
                self._source.forget(template.template)
                self._former.append(template)

    def sweep(self, used: Container[forkcore.Template]) -> None:
        """Close those that are not needed any more.

        Args:
            used: Templates with children that are not reaped.
        """
        for former in [each for each in self._former if each.template not in used]:
            self._former.remove(former)
            former.close()

    def refuse(self, template: forkcore.Template, why: str) -> bool:
        """Let the tests of a file load it by themselves, since a child of its template shows no life.

        Args:
            template: That of a file, or another one.
            why: What is wrong with it.

        Returns:
            Whether it is, or was, that of a file.
        """
        if self._current is not None and self._current[1].template is template:
            self._load_alone(self._current[0], why)
            self._retire()
            return True
        return any(former.template is template for former in self._former)

    # ------------------------------------------------------------------------------------------------------ its losses

    @property
    def template(self) -> forkcore.Template:
        """The template that they are forked from."""
        return self._source.template

    def lost(self) -> list[forkcore.Template]:
        """Give those that are gone, but for one that has died of its collection."""
        return [each.template for each in self._all() if each.is_ready and not each.template.is_usable]

    def drop_lost(self, template: forkcore.Template) -> None:
        """Take one away that is gone; another one is made where it is needed."""
        if self._current is not None and self._current[1].template is template:
            self._retire()

    def close_all(self) -> None:
        """Close them, where the template that they come from is gone; no child may be there."""
        self._retire()
        self.sweep(())

    def seconds_left(self) -> float | None:
        """Give the seconds until `overdue` has to be called; None for never."""
        return None if self._current is None else self._current[1].seconds_left()

    def grant(self) -> None:
        """Give one that collects the time to begin once more: it was the template that was not there."""
        if self._current is not None:
            self._current[1].grant()

    def overdue(self) -> None:
        """Act on a collection that takes too long."""
        if self._current is not None and self._current[1].seconds_left() == 0.0:
            self._current[1].overdue()

    def pids(self) -> set[int]:
        """Give the process ids of the templates."""
        return {each.template.pid for each in self._all() if each.template.is_usable}

    def _all(self) -> list[FileTemplate]:
        return [*self._former, *([] if self._current is None else [self._current[1]])]

    def close(self) -> None:
        """End them; no test runs any more."""
        self.close_all()
