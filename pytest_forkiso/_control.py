"""The control socket of a template among what the scheduler waits for."""

from __future__ import annotations

import os
import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import forkcore


class ControlWatch:
    """Has a template's events processed as they come.

    Its socket may be closed at any of them, when the template is gone: what is waited for is a duplicate.
    """

    def __init__(self, template: forkcore.Template, selector: selectors.BaseSelector) -> None:
        """Begin.

        Args:
            template: Borrowed.
            selector: Borrowed; it is told of no event any more once the template is gone.
        """
        self._template = template
        self._selector = selector
        self._control: int | None = os.dup(template.fileno())
        selector.register(self._control, selectors.EVENT_READ, self._process_events)

    def _process_events(self) -> None:
        self._template.process_events()
        if not self._template.is_usable:
            self.close()

    def close(self) -> None:
        """End."""
        if self._control is not None:
            self._selector.unregister(self._control)
            os.close(self._control)
            self._control = None
