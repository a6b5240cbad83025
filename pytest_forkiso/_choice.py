"""Where the template of a run comes from."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """Where the template is to come from.

    Attributes:
        kind: One of `pytest_forkiso._config.TEMPLATES` but "auto".
        reason: Why from there: the end of a sentence that begins with "because".
    """

    kind: str
    reason: str

    @property
    def collects(self) -> bool:
        """Whether such templates have collected the tests, and can hold fixtures; or else those of files do."""
        return self.kind != "bare"
