"""What keeps pytest from being forked: it is seen, named, and another template is taken that bears it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from inner_hazards import STARTER, chosen, header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inner import Suite

PASSES = """
def test_1(): pass
def test_2(): pass
"""


@pytest.mark.parametrize("module", ["conftest", "test_it"])
def test_a_thread_that_the_project_starts(suite: Suite, module: str) -> None:
    """It is alive in each test, whose lock it has to take turns with."""
    source = """
        import threading, time
        lock, beats = threading.Lock(), 0
        def beat():
            global beats
            while True:
                with lock:
                    beats += 1
                time.sleep(0.001)
        threading.Thread(target=beat, name="heart", daemon=True).start()
    """
    test = """
        import sys
        def wait_for_a_beat(module):
            with module.lock: before = module.beats
            while module.beats == before: pass
    """
    if module == "conftest":
        suite.write(conftest=source, test_it=test + "\n        def test_it(): wait_for_a_beat(sys.modules['conftest'])")
    else:
        suite.write(test_it=source + test + "\n        def test_it(): wait_for_a_beat(sys.modules[__name__])")
    line = chosen(suite, "--fork-timeout=30")
    assert line.startswith("'bare', because a fork would not have these threads: 'heart'")
    assert f"{module}.py:" in line


def test_a_thread_that_logs(suite: Suite) -> None:
    """Logging's locks are the child's own."""
    suite.write(
        conftest="""
            import logging, threading
            def log():
                while True: logging.getLogger("background").warning("x" * 100)
            logging.getLogger("background").addHandler(logging.NullHandler())
            logging.getLogger("background").propagate = False
            threading.Thread(target=log, daemon=True).start()
        """,
        test_it="""
            import logging
            def test_it():
                for _ in range(100): logging.getLogger("background").warning("y")
        """,
    )
    assert "'bare'" in chosen(suite, "--fork-timeout=30")


EMBEDDED = """
import sys, threading, pytest
sys.path.insert(0, "")
threading.Thread(target=threading.Event().wait, name="programs own", daemon=True).start()
sys.exit(pytest.main(["-p", "forkiso", "--forked", "-v", *sys.argv[1:]]))
"""


def test_a_thread_of_the_program_that_calls_pytest(suite: Suite) -> None:
    """A template that collects by itself does not have it."""
    suite.write(test_it="import threading\ndef test_it(): assert threading.active_count() == 1")
    done = suite.python("-c", EMBEDDED)
    assert done.returncode == 0, done.stdout
    assert "template from 'exec', because a fork would not have these threads: 'programs own'" in done.stdout


def test_threads_of_the_program_and_of_the_project(suite: Suite) -> None:
    """Where the project starts some as well, each child has to load it."""
    suite.write(
        conftest="import threading; threading.Thread(target=threading.Event().wait, name='mine', daemon=True).start()",
        test_it="import threading\ndef test_it(): assert 'mine' in [each.name for each in threading.enumerate()]",
    )
    done = suite.python("-c", EMBEDDED)
    assert done.returncode == 0, done.stdout
    assert "template from 'bare'" in done.stdout
    assert "'programs own'" in done.stdout
    assert "'mine'" in done.stdout


def test_a_plugin_that_starts_a_thread_wherever_it_is_loaded(suite: Suite) -> None:
    """It would be in a template that collects by itself, too: that is seen, and not forked."""
    suite.write(
        threaded="import threading; threading.Thread(target=threading.Event().wait, name='plug', daemon=True).start()",
        test_it=PASSES,
    )
    line = chosen(suite, "-p", "threaded")
    assert line.startswith("'bare', because a fork would not have these threads: 'plug'")
    run = suite.forked("-p", "threaded", "--fork-template=exec")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "no child would have these threads: 'plug'" in run.out
    assert "try --fork-template=bare" in run.out


def test_a_thread_in_a_wrapper(suite: Suite) -> None:
    """What it was made for is named, and not the plugin or the tracing tool that wraps what every thread runs."""
    wrapper = """
        import threading
        start = threading.Thread.start
        def start_wrapped(thread):
            run = thread.run
            def run_wrapped(): run()
            thread.run = run_wrapped
            start(thread)
        threading.Thread.start = start_wrapped
    """
    started = """
        import threading
        def beat(): threading.Event().wait()
        threading.Thread(target=beat, name="heart", daemon=True).start()
    """
    suite.write(wrapper=wrapper, conftest=started, test_it=PASSES)
    place = f"({suite.path / 'conftest.py'}:2)"
    assert chosen(suite, "-p", "wrapper") == f"'bare', because a fork would not have these threads: 'heart' {place}"


def test_a_running_loop(suite: Suite) -> None:
    """Pytest called from a coroutine, as in a notebook."""
    suite.write(test_it="import asyncio\nasync def one(): return 1\ndef test_it(): assert asyncio.run(one()) == 1")
    done = suite.python(
        "-c",
        "import asyncio, sys, pytest\n"
        "async def main(): return pytest.main(['-p', 'forkiso', '--forked'])\n"
        "sys.exit(asyncio.run(main()))",
    )
    assert done.returncode == 0, done.stdout
    assert "template from 'exec', because an asyncio loop is running, and would be in a fork as well" in done.stdout


@pytest.mark.parametrize("name", [None, "polars-0", "tokio-rt-worker", "anything"])
def test_a_native_thread(suite: Suite, name: str | None) -> None:
    """The import that has started it is named."""
    suite.write(
        starter=STARTER + f"start({name and name.encode()!r})\nimport wave",
        conftest="import os\nimport starter\nimport colorsys",
        test_it=PASSES,
    )
    shown = name or "one without a name of its own"
    expected = f"'bare', because a fork would not have these threads: {shown} (conftest.py:2: import starter)"
    assert chosen(suite) == expected


def test_a_native_thread_where_nobody_waits_for_children(suite: Suite) -> None:
    """It is found all the same: the process that was forked to see which threads are left ends unseen."""
    suite.write(
        starter=STARTER + "start(b'anything')",
        conftest="import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nimport starter",
        test_it=PASSES,
    )
    assert chosen(suite).endswith("anything (after conftest.py:3: import starter)")


def test_a_native_thread_that_is_started_after_an_import(suite: Suite) -> None:
    """The last import before it is named, as what it is."""
    suite.write(starter=STARTER, conftest="import starter\nstarter.start(b'own')\nimport wave", test_it=PASSES)
    assert chosen(suite).endswith("own (after conftest.py:1: import starter)")


@pytest.mark.parametrize("name", ["jemalloc_bg_thd", "polars-ooc-clea"])
def test_a_native_thread_that_is_harmless(suite: Suite, name: str) -> None:
    """It is no reason, and neither CPython nor anybody else warns of it."""
    suite.write(starter=STARTER, conftest=f"import starter\nstarter.start({name.encode()!r})", test_it=PASSES)
    assert chosen(suite) == "'fork', because nothing speaks against it"


def test_the_user_insists_on_a_fork(suite: Suite) -> None:
    """It is done where Python allows it; the header says what speaks against it."""
    suite.write(starter=STARTER, conftest="import starter\nstarter.start(b'own')", test_it=PASSES)
    run = suite.forked("-v", "--fork-template=fork")
    assert run.code == 0, run.out
    assert header(run).startswith(
        "'fork', because the user asked for it, although a fork would not have these threads: own"
    )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Give a server that nobody serves: connections succeed all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


CONNECT = "import socket; connection = socket.create_connection(('127.0.0.1', {port}))"


def test_a_connection(suite: Suite, listener: socket.socket) -> None:
    """Tests would share it; those of a bare template have one each."""
    port = listener.getsockname()[1]
    suite.write(conftest=CONNECT.format(port=port), test_it=PASSES)
    assert chosen(suite) == f"'bare', because tests would share the connection to 127.0.0.1:{port}"


def test_a_connection_of_a_plugin(suite: Suite, listener: socket.socket) -> None:
    """What plugins open for themselves when they are configured is theirs."""
    suite.write(
        conftest="import socket; pair = socket.socketpair(); server = socket.create_server(('127.0.0.1', 0))",
        connected="def pytest_configure():\n    global connection\n    "
        + CONNECT.format(port=listener.getsockname()[1]),
        test_it=PASSES,
    )
    assert "'fork'" in chosen(suite, "-p", "connected")


@pytest.mark.parametrize("options", ["", "tryfirst=True", "trylast=True"])
@pytest.mark.parametrize("hook", ["pytest_configure", "pytest_sessionstart", "pytest_collection_modifyitems"])
def test_a_connection_that_a_hook_opens(suite: Suite, listener: socket.socket, hook: str, options: str) -> None:
    """That of a conftest file is the project's, and that of a plugin its own, in whatever order they are called."""
    port = listener.getsockname()[1]
    source = f"""
        import pytest
        @pytest.hookimpl({options})
        def {hook}():
            global connection
            {CONNECT.format(port=port)}
    """
    suite.write(
        conftest="def pytest_configure(): pass\ndef pytest_sessionstart(): pass", connected=source, test_it=PASSES
    )
    if hook != "pytest_collection_modifyitems":
        assert "'fork'" in chosen(suite, "-p", "connected")
    suite.write(conftest=source)
    assert chosen(suite) == f"'bare', because tests would share the connection to 127.0.0.1:{port}"


def test_what_a_hook_opens_before_a_file_is_collected(suite: Suite, listener: socket.socket) -> None:
    """The template of a file is looked at as pytest's own process is."""
    port = listener.getsockname()[1]
    suite.write(
        conftest=f"def pytest_configure():\n    global connection\n    {CONNECT.format(port=port)}", test_it=PASSES
    )
    run = suite.forked("-v", "--fork-template=bare")
    assert run.code == 0, run.out
    assert "of a file" not in run.out


@pytest.mark.parametrize("name", ["data.db", "data"])
def test_an_empty_database(suite: Suite, name: str) -> None:
    """Nothing has been written to it yet, and it is one all the same."""
    suite.write(test_it=f"import sqlite3\ndatabase = sqlite3.connect({name!r})\n" + PASSES)
    assert chosen(suite) == f"'bare', because tests would share the open database {suite.path / name}"


@pytest.mark.parametrize("mode", ["w", "a+", "w+"])
def test_an_empty_file_that_is_none(suite: Suite, mode: str) -> None:
    """It is shared as other files are."""
    suite.write(test_it=f"import sqlite3\nopened = open('data', {mode!r})\n" + PASSES)
    assert chosen(suite) == "'fork', because nothing speaks against it"


@pytest.mark.parametrize("close", ["", "; database.close()"], ids=["open", "closed"])
def test_a_database(suite: Suite, close: str) -> None:
    """An open SQLite file is not to be carried across a fork; one that was closed is no matter."""
    suite.write(
        test_it="import sqlite3\ndatabase = sqlite3.connect('data.db'); "
        f"database.execute('create table if not exists t (a)'); database.commit(){close}\n" + PASSES
    )
    line = chosen(suite)
    if not close:
        assert line == f"'bare', because tests would share the open database {suite.path / 'data.db'}"
    else:
        assert line == "'fork', because nothing speaks against it"


@pytest.mark.parametrize("source", ["fork", "exec", "bare"])
@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("import threading; threading.Thread(target=threading.Event().wait, name='own', daemon=True).start()", "'own'"),
        (STARTER + "start(b'native')", "native"),
    ],
    ids=["python", "native"],
)
def test_a_preload_that_starts_a_thread(suite: Suite, source: str, code: str, shown: str) -> None:
    """It is named, with the thread, and with what to do."""
    suite.write(loaded=code, test_it=PASSES)
    run = suite.forked("--fork-template", source, "--fork-preload=json,loaded")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert f"no child would have these threads, which importing loaded has started: {shown}" in run.out
    assert "Leave it out of --fork-preload" in run.out
