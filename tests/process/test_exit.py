"""Programs that end without having closed what they opened."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAMS = {
    "template": "template = forkcore.new_exec().ready()",
    "clone": "template = forkcore.new_exec(); clone = template.fork().ready()",
    "child": "child = forkcore.new_exec().run('targets:nothing')",
    "bound child": "channel = forkcore.new_exec().run('targets:stay_silently', die_with_parent=True).detach()",
    "asyncio": (
        "async def main():\n"
        "    global template\n"
        "    template = await forkcore.aio.new_exec().ready()\n"
        "asyncio.run(main())"
    ),
    "executor": "executor = forkcore.ForkExecutor(1); executor.submit(pow, 2, 3)",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_forgot_to_close_ends_quietly(program: str) -> None:
    """With exit code 0, and nothing on its standard error."""
    code = (
        "import asyncio, os, sys, forkcore\n"
        f"{PROGRAMS[program]}\n"
        # In a cycle with a module's namespace, so that it is destroyed as late as can be.
        "sys.modules['kept'] = kept = type(sys)('kept')\n"
        "kept.names = globals()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
