"""Environment variables of a sandboxed process."""

from __future__ import annotations

import os
import sys

from forkcore._sandbox_mounts import PRIVATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CLEAN = ("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""Variables that a clean environment keeps, beside those that begin with LC_."""


def change(fields: Mapping[str, Any], *, has_private_folder: bool) -> None:
    """Set the variables of this process.

    Args:
        fields: As `forkcore.sandbox.Sandbox.fields` gives them.
        has_private_folder: Temporary files belong into ``/tmp``, whatever was set before.
    """
    wanted = fields.get("env")
    if wanted == "clean":
        for name in list(os.environ):
            if name not in CLEAN and not name.startswith("LC_"):
                del os.environ[name]
    elif wanted is not None:
        os.environ.clear()
        os.environ.update(wanted)
    if "home" in fields:
        os.environ["HOME"] = fields["home"]
    if not has_private_folder:
        return
    if "TMPDIR" in os.environ:
        os.environ["TMPDIR"] = PRIVATE
    tempfile: Any = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None  # documented: it is looked for anew
