"""Children of a bare template: each loads conftest files and its own test file itself, in its own process.

For projects whose conftest files or test modules start threads, which no fork would have.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
import time
from typing import TYPE_CHECKING, NoReturn, TextIO

import pytest

from pytest_forkiso import _bounds_config, _hazards, _memory, _private
from pytest_forkiso._inchild import InChild, Order, leave_orphaned, orphan_adoption, shared_death
from pytest_forkiso._inner import PLUGIN_NAME
from pytest_forkiso._slots import SlotTable, read_text
from pytest_forkiso._stream import ChannelEnd, flush_streams

if TYPE_CHECKING:
    import socket


def prepare(forks: int) -> None:
    """Make the template ready for its first fork.

    Args:
        forks: How many there will be.
    """
    _hazards.refuse_threads()
    gc.freeze()
    _memory.spare_forks(forks)


def run(channel: socket.socket, plan: bytes) -> NoReturn:
    """Wait for the order to run a test, collect its file, run it, and end the process.

    Args:
        channel: To pytest's own process; consumed.
        plan: Pickled command line, descriptors of the slots and of the input, and limit of output.
    """
    arguments, descriptors, standard_input, output_limit = pickle.loads(plan)  # noqa: S301 - see above
    os.setpgid(0, 0)
    os.dup2(standard_input, 0)
    orphan_adoption()()
    shared_death()()
    end = ChannelEnd(channel.detach())
    order = Order(*end.receive()[1:])
    leave_orphaned(end, order)
    table = SlotTable(descriptors)
    slot = table.slots[order.slot]
    session = OneTestSession(end, order, table, output_limit)
    session.known_modules = frozenset(sys.modules)
    table.note_phase(slot, "setup")
    code = pytest.main(arguments, plugins=[session])
    flush_streams()
    said = read_text(slot.stdout, output_limit)
    text = f"{order.nodeid} was not found in a child of the bare template (exit code {code}):\n{said}"
    end.send(("error", text, time.monotonic()))
    end.leave()


class OneTestSession:
    """Turns a session of pytest into one that runs a single test.

    Attributes:
        known_modules: Names of those that the template had.
    """

    __name__ = PLUGIN_NAME  # what pluggy registers it as

    def __init__(self, end: ChannelEnd, order: Order, table: SlotTable, output_limit: int) -> None:
        self._end = end
        self._order = order
        self._table = table
        self._output_limit = output_limit
        self._started = time.monotonic()
        self._terminal: TextIO | None = None
        self.known_modules: frozenset[str] = frozenset()

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        # Ini file, root directory and initial conftest files are those of the whole run by now.
        config.args[:] = [str(config.rootpath / self._order.nodeid.partition("::")[0])]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        # What pytest says before the test is nobody's business; but if there is no test, it says why.
        fd = self._table.slots[self._order.slot].stdout
        self._terminal = _private.redirect_terminal(session.config, open(fd, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - closed when the test begins

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        found = [item for item in session.items if item.nodeid == self._order.nodeid]
        if not found:
            return None
        _private.redirect_terminal(session.config, self._terminal).close()
        self._table.slots[self._order.slot].clear()
        _bounds_config.attach_bounds(found[0], _bounds_config.read_bounds(session.config))
        in_child = InChild(session, self._table, self._output_limit)
        in_child.take_over(self.known_modules)
        in_child.obey(self._end, self._order, found[0], self._started)
