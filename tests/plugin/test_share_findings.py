"""What a fork could not use, or would share, is found after a set-up, and set up in each test's process instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inner import Suite

UNFIT = {
    "thread": (
        """
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait, name="of the fixture")
        thread.start(); yield thread.is_alive; stop.set(); thread.join()
        """,
        "the thread 'of the fixture'",
    ),
    "process": (
        """
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        yield lambda: child.poll() is None
        child.communicate(b"\\n")
        """,
        "the child process",
    ),
    "connected": (
        """
        one, other = socket.socketpair()
        one.send(b"x" * 100)
        yield lambda: other.recv(1) == b"x" and len(other.recv(1000)) == 99
        one.close(); other.close()
        """,
        "a connected pair of sockets",
    ),
    "listening": (
        """
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield lambda: socket.create_connection(server.getsockname()).close() is None and server.accept()[0]
        """,
        "the listening socket ('127.0.0.1'",
    ),
    "sqlite": (
        """
        folder = tempfile.mkdtemp()
        connection = sqlite3.connect(folder + "/file.db")
        connection.execute("create table t (x)")
        def add_one():
            with connection: connection.execute("insert into t values (1)")
            return connection.execute("select count(*) from t").fetchone() == (1,)
        yield add_one
        connection.close()
        """,
        "the open database",
    ),
    "loop": (
        """
        loop = asyncio.new_event_loop()
        yield lambda: loop.run_until_complete(asyncio.sleep(0, result=True))
        loop.close()
        """,
        "an event loop or selector (epoll)",
    ),
}

HEAD = """
import asyncio, os, socket, sqlite3, subprocess, sys, tempfile, threading
import pytest

def note(*words):
    with open("log", "a") as file: print(*words, file=file)
"""

TESTS = """
@pytest.mark.parametrize("n", [1, 2, 3])
def test_it(unfit, depends, fit, n):
    assert unfit()
    assert depends[0] == os.getpid()
    assert fit != os.getpid()
"""

FIXTURES = """
@pytest.fixture(scope="session")
def depends(unfit): return [os.getpid(), unfit]
@pytest.fixture(scope="session")
def fit(): note("fit"); return os.getpid()
"""


@pytest.mark.parametrize("kind", UNFIT)
def test_what_is_unfit_is_set_up_in_each_test(suite: Suite, kind: str) -> None:
    """It works there, with what depends on it; others are still shared; and a line says which and why, once."""
    body, reason = UNFIT[kind]
    fixture = f"@pytest.fixture(scope='module')\ndef unfit():{body}".replace("\n        ", "\n    ")
    suite.write(test_unfit=f"{HEAD}\n{fixture}\n{FIXTURES.replace('session', 'module')}\n{TESTS}")
    run = suite.forked("--fork-share=session", "--fork-timeout=30")
    assert run.code == 0, run.out
    (line,) = [line for line in run.out.splitlines() if line.startswith("forkiso: the fixture")]
    assert line.startswith(
        "forkiso: the fixture 'unfit' was set up in each test's own process, because its set-up leaves"
    )
    assert reason in line
    assert (suite.path / "log").read_text().count("fit") <= 2


FIT = {
    "memory database": (
        """
        connection = sqlite3.connect(":memory:")
        connection.execute("create table t (x)")
        def add_one():
            connection.execute("insert into t values (1)")
            return connection.execute("select count(*) from t").fetchone() == (1,)
        yield add_one
        connection.close()
        """
    ),
    "closed things": (
        """
        thread = threading.Thread(target=print); thread.start(); thread.join()
        subprocess.run([sys.executable, "-c", ""], check=True)
        for end in socket.socketpair(): end.close()
        asyncio.run(asyncio.sleep(0))
        yield lambda: True
        """
    ),
    "files": (
        """
        with tempfile.TemporaryFile() as file:
            file.write(b"text")
            yield lambda: file.name is not None
        """
    ),
    "environment": (
        """
        os.environ["SET_BY_FIXTURE"] = "yes"
        yield lambda: os.environ.pop("SET_BY_FIXTURE") == "yes"
        """
    ),
}


@pytest.mark.parametrize("kind", FIT)
def test_what_is_fit_is_shared(suite: Suite, kind: str) -> None:
    """Set up once, and pristine in each test."""
    fixture = f"@pytest.fixture(scope='module')\ndef fit():{FIT[kind]}".replace("\n        ", "\n    ")
    suite.write(
        test_fit=f"{HEAD}\n{fixture}\n"
        """
@pytest.fixture(scope="module")
def owner(fit): note(os.getpid()); return os.getpid()
@pytest.mark.parametrize("n", [1, 2, 3])
def test_it(fit, owner, n):
    assert fit()
    assert owner != os.getpid()
"""
    )
    run = suite.forked("--fork-share=module", "--fork-timeout=30")
    assert run.code == 0, run.out
    assert "forkiso: the fixture" not in run.out
    assert len((suite.path / "log").read_text().splitlines()) == 1


def test_allow_and_deny(suite: Suite) -> None:
    """The ini values overrule what was found, by the fixture's name."""
    suite.pytester.makeini("[pytest]\nfork_share_allow = pair\nfork_share_deny = plain")
    suite.write(
        test_names=f"""{HEAD}
@pytest.fixture(scope="session")
def pair():
    one, other = socket.socketpair()
    yield os.getpid(); one.close(); other.close()
@pytest.fixture(scope="session")
def plain(): return os.getpid()
@pytest.fixture(scope="session")
def on_plain(plain): return os.getpid()
def test_pair(pair): assert pair != os.getpid()
def test_plain(plain, on_plain): assert plain == on_plain == os.getpid()
"""
    )
    run = suite.forked("--fork-share=session")
    assert run.code == 0, run.out
    assert "forkiso: the fixture" not in run.out


def test_an_allowed_thread(suite: Suite) -> None:
    """Tests are forked in spite of it; it is not there in them."""
    suite.pytester.makeini("[pytest]\nfork_share_allow = thread")
    suite.write(
        test_thread=f"""{HEAD}
@pytest.fixture(scope="session")
def thread():
    stop = threading.Event()
    started = threading.Thread(target=stop.wait)
    started.start(); yield os.getpid(); stop.set(); started.join(); note("joined")
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_it(thread, n): assert thread != os.getpid() and len(sys._current_frames()) == 1
"""
    )
    run = suite.forked("--fork-share=session")
    assert run.code == 0, run.out
    assert (suite.path / "log").read_text() == "joined\n"


def test_seeds(suite: Suite) -> None:
    """Each test has random numbers of its own, which are the same in the next run, whichever tests run beside it."""
    suite.write(
        test_random="""
        import random
        import pytest
        numpy = pytest.importorskip("numpy.random")
        @pytest.fixture(scope="session")
        def drawn(): return random.random()
        @pytest.mark.parametrize("n", range(4))
        def test_draw(drawn, n):
            with open("drawn", "a") as file: print(n, drawn, random.random(), numpy.random(), file=file)
        """
    )

    def draw(*arguments: str) -> list[list[str]]:
        (suite.path / "drawn").unlink(missing_ok=True)
        suite.forked("--fork-share=session", *arguments)
        return [line.split() for line in (suite.path / "drawn").read_text().splitlines()]

    rows = draw()
    assert len({row[1] for row in rows}) == 1
    for column in (2, 3):
        assert len({row[column] for row in rows}) == 4
    assert draw() == rows
    assert [row[2] for row in draw("-k", "2 or 3")] == [row[2] for row in rows[2:]]

    suite.write(seeded="def pytest_addoption(parser): parser.addoption('--randomly-seed', dest='randomly_seed')")
    seeded = draw("-p", "seeded", "--randomly-seed=1")
    for column in (1, 2, 3):
        assert not {row[column] for row in seeded} & {row[column] for row in rows}
    assert draw("-p", "seeded", "--randomly-seed=1") == seeded


def test_generators_of_fixtures(suite: Suite) -> None:
    """A generator that a shared fixture has made is as it was after set-up, for each test: part of the snapshot."""
    suite.write(
        test_generators="""
        import random
        import pytest
        numpy = pytest.importorskip("numpy")
        @pytest.fixture(scope="session")
        def generators(): return random.Random(1), numpy.random.default_rng(1)
        @pytest.mark.parametrize("n", range(2))
        def test_draw(generators, n):
            drawn = [each.random() for each in generators]
            assert drawn == [random.Random(1).random(), numpy.random.default_rng(1).random()]
        """
    )
    assert suite.plain().outcomes() == {"test_draw[0]": "passed", "test_draw[1]": "failed"}
    assert suite.forked("--fork-share=session").outcomes() == {"test_draw[0]": "passed", "test_draw[1]": "passed"}
