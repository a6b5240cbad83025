"""Draws the tree of templates that the page on snapshots of fixtures shows.

    python docs/trees.py

writes SVG files into docs/pictures. It needs nothing but Python.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parent / "pictures"
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2937; }
text.small { font-size: 11px; fill: #4b5563; }
rect { stroke-width: 1.5; rx: 6px; }
path { fill: none; stroke: #6b7280; stroke-width: 1.5; marker-end: url(#tip); }
.process { fill: #f3f4f6; stroke: #6b7280; }
.snapshot { fill: #dbeafe; stroke: #2563eb; }
.test { fill: #dcfce7; stroke: #16a34a; }
.later { stroke-dasharray: 5 4; }
"""
BOX_WIDTH, BOX_HEIGHT, GAP = 150, 46, 44


@dataclasses.dataclass(frozen=True)
class Box:
    """A process.

    Attributes:
        kind: "process", "snapshot" or "test".
        title: First line.
        text: Second line: what is set up there.
        column: Its middle, in widths of a box.
        row: From the top.
        above: The place of the process that it is forked from, in the list of boxes; None for pytest's own.
        is_later: It comes when what stands beside it is over.
    """

    kind: str
    title: str
    text: str
    column: float
    row: int
    above: int | None
    is_later: bool = False


LABEL = "A tree of processes: pytest, the template, snapshots of the session, of modules and a class, and tests"
TREE = [
    Box("process", "pytest", "collects", 2.0, 0, None),
    Box("process", "template", "nothing is set up", 2.0, 1, 0),
    Box("snapshot", "session", "corpus()", 2.0, 2, 1),
    Box("snapshot", "test_search.py", "index(corpus)", 1.0, 3, 2),
    Box("snapshot", "test_index.py", "store(corpus)", 3.6, 3, 2, is_later=True),
    Box("test", "test_words", "", 0.0, 4, 3),
    Box("test", "test_phrases", "", 1.0, 4, 3),
    Box("snapshot", "TestRank", "ranking(index)", 2.0, 4, 3),
    Box("test", "test_add", "", 3.1, 4, 4, is_later=True),
    Box("test", "test_remove", "", 4.1, 4, 4, is_later=True),
    Box("test", "test_first", "", 1.5, 5, 7),
    Box("test", "test_last", "", 2.5, 5, 7),
]


def draw(boxes: list[Box], label: str) -> str:
    """Give the picture as SVG.

    Args:
        boxes: Each after the one that it is forked from.
        label: What it shows, for whoever does not see it.
    """
    step = BOX_WIDTH + 14
    width = int(max(box.column for box in boxes) * step) + BOX_WIDTH + 8
    height = (max(box.row for box in boxes) + 1) * (BOX_HEIGHT + GAP) - GAP + 8
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{escape(label)}">'
        ),
        f"<style>{STYLE}</style>",
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" style="fill: #6b7280; stroke: none; marker-end: none"/></marker></defs>'
        ),
    ]
    for box in boxes:
        x, y = _corner(box)
        dashed = " later" if box.is_later else ""
        if box.above is not None:
            start_x, start_y = _corner(boxes[box.above])
            start, end, middle = start_x + BOX_WIDTH // 2, x + BOX_WIDTH // 2, y - GAP // 2
            line = f"M{start} {start_y + BOX_HEIGHT}C{start} {middle} {end} {middle} {end} {y}"
            parts.append(f'<path class="{dashed.strip()}" d="{line}"/>')
        parts.append(f'<rect class="{box.kind}{dashed}" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/>')
        place = x + BOX_WIDTH // 2
        parts.append(_text(place, y + (20 if box.text else 28), box.title, ""))
        if box.text:
            parts.append(_text(place, y + 37, box.text, "small"))
    return "\n".join([*parts, "</svg>", ""])


def _corner(box: Box) -> tuple[int, int]:
    return int(box.column * (BOX_WIDTH + 14)) + 4, box.row * (BOX_HEIGHT + GAP) + 4


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def main() -> None:
    """Write the pictures."""
    (FOLDER / "snapshots.svg").write_text(draw(TREE, LABEL), encoding="utf-8")


if __name__ == "__main__":
    main()
