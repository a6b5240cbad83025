"""Whose functions a thread is in, as its stack says."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_forkiso._stacks import libraries_on_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not Path("/proc/self/syscall").exists(), reason="the system does not tell")


@pytest.fixture
def waiting() -> Iterator[int]:
    """Give the kernel's number of a thread that waits for a lock of Python's."""
    event, numbers = threading.Event(), []

    def wait() -> None:
        numbers.append(threading.get_native_id())
        event.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    while not numbers:
        pass
    yield numbers[0]
    event.set()
    thread.join()


def test_a_thread_that_waits(waiting: int) -> None:
    """The code of the interpreter is in its executable, or in its library; the system's libraries are left out."""
    names = [Path(path).name for path in libraries_on_stacks([waiting])[waiting]]
    assert any(name.startswith(("python", "libpython")) for name in names)
    assert not any(name.startswith(("libc.", "libc-", "ld-", "[")) for name in names)


def test_a_thread_that_is_gone() -> None:
    """It may end at any moment."""
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    assert libraries_on_stacks([thread.native_id]) == {thread.native_id: ()}
