"""In a process that collects beside pytest's own: what is written on the way is shown there already."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_forkiso import _private_output
from pytest_forkiso._stream import flush_streams

if TYPE_CHECKING:
    import pytest

_OUTPUT = (1, 2)


class Quiet:
    """Standard output and error of this process lead elsewhere, until they are given back."""

    def __init__(self, target: int | None = None) -> None:
        """Begin.

        Args:
            target: Descriptor of what is written to, borrowed; None for nowhere.
        """
        flush_streams()
        self._saved = [os.dup(fd) for fd in _OUTPUT]
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        for fd in _OUTPUT:
            os.dup2(null if target is None else target, fd)
        os.close(null)

    @property
    def is_on(self) -> bool:
        """They have not been given back."""
        return bool(self._saved)

    def end(self, config: pytest.Config) -> None:
        """Give them back.

        Args:
            config: Of the session that was made meanwhile: what pytest captures is suspended, and it holds copies.
        """
        if not self.is_on:
            return  # a debugger had to have them
        flush_streams()
        _private_output.replace_saved(config, *self._saved)
        for fd, saved in zip(_OUTPUT, self._saved, strict=True):
            os.dup2(saved, fd)
            os.close(saved)
        self._saved.clear()


def terminal_color(config: pytest.Config) -> str:
    """Give the value of ``--color`` by which a process that is quiet does as pytest's own.

    Args:
        config: Of pytest's own process.
    """
    if config.option.color != "auto" or not config.pluginmanager.hasplugin("terminalreporter"):
        return str(config.option.color)
    return "yes" if config.get_terminal_writer().hasmarkup else "no"
