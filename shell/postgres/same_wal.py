"""Whether another server has the WAL that is here: the bytes tell where the numbers can't.

A promotion opens the next timeline that its server knows of, so two servers may open one of the
same number.  PostgreSQL compares numbers and forks alone.  But the first record of a timeline holds
its moment, and each record a checksum and the position of the one before: what two servers wrote
differs at once.  Not here: what follows from it; that is a rule.
"""

import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.state import HistoryLine, Opening
from shell.postgres.history import parse_history
from shell.postgres.quoting import parse_lsn
from shell.postgres.session import Session
from shell.postgres.walfiles import segment_of, timelines_here

COMPARED_BYTES = 8192
READ_BYTES = 8 * COMPARED_BYTES
PAGE_BYTES = 8192
PAGE_ADDRESS = struct.Struct("<8xQ")  # where in the WAL a page says that it belongs
RECORD_HEADER = struct.Struct("<IIQBBxxI")  # length, transaction, previous record, ..., checksum
LONGEST_FIRST_RECORD = 1024

_END = """
SELECT CASE WHEN pg_is_in_recovery()
 THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
 ELSE pg_current_wal_flush_lsn() END::text
"""
_READ = "SELECT coalesce({})"
_FILE = "pg_read_binary_file(%s, %s, %s, true)"


@dataclass(frozen=True, slots=True)
class Piece:
    """WAL of a timeline in a segment here: its LSN `start` is at `offset` of that file."""

    timeline: int
    segment: str
    start: int
    offset: int
    content: bytes


def same_wal(
    session: Session,
    data_dir: Path,
    ours: tuple[int, int] | None,
    theirs: Sequence[HistoryLine],
    timeline: int,
    deadline: float,
    cancel: threading.Event,
) -> bool | None:
    """Whether the server of that session has what is here on timelines that it has, too.

    `ours` is the timeline and LSN where our WAL ends, `theirs` and `timeline` the other's history
    and its newest timeline.  None where nothing can be compared.  Raises PostgresError, Cancelled.
    """
    ends = {line.timeline: line.lsn for line in theirs}
    what = "asking for WAL"
    told = session.execute(_END, deadline=deadline, cancel=cancel, what=what)[0][0]
    ends[timeline] = parse_lsn(told or "") or 0
    known = _known(data_dir, ours, ends)
    if any(_forks_differ(data_dir, number, theirs) for number in known):
        return False
    found: bool | None = None
    for piece in _pieces(data_dir, known, ours, ends):
        later = [number for number in sorted(ends) if number > piece.timeline]
        rest = piece.segment[8:]
        names = [piece.segment, f"{piece.segment}.partial", *(f"{n:08X}{rest}" for n in later)]
        parameters = [
            x for name in names for x in (f"pg_wal/{name}", piece.offset, len(piece.content))
        ]
        statement = _READ.format(", ".join([_FILE] * len(names)))
        row = session.execute(statement, parameters, deadline=deadline, cancel=cancel, what=what)
        there = None if row[0][0] is None else bytes(row[0][0])
        if there is None or len(there) != len(piece.content):
            continue
        if there != piece.content:
            return False
        found = True
    return found


def openings(data_dir: Path) -> tuple[Opening, ...]:
    """How the timelines begin of which the first record is here.

    A segment is a used one at first.  What is left of that use lies before this segment in the WAL,
    and so does the record before it: such a record is none of the timeline's.
    """
    try:  # a file that is made with the directory, and never written again
        made = (data_dir / "PG_VERSION").stat()
    except OSError:
        return ()
    found = []
    for number in timelines_here(data_dir):
        fork = _fork(data_dir, number)
        piece = None if fork is None else _first_record(data_dir, number, fork)
        if piece is not None:
            _, _, before, _, _, checksum = RECORD_HEADER.unpack_from(piece.content)
            if before >= piece.start - piece.offset:
                found.append(Opening(made.st_mtime_ns ^ made.st_ino, number, checksum))
    return tuple(found)


def _pieces(
    data_dir: Path, known: Sequence[int], ours: tuple[int, int] | None, ends: dict[int, int]
) -> Iterator[Piece]:
    """What is compared: the last WAL before our end, and how the timelines from there on begin.

    A server that is down, or still replays, may have WAL of a newer timeline than it knows.  A copy
    that was never started, or a directory that was rewound, may lack WAL before its end.
    """
    for number in known:
        fork = _fork(data_dir, number)
        if fork is None:
            continue
        piece = _first_record(data_dir, number, fork)
        if piece is not None and piece.start + len(piece.content) <= ends[number]:
            yield piece
    whole = not (data_dir / "backup_label").exists()
    if whole and ours is not None and ours[0] in ends:
        number, end = ours[0], min(ours[1], ends[ours[0]])
        piece = _last_bytes(data_dir, number, _fork(data_dir, number) or 0, end)
        if piece is not None:
            yield piece


def _known(data_dir: Path, ours: tuple[int, int] | None, ends: dict[int, int]) -> list[int]:
    """The timelines from ours on that there is WAL of here, and that the other one has, too."""
    oldest = 1 if ours is None else ours[0]
    return [n for n in timelines_here(data_dir) if n >= oldest and n in ends]


def _forks_differ(data_dir: Path, timeline: int, theirs: Sequence[HistoryLine]) -> bool:
    """Whether a timeline of that number begins elsewhere in the other's history than in ours."""
    fork = _fork(data_dir, timeline)
    begins = max((line.lsn for line in theirs if line.timeline < timeline), default=None)
    return None not in {fork, begins} and fork != begins


def _fork(data_dir: Path, timeline: int) -> int | None:
    """Where that timeline begins; None if it is the first, or not known here."""
    try:
        text = (data_dir / "pg_wal" / f"{timeline:08X}.history").read_text("utf-8", "replace")
    except OSError:
        return None
    lines = parse_history(text)
    return lines[-1].lsn if lines else None


def _read(data_dir: Path, timeline: int, start: int, end: int) -> Piece | None:
    """The WAL from `start` to `end`, cut at the beginning of the segment that holds its end."""
    segment = segment_of(data_dir, timeline, end - 1)
    if segment is None:
        return None
    path = data_dir / "pg_wal" / segment
    try:
        size = path.stat().st_size
        start = max(start, (end - 1) // size * size)
        with path.open("rb") as file:
            file.seek(start % size)
            content = file.read(end - start)
    except OSError:
        return None
    return Piece(timeline, segment, start, start % size, content) if content else None


def _last_bytes(data_dir: Path, timeline: int, fork: int, end: int) -> Piece | None:
    """The last WAL before `end` that is not empty."""
    full, found = b"", None
    while len(full) < RECORD_HEADER.size:  # what follows a switch of segments is empty
        found = _read(data_dir, timeline, max(fork, end - READ_BYTES), end) if end > fork else None
        if found is None or (found.offset == 0 and not found.content.strip(b"\0")):
            return None
        full, end = found.content.rstrip(b"\0"), found.start
    assert found is not None
    for at in range(-found.start % PAGE_BYTES, len(full) - PAGE_ADDRESS.size, PAGE_BYTES):
        if PAGE_ADDRESS.unpack_from(full, at)[0] != found.start + at:
            return None  # left over from another use of this file
    skipped = max(0, len(full) - COMPARED_BYTES)
    start, offset = found.start + skipped, found.offset + skipped
    return Piece(timeline, found.segment, start, offset, full[skipped:])


def _first_record(data_dir: Path, timeline: int, fork: int) -> Piece | None:
    """The first record of a timeline, if it is here whole: a segment is a used one at first."""
    read = _read(data_dir, timeline, fork, fork + LONGEST_FIRST_RECORD)
    if read is None or read.start != fork or fork % PAGE_BYTES == 0:
        return None
    if len(read.content) < RECORD_HEADER.size:
        return None
    length, _, before, _, _, checksum = RECORD_HEADER.unpack_from(read.content)
    whole = RECORD_HEADER.size <= length <= len(read.content)
    if not whole or fork % PAGE_BYTES + length > PAGE_BYTES:
        return None
    record = read.content[:length]
    if not fork - LONGEST_FIRST_RECORD * PAGE_BYTES < before < fork:
        return None
    if _crc32c(record[RECORD_HEADER.size :] + record[: RECORD_HEADER.size - 4]) != checksum:
        return None
    return Piece(timeline, read.segment, read.start, read.offset, record)


def _crc32c(content: bytes) -> int:
    """The checksum of a WAL record (Castagnoli's polynomial)."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 * (value & 1)
    return value ^ 0xFFFFFFFF
