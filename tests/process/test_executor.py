"""`forkcore.ForkExecutor`, with real children."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import CancelledError, Future, as_completed, wait
from typing import TYPE_CHECKING

import pytest

import forkcore
from forkcore import ForkExecutor
from forkcore._executor_thread import CallThread
from forkcore.errors import RemoteTraceback

import calls
from helpers import PATIENCE, children, is_gone, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forkcore._executor_calls import Performer


@pytest.fixture
def executor(_no_leaks: None) -> Iterator[ForkExecutor]:
    """Give an executor for two calls at a time, shut down after the test."""
    with ForkExecutor(2) as own:
        yield own


class Gate:
    """Children that wait in `calls.wait_for_file` until `open`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"

    def pids(self) -> list[int]:
        """Give the children that have arrived."""
        return [int(path.suffix[1:]) for path in self.path.parent.glob("gate.*")]

    def wait_for(self, count: int) -> list[int]:
        """Wait until so many children have arrived."""
        wait_for(lambda: len(self.pids()) >= count, f"{count} children are in their calls")
        return self.pids()

    def open(self) -> None:
        """Let them go on."""
        self.path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Give a gate, open at the end of the test."""
    own = Gate(tmp_path)
    yield own
    own.open()


# Calls and results.


def test_a_call_runs_in_a_child_of_a_template(executor: ForkExecutor) -> None:
    """It is neither in this process, nor in a direct child of it."""
    pids = [executor.submit(calls.pid).result(PATIENCE) for _ in range(3)]
    assert len({*pids, os.getpid()}) == 4
    assert executor.submit(calls.parent_pid).result(PATIENCE) != os.getpid()


def test_arguments_and_keywords_arrive(executor: ForkExecutor) -> None:
    """Both kinds are passed on."""
    assert executor.submit(calls.double, 21).result(PATIENCE) == 42
    assert executor.submit(calls.fail_on, 1, bad=2).result(PATIENCE) == 1
    assert executor.submit(int, "ff", base=16).result(PATIENCE) == 255


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 20_000_000])
def test_large_arguments_and_results_arrive_whole(executor: ForkExecutor, size: int) -> None:
    """What does not fit into a socket's buffer goes piece by piece, both ways."""
    assert executor.submit(calls.size_of, bytes(size)).result(PATIENCE) == size
    assert executor.submit(calls.zeros, size).result(PATIENCE) == bytes(size)


@pytest.mark.parametrize("chunksize", [1, 3, 100])
def test_map_keeps_the_order(executor: ForkExecutor, chunksize: int) -> None:
    """Results come in the order of the arguments, in chunks of any size."""
    numbers = range(20)
    assert list(executor.map(calls.double, numbers, chunksize=chunksize)) == [2 * number for number in numbers]
    assert list(executor.map(pow, [2, 3], [5, 2, 9], chunksize=chunksize)) == [32, 9]


def test_a_chunk_is_one_call(executor: ForkExecutor) -> None:
    """The calls of a chunk share a child."""
    seen = list(executor.map(calls.remember, range(4), chunksize=2))
    assert seen == [[0], [0, 1], [2], [2, 3]]


def test_map_raises_at_the_place_of_the_failure(executor: ForkExecutor) -> None:
    """Results before it can be had."""
    results = executor.map(calls.fail_on, range(3), [1, 1, 1])
    assert next(results) == 0
    with pytest.raises(ValueError, match="1 is bad"):
        next(results)


def test_map_has_a_timeout(executor: ForkExecutor, gate: Gate) -> None:
    """As the other executors have it."""
    with pytest.raises(TimeoutError):
        next(executor.map(calls.wait_for_file, [str(gate.path)], timeout=0))
    gate.open()


# Failures.


def test_an_exception_comes_with_its_remote_traceback(executor: ForkExecutor) -> None:
    """It is of its own type, and its cause shows where it was raised."""
    error = executor.submit(calls.fail, "on purpose").exception(PATIENCE)
    assert isinstance(error, ValueError)
    assert error.args == ("on purpose",)
    assert isinstance(error.__cause__, RemoteTraceback)
    text = str(error.__cause__)
    assert "raise ValueError(message)" in text
    assert "calls.py" in text
    assert "_executor_child" not in text


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [(calls.raise_odd, "calls.OddError", "very odd"), (calls.raise_locked, "calls.LockedError", "with a lock")],
)
def test_an_exception_that_cannot_cross_is_described(
    executor: ForkExecutor, function: object, kind: str, message: str
) -> None:
    """A RemoteError with type, text and traceback takes its place."""
    error = executor.submit(function).exception(PATIENCE)  # type: ignore[arg-type]
    assert isinstance(error, forkcore.RemoteError)
    assert error.remote_type == kind
    assert str(error) == f"{kind}: {message}"
    assert "Traceback" in error.remote_traceback


def test_exit_in_a_call_is_an_exception_of_it(executor: ForkExecutor) -> None:
    """As the process pool of the standard library has it."""
    error = executor.submit(calls.exit_politely, 3).exception(PATIENCE)
    assert isinstance(error, SystemExit)
    assert error.code == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_killed_child_fails_its_own_future_only(executor: ForkExecutor, gate: Gate, number: int) -> None:
    """The exception names the signal; a call that runs at the same time, and those after it, succeed."""
    other = executor.submit(calls.wait_for_file, str(gate.path))
    gate.wait_for(1)
    error = executor.submit(calls.kill_itself, number).exception(PATIENCE)
    assert isinstance(error, forkcore.ChildDied)
    assert error.status is not None
    assert error.status.signal == number
    assert error.status.usage is not None
    assert signal.Signals(number).name in str(error)
    assert str(error.pid) in str(error)
    gate.open()
    assert other.result(PATIENCE) > 0
    assert executor.submit(calls.double, 1).result(PATIENCE) == 2


@pytest.mark.parametrize("code", [0, 3])
def test_a_child_that_leaves_without_a_result_has_failed(executor: ForkExecutor, code: int) -> None:
    """Whatever its exit code is."""
    error = executor.submit(calls.leave, code).exception(PATIENCE)
    assert isinstance(error, forkcore.ChildDied)
    assert error.status is not None
    assert error.status.code == code
    assert f"exited with code {code}" in str(error)


def test_a_child_died_can_be_pickled() -> None:
    """Exceptions of this package cross to other processes whole."""
    error = pickle.loads(pickle.dumps(forkcore.ChildDied("text", 5, forkcore.ExitStatus(3))))  # noqa: S301
    assert (str(error), error.pid, error.status) == ("text", 5, forkcore.ExitStatus(3))


def test_what_cannot_be_pickled_fails_its_own_future(executor: ForkExecutor) -> None:
    """Function, argument and result: each with a message that says which, and the cause."""
    function = executor.submit(lambda: 1)
    argument = executor.submit(calls.double, threading.Lock())  # type: ignore[arg-type]
    result = executor.submit(calls.a_lock)
    incoming = executor.submit(calls.an_unpicklable)
    outgoing = executor.submit(repr, calls.Unpicklable())
    for future, text in [
        (function, "the call of .*lambda.* cannot be pickled"),
        (argument, "the call of .*double.* cannot be pickled"),
        (result, "the result, of type lock, cannot be pickled"),
        (incoming, "the result cannot be unpickled in this process"),
        (outgoing, "the call cannot be unpickled in the child"),
    ]:
        with pytest.raises(forkcore.NotPicklable, match=text) as caught:
            future.result(PATIENCE)
        assert caught.value.__cause__ is not None
    assert executor.submit(calls.double, 1).result(PATIENCE) == 2


def test_a_preload_that_fails_fails_each_future() -> None:
    """With the remote traceback."""
    with ForkExecutor(1, preload="no_such_module") as executor:
        for _ in range(2):
            with pytest.raises(forkcore.RemoteError, match="no_such_module"):
                executor.submit(calls.double, 1).result(PATIENCE)


def test_a_template_that_dies_is_made_anew(gate: Gate) -> None:
    """A call that runs gives its result still; the next one finds a new template."""
    with ForkExecutor(1) as executor:
        template = executor.submit(calls.parent_pid).result(PATIENCE)
        running = executor.submit(calls.wait_for_file, str(gate.path))
        gate.wait_for(1)
        os.kill(template, signal.SIGKILL)
        wait_for(lambda: is_gone(template), "the template is gone")
        gate.open()
        assert running.result(PATIENCE) > 0
        assert executor.submit(calls.parent_pid).result(PATIENCE) != template


def test_template_and_child_that_both_die_fail_the_call(gate: Gate) -> None:
    """The status is lost with the template, and the exception says so."""
    with ForkExecutor(1) as executor:
        template = executor.submit(calls.parent_pid).result(PATIENCE)
        running = executor.submit(calls.wait_for_file, str(gate.path))
        (child,) = gate.wait_for(1)
        os.kill(template, signal.SIGKILL)
        wait_for(lambda: is_gone(template), "the template is gone")
        os.kill(child, signal.SIGKILL)
        with pytest.raises(forkcore.TemplateDied):
            running.result(PATIENCE)


def test_what_the_template_has_reported_early_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the report of a child's end, the thread does not wait for another one."""
    serve = CallThread._serve

    def serve_and_read(thread: CallThread, performer: Performer) -> None:
        serve(thread, performer)
        if performer.is_at_end:
            assert select.select([thread._keeper._fd], [], [], PATIENCE)[0]
            thread._keeper.hear()

    monkeypatch.setattr(CallThread, "_serve", serve_and_read)
    with ForkExecutor(1) as executor:
        assert [executor.submit(calls.double, n).result(PATIENCE) for n in range(3)] == [0, 2, 4]


# Children, and how many.


def test_at_most_so_many_children_run_at_a_time(executor: ForkExecutor, gate: Gate) -> None:
    """Further calls wait, and can be cancelled."""
    running = [executor.submit(calls.wait_for_file, str(gate.path)) for _ in range(2)]
    waiting = executor.submit(calls.double, 1)
    gate.wait_for(2)
    assert not waiting.running()
    assert waiting.cancel()
    assert not running[0].cancel()
    gate.open()
    assert len({future.result(PATIENCE) for future in running}) == 2
    with pytest.raises(CancelledError):
        waiting.result(PATIENCE)


def test_each_call_has_a_fresh_child_unless_told_otherwise() -> None:
    """After `max_tasks_per_child` calls a child is replaced."""
    for limit, count in [(1, 6), (2, 3), (3, 2), (None, 1)]:
        with ForkExecutor(1, max_tasks_per_child=limit) as executor:
            pids = [executor.submit(calls.pid).result(PATIENCE) for _ in range(6)]
        assert len(set(pids)) == count


def test_a_child_that_dies_between_calls_is_replaced() -> None:
    """Nothing was asked of it, so nothing fails."""
    with ForkExecutor(1, max_tasks_per_child=None) as executor:
        first = executor.submit(calls.pid).result(PATIENCE)
        os.kill(first, signal.SIGKILL)
        thread = executor._thread
        assert thread is not None
        wait_for(lambda: not thread._performers, "the executor knows")
        assert executor.submit(calls.pid).result(PATIENCE) != first


def test_the_initializer_runs_once_in_each_child() -> None:
    """Before the first call."""
    with ForkExecutor(1, initializer=calls.initialize, initargs=("hello",), max_tasks_per_child=2) as executor:
        seen = [executor.submit(calls.initialized).result(PATIENCE) for _ in range(3)]
    assert seen == [("hello", 1)] * 3


@pytest.mark.parametrize("limit", [1, None])
def test_an_initializer_that_fails_fails_the_call(limit: int | None) -> None:
    """The exception says where it comes from; later calls get a new child, and the same."""
    with ForkExecutor(1, initializer=calls.fail, initargs=("not now",), max_tasks_per_child=limit) as executor:
        for _ in range(2):
            error = executor.submit(calls.pid).exception(PATIENCE)
            assert isinstance(error, ValueError)
            assert error.__notes__ == ["raised by the initializer"]


def test_children_are_forked_ahead(gate: Gate) -> None:
    """So many wait, initialized, beside the one that performs a call; none of them is used twice."""
    with ForkExecutor(1, idle_workers=2, initializer=calls.wait_for_file, initargs=(str(gate.path),)) as executor:
        future = executor.submit(calls.pid)
        # The initializer of each is waiting: that of the call, and those of the two that are ahead.
        ahead = gate.wait_for(3)
        gate.open()
        pids = [future.result(PATIENCE), *(executor.submit(calls.pid).result(PATIENCE) for _ in range(2))]
        assert set(pids) == set(ahead)
        assert executor.submit(calls.pid).result(PATIENCE) not in ahead


def test_a_reserve_that_cannot_be_made_is_not_tried_for_ever() -> None:
    """Where a preload fails, each call says so, and no child is made in vain between them."""
    with ForkExecutor(1, idle_workers=3, preload="no_such_module") as executor:
        for _ in range(2):
            assert isinstance(executor.submit(calls.pid).exception(PATIENCE), forkcore.RemoteError)


def test_a_reserve_that_dies_is_not_made_again_before_the_next_call(gate: Gate) -> None:
    """Children that are killed while they wait are missing from then on, until there is something to do."""
    arguments = (str(gate.path),)
    with ForkExecutor(1, idle_workers=2, initializer=calls.wait_for_file, initargs=arguments) as executor:
        future = executor.submit(calls.pid)
        ahead = gate.wait_for(3)
        gate.open()
        ahead.remove(future.result(PATIENCE))
        for pid in ahead:
            os.kill(pid, signal.SIGKILL)
        thread = executor._thread
        assert thread is not None
        wait_for(lambda: not thread._performers, "the executor knows")
        assert executor.submit(calls.pid).result(PATIENCE) not in ahead
        wait_for(lambda: len(thread._idle) == 2, "there are two again")


def test_idle_children_end_after_a_while(gate: Gate) -> None:
    """Those above the reserve; a call that comes in time finds them."""
    arguments = (str(gate.path),)
    with ForkExecutor(3, max_tasks_per_child=None, idle_workers=1, idle_timeout=0.05) as executor:
        futures = [executor.submit(calls.wait_for_file, *arguments) for _ in range(3)]
        gate.wait_for(3)
        gate.open()
        pids = {future.result(PATIENCE) for future in futures}
        assert len(pids) == 3
        thread = executor._thread
        assert thread is not None
        wait_for(lambda: len(thread._performers) == 1, "one is kept")
        (kept,) = thread._performers
        assert executor.submit(calls.pid).result(PATIENCE) == kept.child.pid
    with ForkExecutor(1, max_tasks_per_child=None, idle_timeout=600) as executor:
        assert executor.submit(calls.pid).result(PATIENCE) == executor.submit(calls.pid).result(PATIENCE)


def test_a_child_retires() -> None:
    """It gives its result, and another one performs the next call."""
    with ForkExecutor(1, max_tasks_per_child=None) as executor:
        first = executor.submit(calls.pid).result(PATIENCE)
        assert executor.submit(calls.retire).result(PATIENCE) == first
        second = executor.submit(calls.pid).result(PATIENCE)
        assert second != first
        assert executor.submit(calls.pid).result(PATIENCE) == second
    with pytest.raises(RuntimeError, match="child of a ForkExecutor"):
        forkcore.retire()


def test_preload_happens_in_the_template() -> None:
    """Children find the module loaded."""
    with ForkExecutor(1, preload=["colorsys"]) as executor:
        assert executor.submit(calls.is_loaded, "colorsys").result(PATIENCE)
    with ForkExecutor(1) as executor:
        assert not executor.submit(calls.is_loaded, "colorsys").result(PATIENCE)
        assert not executor.submit(calls.is_loaded, "concurrent.futures").result(PATIENCE)


def test_a_template_of_the_user_is_forked_from(template: forkcore.Template) -> None:
    """It stays the user's, with all that it had been told."""
    template.eval("import os; os.environ['FROM_TEMPLATE'] = 'yes'").send_arg(b"not for us")
    with ForkExecutor(1, template=template) as executor:
        assert executor.submit(calls.environment, "FROM_TEMPLATE").result(PATIENCE) == "yes"
    template.ready(PATIENCE)


def test_children_die_with_their_parent(gate: Gate) -> None:
    """A program that is killed leaves no child of its executor."""
    code = (
        "import calls, sys, forkcore\n"
        "executor = forkcore.ForkExecutor(1)\n"
        "executor.submit(calls.wait_for_file, sys.argv[1]).result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(gate.path)], env=path_environment()) as program:
        (child,) = gate.wait_for(1)
        program.kill()
    wait_for(lambda: is_gone(child), "the child is gone")


def path_environment() -> dict[str, str]:
    """Give an environment in which a program finds what this one does."""
    return dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))


# The end.


def test_shutdown_leaves_nothing(executor: ForkExecutor) -> None:
    """No thread, no process; a second time does nothing; further calls are refused."""
    before = set(children())
    own = ForkExecutor(2)
    futures = [own.submit(calls.double, number) for number in range(5)]
    own.shutdown()
    assert [future.result(0) for future in futures] == [0, 2, 4, 6, 8]
    assert "forkcore executor" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(RuntimeError, match="after shutdown"):
        own.submit(calls.double, 1)
    own.shutdown()
    forkcore._context.DEFAULT.close()
    assert set(children()) <= before


def test_shutdown_of_an_executor_without_calls_does_nothing() -> None:
    """No process was ever made."""
    before = set(children())
    with ForkExecutor(1):
        assert set(children()) == before


def test_shutdown_without_waiting_lets_calls_go_on(gate: Gate) -> None:
    """They give their results."""
    executor = ForkExecutor(1)
    futures = [executor.submit(calls.wait_for_file, str(gate.path)) for _ in range(2)]
    executor.shutdown(wait=False)
    gate.open()
    assert len({future.result(PATIENCE) for future in futures}) == 2
    executor.shutdown()


def test_shutdown_can_cancel_what_has_not_begun(gate: Gate) -> None:
    """The call that runs is not touched."""
    executor = ForkExecutor(1)
    running, *waiting = [executor.submit(calls.wait_for_file, str(gate.path)) for _ in range(3)]
    gate.wait_for(1)
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    assert wait(waiting, PATIENCE).not_done == set()
    gate.open()
    assert running.result(PATIENCE) > 0
    executor.shutdown()


def test_shutdown_waits_for_a_child_that_lingers(gate: Gate) -> None:
    """The result is there before; the process counts until it has ended."""
    executor = ForkExecutor(1)
    assert executor.submit(calls.linger, str(gate.path)).result(PATIENCE) == "done"
    next_one = executor.submit(calls.pid)
    (child,) = gate.wait_for(1)
    assert not next_one.done()
    gate.open()
    assert next_one.result(PATIENCE) != child
    executor.shutdown()


def test_a_forgotten_executor_warns_and_ends() -> None:
    """A ResourceWarning, and then no thread and no process."""
    executor = ForkExecutor(1)
    executor.submit(calls.double, 1).result(PATIENCE)
    thread = executor._thread
    assert thread is not None
    with pytest.warns(ResourceWarning, match="was not shut down"):
        del executor
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_program_that_ends_does_its_calls_first() -> None:
    """Without shutdown, as with the executors of the standard library."""
    code = (
        "import calls, forkcore\n"
        "executor = forkcore.ForkExecutor(1)\n"
        "for number in range(3):\n"
        "    executor.submit(print, number, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=path_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0\n1\n2\n"
    assert not done.stderr


def test_functions_of_the_main_module_work(tmp_path: Path) -> None:
    """A script can submit its own functions, and get objects of its own classes back."""
    script = tmp_path / "script.py"
    script.write_text(
        "import forkcore\n"
        "class Pair:\n"
        "    def __init__(self, one, other):\n"
        "        self.both = one, other\n"
        "def pair(number):\n"
        "    return Pair(number, __name__)\n"
        "if __name__ == '__main__':\n"
        "    with forkcore.ForkExecutor(2) as executor:\n"
        "        for one in executor.map(pair, range(2)):\n"
        "            print(one.both, type(one) is Pair)\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=path_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "(0, '__mp_main__') True\n(1, '__mp_main__') True\n"


def test_children_that_do_not_know_the_main_module_make_room(tmp_path: Path) -> None:
    """Those that wait since before it was needed cannot perform its functions."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, forkcore\n"
        "def double(n): return 2 * n\n"
        "if __name__ == '__main__':\n"
        "    with forkcore.ForkExecutor(1, max_tasks_per_child=None, idle_workers=1) as executor:\n"
        "        print(executor.submit(abs, -1).result(), *executor.map(double, range(3)))\n"
        "        print(executor.submit(abs, -2).result())\n"
    )
    done = subprocess.run(
        [sys.executable, script], check=True, capture_output=True, text=True, timeout=60, env=path_environment()
    )
    assert done.stdout.split() == ["1", "0", "2", "4", "2"]


def test_a_main_module_without_its_guard_is_told_so(tmp_path: Path) -> None:
    """It fails with an explanation, and does not start itself over and over."""
    script = tmp_path / "script.py"
    script.write_text(
        "import forkcore\n"
        "def double(number):\n"
        "    return 2 * number\n"
        "with forkcore.ForkExecutor(2) as executor:\n"
        "    print(executor.submit(double, 4).result())\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=path_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "below 'if __name__ == \"__main__\":'" in done.stderr


# In company.


def test_it_serves_an_asyncio_program() -> None:
    """By run_in_executor, results, exceptions and deaths arrive."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ForkExecutor(2) as executor:
            results = await asyncio.gather(
                *(loop.run_in_executor(executor, calls.double, number) for number in range(5)),
                loop.run_in_executor(executor, calls.fail, "on purpose"),
                loop.run_in_executor(executor, calls.kill_itself),
                return_exceptions=True,
            )
        assert results[:5] == [0, 2, 4, 6, 8]
        assert isinstance(results[5], ValueError)
        assert isinstance(results[6], forkcore.ChildDied)

    asyncio.run(main())


def test_many_threads_submit_at_once(executor: ForkExecutor) -> None:
    """Each gets its own results."""
    results: dict[int, list[int]] = {}

    def use(number: int) -> None:
        results[number] = list(executor.map(calls.double, [number] * 5))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert results == {number: [2 * number] * 5 for number in range(8)}


def test_as_completed_and_callbacks_work(executor: ForkExecutor) -> None:
    """The futures are those of the standard library."""
    called: list[Future[int]] = []
    futures = [executor.submit(calls.double, number) for number in range(4)]
    for future in futures:
        future.add_done_callback(called.append)
    assert sorted(future.result(0) for future in as_completed(futures, PATIENCE)) == [0, 2, 4, 6]
    wait_for(lambda: len(called) == 4, "the callbacks were called")


def test_in_a_fork_the_executor_is_refused(executor: ForkExecutor) -> None:
    """It belongs to the parent, whose calls go on."""
    executor.submit(calls.double, 1).result(PATIENCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the fork of a process with threads
        pid = os.fork()
    if pid == 0:
        try:
            executor.submit(calls.double, 1)
        except RuntimeError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert executor.submit(calls.double, 2).result(PATIENCE) == 4


@pytest.mark.parametrize(
    "arguments", [{"max_workers": 0}, {"max_tasks_per_child": 0}, {"max_workers": -1}, {"max_tasks_per_child": -5}]
)
def test_impossible_numbers_are_refused(arguments: dict[str, int]) -> None:
    """At once."""
    with pytest.raises(ValueError, match="at least 1"):
        ForkExecutor(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"idle_workers": -1}, {"idle_timeout": -0.5}])
def test_impossible_reserves_are_refused(arguments: dict[str, float]) -> None:
    """At once."""
    with pytest.raises(ValueError, match="negative"):
        ForkExecutor(**arguments)  # type: ignore[arg-type]


def test_an_impossible_initializer_is_refused() -> None:
    """What is not callable, and what cannot be pickled."""
    with pytest.raises(TypeError, match="callable"):
        ForkExecutor(1, initializer="no")  # type: ignore[arg-type]
    with pytest.raises(forkcore.NotPicklable):
        ForkExecutor(1, initializer=lambda: None)


def test_an_impossible_chunksize_is_refused(executor: ForkExecutor) -> None:
    """At once."""
    with pytest.raises(ValueError, match="at least 1"):
        executor.map(calls.double, [1], chunksize=0)
