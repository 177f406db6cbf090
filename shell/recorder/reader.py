"""Read recorded decisions back, also those that a crash or another version left behind.

Here: lines to dictionaries, in the order in which they were written. Not here: their meaning.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shell.recorder.segments import list_segments


def read_records(
    path_or_folder: str | Path, since: float | None = None, until: float | None = None
) -> Iterator[dict[str, Any]]:
    """Yield records whose "wall" (seconds since the epoch) lies in `since` .. `until`, inclusive.

    Takes a `.jsonl` or `.jsonl.gz` file or the recorder's folder. Torn or foreign lines are
    passed over; so is the damaged end of a compressed file. Raises OSError (with the path) when
    there is no such file or folder, or it cannot be read.
    """
    path = Path(path_or_folder)
    files = _relevant_files(path, since, until) if path.is_dir() else [path]
    for file in files:
        for record in _read_file(file):
            wall = record.get("wall")
            if not isinstance(wall, int | float) or isinstance(wall, bool):
                continue
            if (since is None or wall >= since) and (until is None or wall <= until):
                yield record


def _relevant_files(folder: Path, since: float | None, until: float | None) -> list[Path]:
    """Segments that can hold records of that time; the others are not even unpacked.

    Relies on the wall clock running forward from one segment to the next.
    """
    paths = [segment.path for segment in list_segments(folder)]
    if since is None and until is None:
        return paths
    starts = [_first_wall(path) for path in paths]
    relevant = []
    for index, path in enumerate(paths):
        start = starts[index]
        following = starts[index + 1] if index + 1 < len(paths) else None
        ended_before = since is not None and following is not None and following < since
        began_after = until is not None and start is not None and start > until
        if not ended_before and not began_after:
            relevant.append(path)
    return relevant


def _first_wall(path: Path) -> float | None:
    for record in _read_file(path):
        wall = record.get("wall")
        if isinstance(wall, int | float):
            return float(wall)
    return None


def _read_file(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from _parse_file(path)
    except FileNotFoundError:
        # The recorder may have closed and compressed this segment since it was listed.
        compressed = path.with_name(path.name + ".gz")
        if not compressed.exists():
            raise
        yield from _parse_file(compressed)


def _parse_file(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for line in file:
                record = _parse_line(line)
                if record is not None:
                    yield record
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return


def _parse_line(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
