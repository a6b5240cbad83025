"""Plugins for coroutines: their loops are made in the test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

ASYNCIO = """
import asyncio
import pytest
import pytest_asyncio

@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def loop_of_module():
    yield asyncio.get_running_loop()

@pytest.mark.asyncio(loop_scope="module")
async def test_same_loop(loop_of_module): assert asyncio.get_running_loop() is loop_of_module

@pytest.mark.asyncio
async def test_processes_and_threads():
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
    assert await asyncio.to_thread(lambda: 3) == 3

@pytest.mark.asyncio
async def test_fails():
    await asyncio.sleep(0)
    assert 1 == 2

@pytest.mark.asyncio
async def test_leaves_a_task(): asyncio.create_task(asyncio.sleep(100))

@pytest.mark.asyncio
@pytest.mark.xfail
async def test_expected(): raise TimeoutError
"""
ANYIO = """
import anyio
import pytest

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request): return request.param

@pytest.fixture
async def group():
    async with anyio.create_task_group() as made:
        made.start_soon(anyio.sleep, 0)
        yield made

@pytest.mark.anyio
async def test_group(group): group.start_soon(anyio.sleep, 0)

@pytest.mark.anyio
async def test_process(): assert (await anyio.run_process("echo out")).stdout == b"out\\n"

@pytest.mark.anyio
async def test_fails(group): assert 1 == 2
"""
TRIO = """
import pytest
import trio

@pytest.mark.trio
async def test_nursery(nursery): nursery.start_soon(trio.sleep, 100)

@pytest.mark.trio
async def test_clock(autojump_clock):
    await trio.sleep(100)
    assert trio.current_time() < 0

@pytest.mark.trio
async def test_process_and_thread():
    assert (await trio.run_process(["echo", "out"], capture_stdout=True)).stdout == b"out\\n"
    assert await trio.to_thread.run_sync(lambda: 3) == 3

@pytest.fixture
async def resource():
    await trio.sleep(0)
    yield 4

@pytest.mark.trio
async def test_fixture(resource): assert resource == 4
"""
OPTIONS = ["-o", "asyncio_default_fixture_loop_scope=function"]


@pytest.mark.parametrize(
    ("module", "plugin", "tests", "options"),
    [
        ("pytest_asyncio", "asyncio", ASYNCIO, OPTIONS),
        ("pytest_asyncio", "asyncio", ASYNCIO.replace("@pytest.mark.asyncio\n", ""), ["--asyncio-mode=auto", *OPTIONS]),
        ("trio", "anyio", ANYIO, []),
        ("pytest_trio", "trio", TRIO, []),
    ],
    ids=["asyncio", "asyncio-auto", "anyio", "trio"],
)
def test_as_without_forks(suite: Suite, module: str, plugin: str, tests: str, options: list[str]) -> None:
    """Loops of all scopes, processes, threads, failures and what is left running."""
    pytest.importorskip(module)
    suite.write(test_async=tests)
    plain, forked = (run("-p", plugin, *options) for run in (suite.plain, suite.forked))
    assert_same(plain, forked)
    assert "failed" in forked.outcomes().values()
    assert "passed" in forked.outcomes().values()
