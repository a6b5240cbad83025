"""pytest-postgresql: a real server, and a database of its own for each test."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inner_compare import assert_same
from inner_hosts import answers, free_port

from helpers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inner import Suite

pytest.importorskip("pytest_postgresql")
pytest.importorskip("psycopg")

CONFTEST = """
from pytest_postgresql import factories
server = factories.postgresql_noproc(host="127.0.0.1", port={port}, user="tester", dbname="shop")
postgresql = factories.postgresql("server")
"""
OWN_NAMES = """
import os
import pytest
@pytest.fixture(scope="session", autouse=True)
def own_name(pytestconfig): pytestconfig.option.postgresql_dbname = f"shop{os.getpid()}"
"""
TESTS = """
import os
import pytest

def execute(connection, text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall() if cursor.description else None

@pytest.mark.parametrize("number", range(3))
def test_own_database(postgresql, number):
    execute(postgresql, "CREATE TABLE thing (id int)")
    execute(postgresql, f"INSERT INTO thing VALUES ({number})")
    assert execute(postgresql, "SELECT id FROM thing") == [(number,)]

def test_fails(postgresql): assert execute(postgresql, "SELECT 1") == [(2,)]

def test_error(postgresql): execute(postgresql, "SELECT * FROM no_such_table")
"""
CRASH = """
def test_dies(postgresql): os.abort()
def test_after(postgresql): assert execute(postgresql, "SELECT 1") == [(1,)]
"""


@pytest.fixture
def port() -> Iterator[int]:
    """Run a server of PostgreSQL; skips where there is none, or nobody as whom it could run."""
    candidates = [shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    programs = [Path(candidate).parent for candidate in candidates if candidate]
    if not programs:
        pytest.skip("there is no PostgreSQL")
    # Not below pytest's own folder: each run of pytest that begins closes that to other users.
    with tempfile.TemporaryDirectory(prefix="forkiso-postgresql-") as folder:
        owner: dict[str, Any] = {}
        if os.geteuid() == 0:  # as whom the server refuses to run
            try:
                entry = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
            owner = {"user": entry.pw_uid, "group": entry.pw_gid}
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        with serving(programs[0], Path(folder), owner) as number:
            yield number


@contextlib.contextmanager
def serving(programs: Path, folder: Path, owner: dict[str, Any]) -> Iterator[int]:
    """Make a database, and have a server of it while the block runs; gives its port."""
    data, number = folder / "data", free_port("127.0.0.1")
    initialise = [str(programs / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-N"]
    made = subprocess.run(initialise, check=False, capture_output=True, text=True, cwd=folder, **owner)
    assert made.returncode == 0, made.stderr
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(number), "-k", str(folder), "-F"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **owner) as server:
        try:
            wait_for(lambda: answers("127.0.0.1", number), "the server listens")
            yield number
        finally:
            server.terminate()


def test_as_without_forks(suite: Suite, port: int) -> None:
    """Databases are made from the template, rolled back and dropped."""
    suite.write(conftest=CONFTEST.format(port=port), test_shop=TESTS)
    assert_same(suite.plain("-p", "pytest_postgresql"), suite.forked("-p", "pytest_postgresql"))


def test_jobs_and_crashes(suite: Suite, port: int) -> None:
    """With names of their own, tests run at a time, and do not meet what one that crashed has left in the server."""
    suite.write(conftest=CONFTEST.format(port=port).replace(', dbname="shop"', "") + OWN_NAMES, test_shop=TESTS + CRASH)
    run = suite.forked("-p", "pytest_postgresql", "--fork-jobs=3")
    assert run.outcomes() == {
        **{f"test_own_database[{number}]": "passed" for number in range(3)},
        "test_fails": "failed",
        "test_error": "failed",
        "test_dies": "failed",
        "test_after": "passed",
    }, run.out
