"""Debuggers and profilers: at a terminal, attached over a socket, and from outside by process id."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inner_hosts import free_port, is_bound
from inner_terminal import terminal

from helpers import wait_for

if TYPE_CHECKING:
    from inner import Suite

WAITS = """
import os
import pathlib
import threading

def the_test_waits():
    pathlib.Path("pid").write_text(str(os.getpid()))
    os.rename("pid", "waits")
    threading.Event().wait(30)

def test_waits(): the_test_waits()
def test_after(): pass
"""


def test_ipdb(suite: Suite) -> None:
    """`import ipdb; ipdb.set_trace()` in a forked test, with -s, as without forks."""
    pytest.importorskip("ipdb")
    suite.write(
        test_debug="""
        def test_a():
            value = 41
            import ipdb; ipdb.set_trace()
            assert value == 42
        def test_b(): pass
        """
    )
    with terminal(suite, "-p", "forkiso", "--forked", "-s") as user:
        user.expect("ipdb>")
        user.type("p value + 1000\r")
        user.expect("1041")
        user.expect("ipdb>")
        user.type("value = 42\r")
        user.expect("ipdb>")
        user.type("c\r")
        user.expect("2 passed")
        assert user.finish().code == 0


def test_ipdb_as_the_debugger_of_pytest(suite: Suite) -> None:
    """--pdbcls and --pdb, after a failure."""
    pytest.importorskip("IPython")
    suite.write(test_debug="def test_a():\n    value = 41\n    assert value == 42")
    options = ["--pdb", "--pdbcls=IPython.terminal.debugger:TerminalPdb"]
    with terminal(suite, "-p", "forkiso", "--forked", *options) as user:
        user.expect("ipdb>")
        user.type("p value + 1000\r")
        user.expect("1041")
        user.expect("ipdb>")
        user.type("q\r")
        user.expect("1 failed")
        user.finish()


class Adapter:
    """Speaks the debug adapter protocol, as editors do."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._stream = self._socket.makefile("rwb")
        self._sequence = 0

    def send(self, command: str, **arguments: Any) -> None:
        """Send a request."""
        self._sequence += 1
        request = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self._stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._stream.flush()

    def expect(self, kind: str, name: str) -> Any:
        """Read until this response or event comes; give its body."""
        while True:
            length = 0
            while line := self._stream.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert length, f"the adapter has gone before {name} came"
            message = json.loads(self._stream.read(length))
            if message["type"] == kind and message.get("event", message.get("command")) == name:
                assert message.get("success", True), message
                return message.get("body")

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        self._socket.close()


def test_debugpy(suite: Suite) -> None:
    """A test listens, an editor attaches, finds a variable and lets it go on."""
    pytest.importorskip("debugpy")
    port = free_port("127.0.0.1")
    suite.write(
        test_debug=f"""
        import debugpy
        def test_a():
            value = 41
            debugpy.listen(("127.0.0.1", {port}))
            debugpy.wait_for_client()
            debugpy.breakpoint()
            assert value == 42
        def test_b(): pass
        """
    )
    process = suite.start("-p", "forkiso", "--forked", "-p", "no:faulthandler")
    wait_for(lambda: process.popen.poll() is not None or is_bound(port), process.output())
    adapter = Adapter(port)
    try:
        adapter.send("initialize", adapterID="test", clientID="test")
        adapter.expect("response", "initialize")
        adapter.send("attach", justMyCode=False)
        adapter.expect("event", "initialized")
        adapter.send("configurationDone")
        thread = adapter.expect("event", "stopped")["threadId"]
        adapter.send("stackTrace", threadId=thread)
        frame = adapter.expect("response", "stackTrace")["stackFrames"][0]
        assert frame["name"] == "test_a"
        adapter.send("evaluate", expression="value + 1000", frameId=frame["id"])
        assert adapter.expect("response", "evaluate")["result"] == "1041"
        adapter.send("setExpression", expression="value", value="42", frameId=frame["id"])
        adapter.expect("response", "setExpression")
        adapter.send("continue", threadId=thread)
        run = process.finish()
    finally:
        adapter.close()
    assert run.outcomes() == {"test_a": "passed", "test_b": "passed"}, run.out


def test_py_spy(suite: Suite) -> None:
    """By the process id of a test that runs: where it is."""
    spy = Path(sys.executable).with_name("py-spy")
    program = str(spy) if spy.exists() else shutil.which("py-spy")
    if program is None:
        pytest.skip("there is no py-spy")
    suite.write(test_waits=WAITS)
    process = suite.start("-p", "forkiso", "--forked", "--fork-timeout=60")
    waits = suite.path / "waits"
    wait_for(waits.exists, "the test runs")
    seen = subprocess.run(
        [program, "dump", "--pid", waits.read_text()], check=False, capture_output=True, text=True, timeout=30
    )
    process.popen.terminate()
    process.popen.wait(60)
    if seen.returncode and "ermission" in seen.stderr:
        pytest.skip(f"py-spy may not look at other processes here: {seen.stderr[-200:]}")
    assert "the_test_waits" in seen.stdout, seen.stderr
