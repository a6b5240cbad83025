"""The fork server of multiprocessing, where one was started before a template was forked, or in it."""

from __future__ import annotations

import os
import sys
from typing import Any


def forget_fork_server() -> None:
    """Let each process that is forked from here have a fork server of its own, if it needs one.

    multiprocessing waits for the server whenever it is used, and only its parent can do that. There is no public way to
    forget it. One that this process has started ends.
    """
    module: Any = sys.modules.get("multiprocessing.forkserver")
    if module is None:
        return
    server = module._forkserver  # noqa: SLF001 - as said above
    if getattr(server, "_forkserver_pid", None) is None:
        return
    os.close(server._forkserver_alive_fd)  # noqa: SLF001 - the server ends when nobody holds it
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None  # noqa: SLF001
