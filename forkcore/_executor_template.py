"""The template of a `forkcore.ForkExecutor`: made, watched, and made anew where it has died."""

from __future__ import annotations

import os
import selectors
import sys

from forkcore._context import new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from forkcore._sync import Template

TITLE = "forkcore executor"
_CHILD_MODULE = "forkcore._executor_child"
_IMPORT_MAIN = f"import {_CHILD_MODULE}; {_CHILD_MODULE}.import_main(*[arg.decode() for arg in args])"


class TemplateKeeper:
    """Owns one template at a time, and its place in a selector."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        origin: Template | None,
        preload: Sequence[str],
    ) -> None:
        """Make the template; does not wait for it.

        Args:
            selector: Where it is watched, with `hear` as the data of its key; borrowed.
            origin: What to fork it from, borrowed; None for the default template.
            preload: Modules to import in it.

        Raises:
            OSError: The default template cannot be made, or a limit is reached.
            ForkcoreError: The origin is spent or gone.
        """
        self._selector = selector
        self._origin = origin
        self._preload = preload
        self._has_main = False
        self._fd = -1
        self._template: Template | None = self._make()

    @property
    def has_main(self) -> bool:
        """Whether the template knows the program's main module."""
        return self._has_main

    def _make(self) -> Template:
        template = new(title=TITLE) if self._origin is None else self._origin.fork(title=TITLE)
        template.preload(_CHILD_MODULE, *self._preload)
        self._has_main = False
        self._fd = template.fileno()
        self._selector.register(self._fd, selectors.EVENT_READ, self.hear)
        return template

    def fork(self, *, needs_main: bool) -> Template:
        """Fork the template, which is made anew if it has died.

        Args:
            needs_main: It shall know the program's main module.

        Raises:
            OSError: As in the constructor.
            ForkcoreError: As in the constructor.
        """
        self.hear()
        if self._template is None:
            self._template = self._make()
        if needs_main and not self._has_main:
            self._import_main(self._template)
        return self._template.fork()

    def hear(self) -> None:
        """Take in what the template reports of its children, or that it is gone."""
        if self._template is None:
            return
        self._template.process_events()
        if self._template.fileno() < 0:
            self.close()

    def close(self) -> None:
        """End the template, once its children have ended."""
        template, self._template = self._template, None
        if template is not None:
            self._selector.unregister(self._fd)
            template.close()

    def _import_main(self, template: Template) -> None:
        self._has_main = True
        main = sys.modules["__main__"]
        # What its classes are called in the children, so that their objects can come back.
        sys.modules.setdefault("__mp_main__", main)
        path = getattr(main, "__file__", None)
        name = getattr(main.__spec__, "name", None) or ""
        # As in multiprocessing: the __main__ of a package is a script, with nothing to be imported.
        if path is not None and not name.endswith("__main__"):
            template.eval(_IMPORT_MAIN, name, os.path.abspath(path))
