"""The names and the order of the recorder's segment files.

A folder holds `decisions-00000001.jsonl.gz`, ..., and one open `decisions-<n>.jsonl`. Numbers
only grow, so the order does not depend on clocks. Not here: what is inside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"decisions-(\d{8,})\.jsonl(\.gz)?")


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the recorder."""

    number: int
    path: Path
    compressed: bool


def name_of(number: int, *, compressed: bool = False) -> str:
    """File name of a segment."""
    return f"decisions-{number:08d}.jsonl{'.gz' if compressed else ''}"


def list_segments(folder: Path) -> list[Segment]:
    """The folder's segments, oldest first.

    A crash between compressing and removing leaves both forms of a segment; only the compressed
    one, which is complete by then, is listed. Raises OSError when the folder cannot be read.
    """
    found: dict[int, Segment] = {}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        segment = Segment(int(match[1]), path, match[2] is not None)
        if segment.compressed or segment.number not in found:
            found[segment.number] = segment
    return [found[number] for number in sorted(found)]
