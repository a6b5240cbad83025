"""Makes the pictures of terminals that the landing page and the README show, from real runs.

    python docs/pictures.py

needs the project and rich (the extra ``docs`` has it), and writes SVG files into docs/pictures.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent / "pictures"
WIDTH = 100
CRASH = """\
import ctypes


def parse(text):
    if "<" in text:
        ctypes.string_at(0)  # a bug in C: reads where nothing is
    return text


def test_words():
    assert parse("two words") == "two words"


def test_markup():
    print("parsing <b>")
    parse("<b>")


def test_numbers():
    assert parse("1 2 3") == "1 2 3"
"""


def run(arguments: list[str]) -> str:
    """Run pytest on the module above; give what it shows, with colours."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_parser.py").write_text(CRASH)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        command = [sys.executable, "-m", "pytest", "--color=yes", "--no-header", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment | {"COLUMNS": str(WIDTH), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout.replace(f"{folder}/", "")


def draw(name: str, title: str, text: str) -> None:
    """Write a picture of a terminal with this text."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    # Of a new run nothing may differ but what has changed: no times, no addresses of threads, no folders.
    steady = re.sub(r"in \d+\.\d\ds", "in 0.05s", re.sub(r"0x[0-9a-f]{8,}", "0x00007f1b2c3d4e5f", text))
    steady = re.sub(r'"[^"]*/lib/(python3\.\d+)/', r'"/usr/lib/\1/', steady)
    console.print(Text.from_ansi(steady))
    svg = console.export_svg(title=title, unique_id=name)
    # rich names fonts of a server; the reader's own will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")


def main() -> None:
    """Draw all pictures."""
    prompt = "\x1b[1m$ pytest --forked\x1b[0m\n"
    draw("first-crash", "a crash costs one test", prompt + run(["-p", "forkiso", "--forked"]))
    without = run(["-p", "no:forkiso"]).splitlines()
    shown = [line for line in without if not re.search(r"site-packages|<frozen|/lib/python", line)]
    draw("without", "the same without the plugin", "\x1b[1m$ pytest\x1b[0m\n" + "\n".join(shown))


if __name__ == "__main__":
    main()
