"""Limits of a sandbox, by children that try to go beyond them."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_runs import IDENTITIES, do, make_template, require_namespaces, require_user_namespaces
from sandbox_targets import ORDINARY

import forkcore
from forkcore import Sandbox, SandboxUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1 << 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the children look into /proc")


@pytest.fixture(params=IDENTITIES)
def template(request: pytest.FixtureRequest, _no_leaks: None) -> Iterator[forkcore.Template]:
    """Give a template of each kind of user."""
    with make_template(request.param) as made:
        yield made


@pytest.fixture
def ordinary(_no_leaks: None) -> Iterator[forkcore.Template]:
    """Give a template of an ordinary user."""
    with make_template("ordinary") as made:
        yield made


def test_memory_within_and_beyond(template: forkcore.Template) -> None:
    """What is within is had; beyond, MemoryError, and it says which limit, and how much was used."""
    sandbox = Sandbox(memory="64M")
    assert do(template, sandbox, "allocate", 50 * MEGABYTE).result == 50 * MEGABYTE
    beyond = do(template, sandbox, "allocate", 65 * MEGABYTE)
    assert beyond.error == "MemoryError"
    assert len(beyond.notes) == 1
    assert beyond.notes[0].startswith(f"sandbox limit memory={64 * MEGABYTE}: ")
    assert do(template, None, "allocate", 65 * MEGABYTE).result == 65 * MEGABYTE


def test_memory_means_the_same_with_heavy_preloads() -> None:
    """What the template has mapped does not count: numpy maps more than the whole limit."""
    with make_template("ordinary") as template:
        small = do(template, Sandbox(memory="40M"), "allocate", 30 * MEGABYTE)
    with forkcore.new().preload("numpy", "sandbox_targets") as heavy:
        large = do(heavy, Sandbox(memory="40M"), "allocate", 30 * MEGABYTE)
        beyond = do(heavy, Sandbox(memory="40M"), "allocate", 45 * MEGABYTE)
    assert small.result == large.result == 30 * MEGABYTE
    assert beyond.error == "MemoryError"


def test_cpu_ends_a_loop_and_says_how_much_was_used(template: forkcore.Template) -> None:
    """SIGXCPU, and the parent can tell of which limit it speaks."""
    sandbox = Sandbox(cpu=1)
    ended = do(template, sandbox, "spin")
    assert ended.status.signal == signal.SIGXCPU
    text = sandbox.explain(ended.status)
    match = re.fullmatch(r"sandbox limit cpu=1: (\d+\.\d+) seconds of CPU time were used", text or "")
    assert match
    assert 0.1 < float(match[1]) < 5  # by ticks it was a second; a busy machine counts otherwise


def test_other_ends_are_not_put_down_to_a_limit(ordinary: forkcore.Template) -> None:
    """A child that ends well, or by another signal, has met no limit of CPU time."""
    sandbox = Sandbox(cpu=1)
    assert sandbox.explain(do(ordinary, sandbox, "facts").status) is None
    with ordinary.fork().send_arg('["spin", []]').run("sandbox_targets:attempt") as child:
        child.kill()
        assert sandbox.explain(child.wait(timeout=20)) is None


def test_a_fork_bomb_stops_at_the_limit(ordinary: forkcore.Template) -> None:
    """So many processes and no more, whatever else the same user runs."""
    sandbox = Sandbox(processes=5)
    assert do(ordinary, sandbox, "fork_bomb", 5).result == 5
    beyond = do(ordinary, sandbox, "fork_bomb", 6)
    assert (beyond.error, beyond.errno) == ("BlockingIOError", "EAGAIN")
    assert beyond.notes == ("sandbox limit processes=5: 5 processes and threads beside the first are there now",)


def test_processes_of_others_do_not_count(ordinary: forkcore.Template) -> None:
    """Not even those that the same user starts later: in a user namespace of its own, the child is counted alone."""
    require_namespaces("ordinary")
    before = do(ordinary, None, "facts").result["user_namespace"]
    assert do(ordinary, Sandbox(processes=5), "facts").result["user_namespace"] != before


def test_an_operation_that_would_block_is_no_limit(ordinary: forkcore.Template) -> None:
    """Its error is that of a fork at the limit, with another reason."""
    empty = do(ordinary, Sandbox(processes=5), "read_empty_pipe")
    assert (empty.errno, empty.notes) == ("EAGAIN", ())


def test_threads_count_as_processes(ordinary: forkcore.Template) -> None:
    """The kernel counts both."""
    sandbox = Sandbox(processes=3)
    assert do(ordinary, sandbox, "start_threads", 3).result == 3
    beyond = do(ordinary, sandbox, "start_threads", 4)
    assert beyond.error == "RuntimeError"
    assert beyond.notes[0].startswith("sandbox limit processes=3: ")


@pytest.mark.skipif("root" not in IDENTITIES, reason="is for root")
def test_processes_of_root_are_not_counted_unless_it_becomes_somebody() -> None:
    """An error that names the remedy, and the remedy works."""
    with make_template("root") as template:
        with pytest.raises(SandboxUnavailable, match=r"processes=5 needs an ordinary user.*user='nobody'"):
            do(template, Sandbox(processes=5), "fork_bomb", 1)
        sandbox = Sandbox(processes=5, user="nobody")
        assert do(template, sandbox, "fork_bomb", 5).result == 5
        assert do(template, sandbox, "fork_bomb", 6).errno == "EAGAIN"


@pytest.mark.skipif("root" not in IDENTITIES, reason="is for root")
def test_root_under_another_name_is_not_counted_either() -> None:
    """Who is root outside of a user namespace is not to be told from others inside: it is tried."""
    require_user_namespaces()
    with forkcore.new(cwd="/").eval("import sandbox_targets; sandbox_targets.become_ordinary_in_name()") as template:
        assert do(template, None, "facts").result["uid"] == 1000
        with pytest.raises(SandboxUnavailable, match=r"processes=5 needs an ordinary user"):
            do(template, Sandbox(processes=5), "fork_bomb", 1)


def test_processes_are_limited_without_user_namespaces_too() -> None:
    """The processes that the user has are counted before, then."""
    with make_template("ordinary", "namespaces") as template:
        beyond = do(template, Sandbox(processes=5), "fork_bomb", 40)
    assert beyond.errno == "EAGAIN"
    assert beyond.notes[0].startswith("sandbox limit processes=5: ")


@pytest.mark.parametrize(
    ("limit", "within", "beyond", "error"),
    [
        ({"memory": "64M"}, ("allocate", 50 * MEGABYTE), ("allocate", 65 * MEGABYTE), "MemoryError"),
        ({"open_files": 5}, ("open_many", 5), ("open_many", 6), "OSError"),
    ],
    ids=["memory", "open_files"],
)
def test_limits_where_proc_is_hidden(
    with_namespaces: forkcore.Template,
    limit: dict[str, Any],
    within: tuple[str, int],
    beyond: tuple[str, int],
    error: str,
) -> None:
    """What is in use is counted before it is; afterwards it cannot be said how much is used."""
    sandbox = Sandbox(hide=["/proc"], **limit)
    assert do(with_namespaces, sandbox, "names", "/proc").result == []
    assert do(with_namespaces, sandbox, *within).result == within[1]
    refused = do(with_namespaces, sandbox, *beyond)
    assert refused.error == error
    (name,) = limit
    assert refused.notes[-1].startswith(f"sandbox limit {name}=")
    assert refused.notes[-1].endswith("how much is used is not to be seen without /proc")


@pytest.mark.parametrize("identity", IDENTITIES)
def test_processes_where_proc_is_hidden(identity: str) -> None:
    """They are counted before, or in a user namespace, and the user keeps its name."""
    require_namespaces(identity)
    sandbox = Sandbox(hide=["/proc"], processes=5, user="nobody" if identity == "root" else None)
    with make_template(identity) as template:
        assert do(template, sandbox, "user_number").result == (65534 if identity == "root" else ORDINARY)
        assert do(template, sandbox, "fork_bomb", 5).result == 5
        beyond = do(template, sandbox, "fork_bomb", 6)
        assert beyond.errno == "EAGAIN"
        assert beyond.notes == ("sandbox limit processes=5: how much is used is not to be seen without /proc",)
        assert do(template, sandbox, "read_empty_pipe").notes == ()


def test_open_files_are_counted_from_what_is_open(template: forkcore.Template) -> None:
    """So many, and no more; the error says so."""
    beyond = do(template, Sandbox(open_files=7), "open_many", 100)
    assert (beyond.error, beyond.errno) == ("OSError", "EMFILE")
    assert beyond.notes == (
        "opened 7",
        "sandbox limit open_files=7: 7 beyond the template's are open now",
    )
    assert do(template, Sandbox(open_files=7), "open_many", 7).result == 7


def test_open_files_above_what_the_system_allows(template: forkcore.Template) -> None:
    """As many as the system allows: a limit that cannot be reached is set at once."""
    assert do(template, Sandbox(open_files=(1 << 31) - 1), "open_many", 7).result == 7


def test_file_size(template: forkcore.Template, tmp_path: Path) -> None:
    """A larger file is cut off there, with an error and no signal."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o666)
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    sandbox = Sandbox(file_size="1M")
    assert do(template, sandbox, "write", str(path), MEGABYTE).result == MEGABYTE
    beyond = do(template, sandbox, "write", str(path), MEGABYTE + 1)
    assert (beyond.error, beyond.errno) == ("OSError", "EFBIG")
    assert beyond.notes == (f"sandbox limit file_size={MEGABYTE}: a file reached it",)
    assert path.stat().st_size == MEGABYTE


def test_core_dumps_and_niceness(template: forkcore.Template) -> None:
    """No core files, and a lower priority than the template's."""
    before = do(template, None, "facts").result
    found = do(template, Sandbox(core_dumps=False, nice=3), "facts").result
    assert found["core"] == [1, 1]  # 0 does not keep the kernel from handing a core to a program
    assert found["nice"] == before["nice"] + 3


def test_an_error_of_the_function_names_the_limit(template: forkcore.Template, tmp_path: Path) -> None:
    """Where nobody catches it, the traceback that the child prints says which limit it was."""
    output = tmp_path / "output"
    code = f"import os\nos.dup2(os.open({str(output)!r}, os.O_WRONLY | os.O_CREAT), 2)"
    with forkcore.new().eval(code).eval("def work(channel):\n    bytearray(99 << 20)") as printing:
        child = printing.fork().run(":work", sandbox=Sandbox(memory="32M"))
        with child:
            assert child.wait(timeout=20).code == 1
    assert f"MemoryError\nsandbox limit memory={32 * MEGABYTE}: " in output.read_text()
