"""Tables and machine-readable output; knows columns and cells, nothing about clusters.

`pretty` frames keep the shape that people's scripts and eyes know.  Only on a terminal too narrow
for it are headers broken into two lines, then the padding is dropped.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from tabulate import tabulate

FORMATS = ("pretty", "tsv", "json", "yaml", "yml")
Cell = str | int | float | bool | dict[str, Any] | list[Any] | None


@dataclass(frozen=True, slots=True)
class Column:
    """`title` is the key in json, yaml and tsv; `pretty` is the header in a frame, if different."""

    title: str
    align: Literal["left", "right"] = "left"
    pretty: str | None = None

    @property
    def header(self) -> str:
        """What stands above the column in a frame."""
        return self.title if self.pretty is None else self.pretty


def render(
    form: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], title: str = ""
) -> str:
    """The table as text in one of FORMATS; `title` is set into the frame's upper edge."""
    if form in ("yaml", "yml"):
        objects = _objects(columns, rows)
        return yaml.safe_dump(objects, allow_unicode=True, sort_keys=True).rstrip("\n")
    if form == "json":
        return json.dumps(_objects(columns, rows))
    if form == "tsv":
        lines = [[column.title for column in columns]]
        lines += [[cell_text(cell).replace("\n", " ") for cell in row] for row in rows]
        return "\n".join("\t".join(line) for line in lines)
    return frame(columns, rows, title, _terminal_width())


def frame(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    title: str = "",
    width: int | None = None,
) -> str:
    """A framed table; `width` is the terminal's, None for no limit."""
    headers = [column.header for column in columns]
    text = _draw(columns, headers, rows, title, padding=1)
    if width is None or _widest(text) <= width:
        return text
    broken = [header.replace(" ", "\n", 1) for header in headers]
    text = _draw(columns, broken, rows, title, padding=1)
    if _widest(text) <= width:
        return text
    return _draw(columns, broken, rows, title, padding=0)


def cell_text(cell: Cell) -> str:
    """A cell as text: nothing for None, YAML lines for objects."""
    if cell is None:
        return ""
    if isinstance(cell, dict | list):
        return yaml.safe_dump(cell, allow_unicode=True).rstrip("\n") if cell else ""
    return str(cell)


def _objects(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[dict[str, Cell]]:
    """Rows as objects keyed by column title, without empty values."""
    return [
        {
            column.title: cell
            for column, cell in zip(columns, row, strict=True)
            if cell not in (None, "", {}, [])
        }
        for row in rows
    ]


def _draw(
    columns: Sequence[Column],
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    title: str,
    padding: int,
) -> str:
    body = [[cell_text(cell) for cell in row] for row in rows]
    drawn = tabulate(
        body,
        headers,
        tablefmt="pretty",
        colalign=[column.align for column in columns] if body else None,
        headersalign=[column.align for column in columns],
        disable_numparse=True,
        preserve_whitespace=True,
    ).split("\n")
    drawn = _ruled(drawn, [max(cell.count("\n") + 1 for cell in row) for row in body])
    drawn = drawn if padding else _unpadded(drawn)
    return "\n".join([_titled(drawn[0], title), *drawn[1:]])


def _ruled(lines: list[str], heights: Sequence[int]) -> list[str]:
    """A ruler between the rows when one has several lines: else nobody could tell them apart."""
    if max(heights, default=1) == 1:
        return lines
    edge = lines[0]
    position = lines.index(edge, 1) + 1
    result = lines[:position]
    for height in heights:
        result += [*lines[position : position + height], edge]
        position += height
    return result


def _unpadded(lines: list[str]) -> list[str]:
    """The same frame without the blanks beside the bars."""
    bars = [index for index, mark in enumerate(lines[0]) if mark == "+"]
    blanks = {index + 1 for index in bars[:-1]} | {index - 1 for index in bars[1:]}
    return [
        "".join(mark for index, mark in enumerate(line) if index not in blanks) for line in lines
    ]


def _titled(edge: str, title: str) -> str:
    """The upper edge with the title in it; a long title may overhang the frame."""
    if not title:
        return edge
    inner = f" {title} "
    return "+" + inner + (edge[1 + len(inner) :] or "+")


def _widest(text: str) -> int:
    return max(len(line) for line in text.split("\n"))


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
