"""Templates: what is queued, cloned, passed, handed over, and what is refused."""

from __future__ import annotations

import io
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import pytest
from targets import receive, result

import forkcore
import forkcore.early

from helpers import PATIENCE, is_gone, process_state, title, wait_for


def test_three_ways_to_work() -> None:
    """The default template, a template of one's own, and a fresh interpreter."""
    assert result(forkcore.new().send_arg(b"1").run("targets:echo_arguments")) == (b"1",)
    with forkcore.new() as own:
        own.preload("targets").send_arg(b"all")
        pool = [own.fork().send_arg(b"%d" % n).run("targets:echo_arguments") for n in range(5)]
        assert [result(child) for child in pool] == [(b"all", b"%d" % n) for n in range(5)]
    assert result(forkcore.new_exec().send_arg(b"2").run("targets:echo_arguments")) == (b"2",)


def test_calls_can_be_chained_and_keep_their_order(template: forkcore.Template) -> None:
    """First in, first out, for code and for arguments."""
    template.eval("seen = [1]").send_arg(b"a").eval("seen.append(2)").preload("targets")
    template.eval("def show(channel, *args):\n    import targets; targets.reply(channel, (seen, args))")
    assert result(template.send_arg(b"b", "c").run(":show")) == ([1, 2], (b"a", b"b", b"c"))


def test_a_clone_is_a_snapshot(template: forkcore.Template) -> None:
    """What comes after fork on either side is not seen on the other."""
    template.eval("x = 1\ndef show(channel, *args):\n    import targets; targets.reply(channel, (x, args))")
    clone = template.fork()
    template.eval("x = 2").send_arg(b"template")
    clone.send_arg(b"clone")
    grandchild = clone.fork()
    clone.eval("x = 3")
    assert result(grandchild.run(":show")) == (1, (b"clone",))
    assert result(clone.run(":show")) == (3, (b"clone",))
    assert result(template.run(":show")) == (2, (b"template",))


def test_a_spent_template_is_refused(template: forkcore.Template) -> None:
    """After run, close and detach every call raises ObjectSpent."""
    ran, closed = template.fork(), template.fork()
    result(ran.run("targets:echo_arguments"))
    closed.close()
    closed.close()
    detached = template.fork()
    detached.detach().close()
    for spent in (ran, closed, detached):
        for call in (
            spent.fork,
            spent.ready,
            spent.preload,
            spent.fileno,
            lambda spent=spent: spent.run("targets:nothing"),
            lambda spent=spent: spent.send_arg(b""),
            lambda spent=spent: spent.send_fd(0),
            lambda spent=spent: spent.eval(""),
            lambda spent=spent: spent.pid,
        ):
            with pytest.raises(forkcore.ObjectSpent):
                call()


def test_dropping_a_template_ends_its_process_with_a_warning(template: forkcore.Template) -> None:
    """Closed by the collector, which warns; a lazy clone has no process and needs no close."""
    clone = template.fork()
    pid = clone.pid
    with pytest.warns(ResourceWarning, match="was not closed"):
        del clone
    wait_for(lambda: is_gone(pid), "ended")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        template.fork()


def test_files_arrive_as_what_they_were(template: forkcore.Template, tmp_path: Path) -> None:
    """Sockets, files of each mode, and bare descriptors."""
    path = tmp_path / "file"
    path.write_text("x")
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        path.open("r", encoding="latin-1", errors="replace") as text,
        path.open("rb") as binary,
        path.open("ab", buffering=0) as raw,
        path.open("r+", encoding="utf-8") as both,
        tempfile.NamedTemporaryFile("w", encoding="utf-16") as wrapped,
    ):
        inode = os.fstat(binary.fileno()).st_ino
        template.send_fd(theirs, text, binary, raw, both, binary.fileno()).send_fd(wrapped)
        found = result(template.run("targets:describe"))
    assert [one["type"] for one in found] == [
        "socket",
        "TextIOWrapper",
        "BufferedReader",
        "FileIO",
        "TextIOWrapper",
        "int",
        "TextIOWrapper",
    ]
    assert [one["mode"] for one in found[1:5]] == ["r", "rb", "ab", "r+"]
    assert (found[1]["encoding"], found[1]["errors"]) == ("latin-1", "replace")
    assert found[6]["encoding"] == "utf-16"
    assert all(one["inode"] == inode for one in found[1:6])


@pytest.mark.parametrize(
    ("newline", "lines"), [(None, ["a\n", "b\n"]), ("", ["a\r\n", "b\n"]), ("\r\n", ["a\r\n", "b\n"])]
)
def test_text_files_keep_the_newline_that_is_given(
    template: forkcore.Template, tmp_path: Path, newline: str | None, lines: list[str]
) -> None:
    """A file object does not tell how it treats line ends, so it is said."""
    path = tmp_path / "file"
    path.write_bytes(b"a\r\nb\n")
    template.eval("def read(channel, *args):\n    import targets; targets.reply(channel, [list(one) for one in args])")
    with path.open() as plain, path.open("rb") as binary:
        template.send_fd(plain, binary, newline=newline)
        assert result(template.run(":read")) == [lines, [b"a\r\n", b"b\n"]]


def test_things_that_cannot_be_passed_are_refused(template: forkcore.Template) -> None:
    """Neither a text nor a memory file has a descriptor, and a bool is a mistake."""
    for thing in ("0", True, None):
        with pytest.raises(TypeError):
            template.send_fd(thing)  # type: ignore[arg-type]
    with pytest.raises(io.UnsupportedOperation):
        template.send_fd(io.BytesIO())
    with pytest.raises(ValueError, match="illegal newline"):
        template.send_fd(0, newline="x")
    with pytest.raises(TypeError):
        template.send_arg(5)  # type: ignore[arg-type]


def test_buffered_output_is_flushed_before_it_is_passed(template: forkcore.Template, tmp_path: Path) -> None:
    """What the parent wrote comes before what the child writes."""
    path = tmp_path / "file"
    with path.open("w") as file:
        file.write("parent\n")
        template.send_fd(file)
        template.eval("def write(channel, file):\n    file.write('child\\n')")
        with template.run(":write") as child:
            assert child.wait().code == 0
    assert path.read_text() == "parent\nchild\n"


@pytest.mark.parametrize("materialise", [False, True])
@pytest.mark.parametrize("size", [0, 1, 40_000, 64 * 1024 * 1024])
def test_arguments_of_any_size(template: forkcore.Template, size: int, materialise: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """From nothing to 64 MiB, several of them."""
    clone = template.fork()
    if materialise:
        clone.ready()
    clone.send_arg(b"x" * size, b"", b"y" * size)
    assert result(clone.run("targets:lengths")) == [size, 0, size]


def test_an_argument_above_the_limit_is_refused(template: forkcore.Template) -> None:
    """One byte more than 64 MiB raises, and the template works on."""
    with pytest.raises(forkcore.FrameTooLarge):
        template.send_arg(bytes(64 * 1024 * 1024 + 1))
    assert result(template.run("targets:lengths")) == []


def test_a_thousand_files_in_order_between_arguments(template: forkcore.Template) -> None:
    """1,000 descriptors and 1,000 arguments arrive in their order, whole."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        with forkcore.new_exec() as own, tempfile.TemporaryDirectory() as folder:
            clone = own.fork()
            inodes = []
            for number in range(1000):
                with Path(folder, str(number)).open("w") as file:
                    inodes.append(os.fstat(file.fileno()).st_ino)
                    clone.send_fd(file).send_arg(b"%d" % number)
            found = result(clone.run("targets:describe"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [one["inode"] for one in found[::2]] == inodes
    assert [one["data"] for one in found[1::2]] == [b"%d" % number for number in range(1000)]


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600", "\udc80"])
def test_a_failure_with_a_long_text_is_cut_off(template: forkcore.Template, tmp_path: Path, letter: str) -> None:
    """The head of the message and the end of the traceback come through, and the template goes on."""
    (tmp_path / "failing.py").write_text(f"raise ImportError('it ' + {letter!a} * 100_000 + ' end')")
    sys_path = [str(tmp_path), *sys.path]
    shown = letter.encode("utf-8", "backslashreplace").decode()
    with (
        template.fork(sys_path=sys_path).run("failing:work") as child,
        pytest.raises(forkcore.TargetNotFound, match=f"^'failing:work' was not found: it {re.escape(shown)}") as caught,
    ):
        child.wait(timeout=20)
    assert f"{shown} end\n" in caught.value.remote_traceback
    with template.fork(sys_path=sys_path).run("targets:nothing") as child:
        assert child.wait(timeout=20).code == 0


def test_a_failure_comes_before_the_end_of_its_child(template: forkcore.Template, tmp_path: Path) -> None:
    """Whatever the template hears of first: here, of both at once."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "failing.py").write_text(f"open({str(gate)!r}).close()\nraise ImportError('on purpose')")
    child = template.fork(sys_path=[str(tmp_path), *sys.path]).run("failing:work")
    assert child.pid
    os.kill(template.pid, signal.SIGSTOP)
    try:
        gate.open("w").close()
        wait_for(lambda: process_state(child.pid).endswith("Z"), "failed and gone")
    finally:
        os.kill(template.pid, signal.SIGCONT)
    with child, pytest.raises(forkcore.TargetNotFound, match="on purpose"):
        child.wait(timeout=20)


def test_children_collect_nothing_of_the_template(template: forkcore.Template) -> None:
    """Its objects are frozen: a collection would write to them all, and so copy each page."""
    template.eval("def count(channel):\n    import gc, targets; targets.reply(channel, gc.get_freeze_count())")
    assert result(template.fork().run(":count")) > 1000


def test_take_args_clears_what_was_sent(template: forkcore.Template) -> None:
    """Code in the template takes arguments; later children do not get them."""
    template.send_arg(b"a", b"b")
    template.eval("import forkcore\ntaken = forkcore.take_args()")
    template.eval("def show(channel, *args):\n    import targets; targets.reply(channel, (taken, args))")
    template.send_arg(b"c")
    assert result(template.run(":show")) == ([b"a", b"b"], (b"c",))
    with pytest.raises(RuntimeError):
        forkcore.take_args()


def test_hand_over_to_another_process(template: forkcore.Template) -> None:
    """An idle template goes as a socket to a child, which takes it up and runs it."""
    sock = template.fork().preload("targets").send_arg(b"first").detach()
    code = (
        "import forkcore, targets\n"
        "def use(channel, sock):\n"
        "    with forkcore.adopt(sock) as own:\n"
        "        child = own.fork().send_arg(b'second').run('targets:echo_arguments')\n"
        "        one = targets.result(child)\n"
        "        child = own.run('targets:echo_arguments')\n"
        "        targets.reply(channel, (one, targets.receive(child.channel), child.wait().code))\n"
    )
    with sock:
        child = template.eval(code).send_fd(sock).run(":use")
    assert result(child) == ((b"first", b"second"), (b"first",), 0)


def test_an_adopted_template_has_no_pid(template: forkcore.Template) -> None:
    """Its pid is not known here; it runs functions, and its end is seen."""
    adopted = forkcore.adopt(template.fork().detach())
    with pytest.raises(forkcore.ForkcoreError, match="not known"):
        assert adopted.pid
    assert result(adopted.send_arg(b"x").run("targets:echo_arguments")) == (b"x",)


def test_detach_is_refused_while_children_run(template: forkcore.Template) -> None:
    """Their exit status would be lost."""
    with template.fork().run("targets:wait_for_end"), pytest.raises(ValueError, match="running"):
        template.detach()


def test_titles_that_ps_shows(template: forkcore.Template) -> None:
    """An idle process and a running child say what they are; titles can be given."""
    with forkcore.new_exec() as own, forkcore.new_exec(title="mine") as named:
        assert title(own.ready().pid) == "forkcore template"
        assert title(named.ready().pid) == "mine"
        with own.fork().run("targets:wait_for_end") as child:
            assert child.channel.recv(4) == b"here"
            assert title(child.pid) == "forkcore: targets:wait_for_end"
            assert Path(f"/proc/{child.pid}/comm").read_text() == "forkcore:target\n"
            assert title(own.pid) == "forkcore template"
            assert Path(f"/proc/{own.pid}/comm").read_text() == "forkcore_templa\n"
        with own.fork().run("targets:wait_for_end", title="child of mine") as child:
            assert child.channel.recv(4) == b"here"
            assert title(child.pid) == "child of mine"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("title", ["", "two words"])
def test_a_template_that_is_nice(title: str) -> None:
    """CPython does not take its niceness for a number of threads, and warns of none."""
    code = (
        "import forkcore\n"
        f"with forkcore.new_exec(title={title!r} or None).eval('import warnings').ready() as template:\n"
        f"    children = [template.fork().run('operator:index', title={title!r} or None) for _ in range(3)]\n"
        "    print([child.wait().code for child in children])\n"
    )
    command = ["nice", "-n", "5", sys.executable, "-W", "always", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "DeprecationWarning" not in done.stderr
    assert done.stdout == "[1, 1, 1]\n", done.stderr  # the function is called with a socket, and fails


def test_new_exec_takes_what_subprocess_takes(tmp_path: Path) -> None:
    """env, cwd, umask, pass_fds, flags, sys_path, and an interpreter of one's own."""
    interpreter = tmp_path / "python"
    interpreter.symlink_to(sys.executable)
    read, write = os.pipe()
    try:
        child = forkcore.new_exec(
            env={"ONLY": "this"},
            cwd=tmp_path,
            umask=0o77,
            pass_fds=[write],
            flags=["-X", "utf8", "-W", "ignore::UserWarning"],
            sys_path=["/nowhere", *sys.path],
            interpreter=interpreter,
        ).run("targets:facts")
        found = result(child)
    finally:
        os.close(read)
        os.close(write)
    assert {name: value for name, value in found["env"].items() if name != "LC_CTYPE"} == {"ONLY": "this"}
    assert found["cwd"] == str(tmp_path)
    assert found["umask"] == 0o77
    assert write in found["fds"]
    assert found["xoptions"]["utf8"] is True
    assert "ignore::UserWarning" in found["warnoptions"]
    assert found["path"][0] == "/nowhere"
    assert found["executable"] == str(interpreter)


@pytest.mark.parametrize("call", ["forkcore.fork_here()", "forkcore.early.install()"])
def test_an_isolated_subinterpreter_is_not_forked(call: str) -> None:
    """It says so, and the program goes on; one that is executed works where Python lets programs start."""
    is_new = sys.version_info >= (3, 13)
    inner = f"""
import os, sys
import forkcore, forkcore.early
open_before = len(os.listdir("/proc/self/fd"))
try:
    {call}
except RuntimeError as error:
    assert "fork" in str(error) and "subinterpreter" in str(error), error
    assert len(os.listdir("/proc/self/fd")) == open_before
    print("refused", flush=True)
if sys.version_info >= (3, 12):
    with forkcore.new_exec() as template:
        child = template.fork().run("targets:nothing")
        child.channel.close()
        assert child.wait().code == 0
"""
    module, function = ("_interpreters", "exec") if is_new else ("_xxsubinterpreters", "run_string")
    program = f"import {module} as found\nprint(found.{function}(found.create(), {inner!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\nNone\n", "")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a subinterpreter of CPython 3.11 starts no programs")
@pytest.mark.parametrize(
    "use",
    [
        "template = forkcore.new(); template.run('targets:nothing').wait(); template.close()",
        "forkcore.new().run('targets:nothing').wait()",
        pytest.param(
            "executor = forkcore.executor.ForkExecutor(); assert executor.submit(pow, 2, 3).result() == 8",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 13), reason="any thread that a subinterpreter leaves is fatal to CPython 3.12"
            ),
        ),
    ],
    ids=["closed", "open", "executor"],
)
def test_a_program_ends_that_leaves_a_subinterpreter_behind(use: str) -> None:
    """It is ended while the main one goes: what it has open must not wait for what is gone by then."""
    is_new = sys.version_info >= (3, 13)
    module, function = ("_interpreters", "exec") if is_new else ("_xxsubinterpreters", "run_string")
    configuration = "'legacy'" if is_new else "isolated=False"
    program = (
        f"import {module} as found\n"
        f"found.{function}(found.create({configuration}), {'import forkcore, forkcore.executor; ' + use!r})"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_search_path_with_entries_that_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports of the program pass over them, and so does what it starts."""
    previous = sys.path
    monkeypatch.setattr(sys, "path", [None, *previous, 3, b"/bytes", Path("/path")])
    found = result(forkcore.new_exec().run("targets:facts"))
    assert set(previous) <= set(found["path"])
    assert {"/bytes", "/path"}.isdisjoint(found["path"])


@pytest.mark.parametrize("executable", ["", "/bin/sh"])
def test_a_program_with_python_built_in_executes_the_installed_one(
    executable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no sys.executable, or it is such a program; one that is given comes first."""
    monkeypatch.setattr(sys, "executable", executable)
    found = result(forkcore.new_exec().run("targets:facts"))["executable"]
    assert Path(found).parent == Path(sys.exec_prefix, "bin")
    assert Path(found).name.startswith("python")
    with forkcore.new_exec(interpreter="/bin/false") as own, pytest.raises(forkcore.TemplateDied):
        own.ready(timeout=20)


def test_a_frozen_program_has_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the two remedies."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(FileNotFoundError, match=r"early\.install.*interpreter="):
        forkcore.new_exec()


@pytest.mark.parametrize("flags", [["-E"], ["-I"], ["-X", "dev"], ["-W", "error"], ["-O"]])
def test_interpreter_flags_of_the_parent_carry_over(flags: list[str]) -> None:
    """As subprocess and multiprocessing do it; and the child sees the parent's sys.path."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import forkcore, targets\n"
        "found = targets.result(forkcore.new().run('targets:facts'))\n"
        "assert found['path'] == sys.path\n"
        "assert found['warnoptions'] == sys.warnoptions, (found['warnoptions'], sys.warnoptions)\n"
        "assert found['xoptions'] == sys._xoptions\n"
        "mine = [*sys.flags]; theirs = [*found['flags']]\n"
        "mine[6] = theirs[6] = 0  # no_site\n"
        "assert mine == theirs, (mine, theirs)\n"
    )
    subprocess.run([sys.executable, *flags, "-c", code], check=True, timeout=60)


def test_signals_are_as_in_a_program_of_its_own(template: forkcore.Template) -> None:
    """Handlers, mask and wake-up descriptor of the server are not in the child."""
    for child in (template.fork().run("targets:facts"), forkcore.new_exec().run("targets:facts")):
        found = result(child)
        assert found["sigint"]
        assert found["sigchld"]
        assert found["mask"] == []
        assert found["wakeup"] == -1
        assert found["channel_blocking"]


def test_handlers_of_the_program_are_not_in_a_template_of_it() -> None:
    """fork_here sets Python's handlers back, in the template and in its children."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        with forkcore.fork_here() as own:
            found = result(own.fork().run("targets:facts"))
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    assert found["sigterm"]
    assert found["sigint"]
    assert found["mask"] == []
    assert found["channel"] == "socket.socket"


def test_fork_here_sees_what_is_loaded() -> None:
    """Names of the namespace and of this program's modules are there."""
    secret = object()

    def show(channel: socket.socket) -> None:
        channel.sendall(str(id(secret)).encode())

    with forkcore.fork_here(namespace={"show": show}) as own:
        child = own.fork().run(":show")
        assert child.channel.recv(100) == str(id(secret)).encode()
        with child:
            assert child.wait().code == 0


def test_output_is_written_once(capfd: pytest.CaptureFixture[str]) -> None:
    """What is in a buffer at the fork is not written by each child again."""
    code = (
        "import forkcore, sys, targets\n"
        "print('before')\n"
        "own = forkcore.fork_here()\n"
        "own.eval('print(\"in the template\")')\n"
        "for _ in range(3):\n"
        "    with own.fork().run('targets:print_something') as child: pass\n"
        "own.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["before", "in the template", *["from the child"] * 3]


def test_threads_are_a_hazard() -> None:
    """fork_here refuses, names the thread, and obeys allow_hazards."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="hazardous-1")
    thread.start()
    try:
        with pytest.raises(forkcore.ForkHazard, match="hazardous-1") as caught:
            forkcore.fork_here()
        assert caught.value.hazards == ("hazardous-1",)
        with pytest.raises(forkcore.ForkHazard):
            forkcore.fork_here(allow_hazards=["other", "hazard"])
        for allowed in (True, ["hazardous-*"], ["hazardous-1"], "hazardous-1"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of os.fork since 3.12
                own = forkcore.fork_here(allow_hazards=allowed)
            with own:
                assert result(own.fork().run("targets:echo_arguments")) == ()
    finally:
        stop.set()
        thread.join()


def test_a_running_loop_is_a_hazard() -> None:
    """fork_here in a coroutine is refused."""
    import asyncio

    async def main() -> None:
        with pytest.raises(forkcore.ForkHazard, match="asyncio loop"):
            forkcore.fork_here()

    asyncio.run(main())


def test_threads_in_a_template_are_a_hazard(template: forkcore.Template) -> None:
    """A template whose code has started a thread does not fork, unless it is allowed."""
    template.eval(
        "import threading\n"
        "stop = threading.Event()\n"
        "threading.Thread(target=stop.wait, name='in-template', daemon=True).start()"
    ).ready()
    child = template.fork().run("targets:nothing")
    with pytest.raises(forkcore.ForkHazard) as caught:
        child.wait()
    assert caught.value.hazards == ("in-template",)
    assert child.channel.recv(1) == b""
    child.channel.close()
    with pytest.raises(forkcore.ForkHazard), template.fork() as clone:
        clone.ready()
    template.allow_hazards("in-template")
    template.eval("import warnings; warnings.simplefilter('ignore')")
    assert result(template.fork().run("targets:echo_arguments")) == ()
    template.eval("stop.set()").ready()


def test_early_template() -> None:
    """From install on nothing is executed, whatever the program has become since."""
    code = (
        "import forkcore, forkcore.early, sys, targets\n"
        "value = 'early'\n"
        "forkcore.early.install(); forkcore.early.install()\n"
        "assert forkcore.early.is_installed()\n"
        "sys.frozen = True  # as PyInstaller and its like set it\n"
        "import threading\n"
        "stop = threading.Event(); threading.Thread(target=stop.wait).start()\n"
        "value = 'late'\n"
        "for make in (forkcore.new, forkcore.new_exec):\n"
        "    template = make().eval('import __main__\\ndef show(channel):"
        " channel.sendall(__main__.value.encode())')\n"
        "    with template.run(':show') as child: assert child.channel.recv(99) == b'early'\n"
        "stop.set()\n"
        "forkcore._context.DEFAULT.close()\n"
        "try: forkcore.new_exec()\n"
        "except FileNotFoundError: pass\n"
        "else: raise AssertionError\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_numpy_is_reseeded(template: forkcore.Template) -> None:
    """The global generator differs in each child, unless reseed=False."""
    pytest.importorskip("numpy")
    template.preload("numpy.random")
    drawn = [result(template.fork().run("targets:random_numbers"))[1] for _ in range(3)]
    assert len(set(drawn)) == 3
    kept = [result(template.fork().run("targets:random_numbers", reseed=False))[1] for _ in range(2)]
    assert len(set(kept)) == 1


def test_a_fork_of_the_parent_leaves_templates_alone(template: forkcore.Template) -> None:
    """In an os.fork of this process, templates are lost, and the parent's go on."""
    template.ready()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                template.fork().ready()
            except forkcore.ForkcoreError:
                own = result(forkcore.new().send_arg(b"x").run("targets:echo_arguments"))
                code = 0 if own == (b"x",) else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert result(template.run("targets:echo_arguments")) == ()


def test_default_template_is_made_anew_after_its_death() -> None:
    """Whoever kills it does not disable forkcore.new for ever."""
    from forkcore._context import DEFAULT

    first = DEFAULT.default_template()
    pid = first.ready().pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid), "dead")
    assert result(forkcore.new().run("targets:echo_arguments")) == ()
    assert DEFAULT.default_template().pid != pid
    first.close()


def test_external_programs(template: forkcore.Template) -> None:
    """Spawning a program from a small process: the function replaces itself by it."""
    template.eval(
        "import posix\n"
        "def execute(channel, *command):\n"
        "    posix.dup2(channel.fileno(), 1)\n"
        "    posix.execv(command[0], command)"
    )
    child = template.send_arg("/bin/echo", "hello").run(":execute")
    assert child.channel.recv(100) == b"hello\n"
    with child:
        assert child.wait().code == 0


def test_a_worker_pool_accepts_on_a_shared_socket(template: forkcore.Template) -> None:
    """Several children accept on one listening socket that the template holds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        template.send_fd(listener)
        template.eval(
            "def serve(channel, listener):\n"
            "    connection, _ = listener.accept()\n"
            "    with connection: connection.sendall(b'served')"
        )
        workers = [template.fork().run(":serve") for _ in range(3)]
        for _ in workers:
            with socket.create_connection(listener.getsockname()) as client:
                assert client.recv(10) == b"served"
    for worker in workers:
        with worker:
            assert worker.wait().code == 0
            assert receive(worker.channel) is None
