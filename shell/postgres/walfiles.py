"""What the file names in pg_wal tell: what is there, and on which timeline a standby's replay is.

SQL tells it only while a WAL receiver streams; the control file's value is from the last
restartpoint and can be a timeline behind.
"""

import re
from pathlib import Path

_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")


def replay_timeline(data_dir: Path, replay_lsn: int, at_least: int) -> int:
    """The newest timeline that has WAL here at or before `replay_lsn`; `at_least` if none is newer.

    Recovery follows the newest timeline that it knows, so WAL of a newer one up to the replayed
    position was replayed, or is about to be.
    """
    newest = at_least
    try:
        entries = list((data_dir / "pg_wal").iterdir())
    except OSError:
        return at_least
    for entry in entries:
        match = _SEGMENT.fullmatch(entry.name)
        if match is None:
            continue
        timeline, high, low = (int(part, 16) for part in match.groups())
        if timeline > newest and _start(entry, high, low) <= replay_lsn:
            newest = timeline
    return newest


def timelines_here(data_dir: Path) -> list[int]:
    """The timelines of which there is WAL in pg_wal, in order."""
    try:
        entries = list((data_dir / "pg_wal").iterdir())
    except OSError:
        return []
    matches = (_SEGMENT.fullmatch(entry.name) for entry in entries)
    return sorted({int(match[1], 16) for match in matches if match is not None})


def segment_of(data_dir: Path, timeline: int, lsn: int) -> str | None:
    """The name of the segment of that timeline that holds `lsn`; None if it is not here."""
    try:
        entries = list((data_dir / "pg_wal").iterdir())
    except OSError:
        return None
    for entry in entries:
        match = _SEGMENT.fullmatch(entry.name)
        if match is None or int(match[1], 16) != timeline:
            continue
        start = _start(entry, int(match[2], 16), int(match[3], 16))
        if start <= lsn < start + entry.stat().st_size:
            return entry.name
    return None


def oldest_lsn(data_dir: Path) -> int | None:
    """Where the oldest WAL that is still here begins; None if there is none."""
    try:
        entries = list((data_dir / "pg_wal").iterdir())
    except OSError:
        return None
    found = [(entry, _SEGMENT.fullmatch(entry.name)) for entry in entries]
    starts = [_start(e, int(m[2], 16), int(m[3], 16)) for e, m in found if m is not None]
    return min(starts, default=None)


def _start(segment: Path, high: int, low: int) -> int:
    """Where the segment begins: every segment of a server is a file of the same full size."""
    try:
        return (high << 32) + low * segment.stat().st_size
    except OSError:
        return 1 << 64
