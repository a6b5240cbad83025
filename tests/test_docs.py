"""The examples of the documentation run, and print what the pages say.

Three kinds of block are examples; CONTRIBUTING.md shows them to writers:

- ``python``: evaluated in this process, in a namespace that the blocks of a page share; doctests too.
- ``{code-block}`` with a ``:caption:``: a file of that name in the page's own folder.
- ``console``: the commands after ``$``, run in that folder; what follows each is its output.

A line of three dots stands for any number of lines, three dots within a line for any text.
"""

from __future__ import annotations

import difflib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sandbox_runs import IDENTITIES, require_namespaces
from sybil import Document, Example, Region
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser
from sybil.parsers.myst.lexers import DirectiveLexer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sybil.typing import Parser

ROOT = Path(__file__).resolve().parent.parent

NEED_NAMESPACES = ("docs/how-to/limit-a-child.md", "docs/how-to/limit-a-test.md")

COMMAND_TIMEOUT = 120  # seconds, so that an example that hangs is named; none of them takes as long


def captioned_files(document: Document) -> Iterable[Region]:
    """Find the blocks that are files: a parser, in sybil's words."""
    for region in DirectiveLexer("code-block", arguments=".+")(document):
        name = region.lexemes["options"].get("caption")
        if name:
            yield Region(region.start, region.end, (name, region.lexemes["source"]), write_file)


def write_file(example: Example) -> None:
    """Put a captioned block where its caption says, below the current folder."""
    name, source = example.parsed
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")


def run_commands(example: Example) -> str | None:
    """Run the commands of a ``console`` block one by one; returns what is wrong with the first that is not as shown."""
    for command, expected in commands_in(example.parsed):
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=readers_environment(),
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        if not expected and done.returncode:
            return f"$ {command}\nexit status {done.returncode}\n{done.stdout}"
        if expected and not matches(expected, done.stdout):
            shown_and_real = expected.splitlines(), done.stdout.splitlines()
            return "\n".join([f"$ {command}", *difflib.ndiff(*shown_and_real)])
    return None


def commands_in(block: str) -> Iterator[tuple[str, str]]:
    """Split a ``console`` block into commands and the output that is shown for each."""
    before, *parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    if before.strip():
        message = f"output without a command: {before!r}"
        raise ValueError(message)
    for part in parts:
        command, _, output = part.partition("\n")
        yield command, output


def matches(expected: str, actual: str) -> bool:
    """Whether output is as shown, but for trailing blanks and what the dots stand for."""
    pattern = ""
    for line in expected.rstrip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.rstrip().split("..."))) + r"[ \t]*\n"
    return re.fullmatch(pattern, actual.rstrip() + "\n") is not None


def readers_environment() -> dict[str, str]:
    """Return what a reader's shell would have: this interpreter's programs, no colours, nothing of this run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for name in ("CI", "BUILD_NUMBER", "FORCE_COLOR", "PY_COLORS"):  # these change what pytest prints
        kept.pop(name, None)
    programs = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return kept | {"PATH": programs, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}


PARSERS: list[Parser] = [
    CodeBlockParser("console", run_commands),
    PythonCodeBlockParser(),
    SkipParser(),
    captioned_files,
]


def pages_with_examples() -> list[str]:
    """Return the pages, relative to the checkout, that have something to run."""
    pages = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return [str(page.relative_to(ROOT)) for page in pages if Document.parse(str(page), *PARSERS).regions]


@pytest.fixture
def page_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder to work in, as a reader has it; what was imported from there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or sys.executable).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.parametrize("page", pages_with_examples())
@pytest.mark.usefixtures("page_folder")
def test_examples(page: str) -> None:
    """A reader who types along sees what the page says."""
    if page in NEED_NAMESPACES:
        require_namespaces(IDENTITIES[0])
    for example in Document.parse(str(ROOT / page), *PARSERS).examples():
        example.evaluate()


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("one\ntwo", "one\ntwo\n"),
        ("one\n...\nfour", "one\ntwo\nthree\nfour\n"),
        ("one\n...\ntwo", "one\ntwo\n"),
        ("took ... s", "took 0.12 s   \n"),
    ],
)
def test_output_as_shown(expected: str, actual: str) -> None:
    """Dots match what they stand for, nothing included."""
    assert matches(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("one", "one\ntwo\n"),
        ("one\n...\nfour", "one\ntwo\nthree\n"),
        ("took ... s", "took 0.12\ns\n"),
        ("1 passed", "1xpassed\n"),
        ("a.c", "abc\n"),
    ],
)
def test_output_not_as_shown(expected: str, actual: str) -> None:
    """Output that is missing, left over or different is found."""
    assert not matches(expected, actual)


def test_wrong_example_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that shows output which its command does not print fails, and the message has both."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo real\nshown\n```\n", encoding="utf-8")
    (example,) = Document.parse(str(page), *PARSERS).examples()
    with pytest.raises(AssertionError, match=r"(?s)line 1.*- shown\n.*\+ real"):
        example.evaluate()


def test_failing_command_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command for which no output is shown has to succeed."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```console\n$ exit 3\n```\n", encoding="utf-8")
    (example,) = Document.parse(str(page), *PARSERS).examples()
    with pytest.raises(AssertionError, match="exit status 3"):
        example.evaluate()


def test_decisions_are_numbered() -> None:
    """One after another, in the file's name and in the heading."""
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    headings = [record.read_text(encoding="utf-8").partition(". ")[0] for record in records]
    assert headings == [f"# {int(record.name[:4])}" for record in records]
    assert [record.name[:4] for record in records] == [f"{number:04}" for number in range(1, len(records) + 1)]


def test_the_tree_is_as_it_is_drawn() -> None:
    """The picture in the page is what the script makes."""
    trees = runpy.run_path(str(ROOT / "docs" / "trees.py"))
    drawn = trees["draw"](trees["TREE"], trees["LABEL"])
    assert (ROOT / "docs" / "pictures" / "snapshots.svg").read_text(encoding="utf-8") == drawn
