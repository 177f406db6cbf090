"""How the timelines begin in the WAL files that are here."""

from pathlib import Path

import pytest

from shell.postgres.same_wal import RECORD_HEADER, _crc32c, openings

SEGMENT_BYTES = 1 << 20
START = 5 * SEGMENT_BYTES
FORK = START + 0x2050


def _record(before: int, moment: bytes) -> bytes:
    """A record with its checksum."""
    length = RECORD_HEADER.size + len(moment)
    header = RECORD_HEADER.pack(length, 0, before, 0x90, 0, 0)
    checksum = _crc32c(moment + header[:-4])
    return RECORD_HEADER.pack(length, 0, before, 0x90, 0, checksum) + moment


def _directory(folder: Path, record: bytes) -> Path:
    """A data directory on timeline 2, whose segment with the fork holds that record there."""
    (folder / "PG_VERSION").write_text("15\n")
    (folder / "pg_wal").mkdir()
    (folder / "pg_wal/00000002.history").write_text("1\t0/502050\tno recovery target specified\n")
    segment = bytes(FORK - START) + record
    (folder / "pg_wal/000000020000000000000005").write_bytes(
        segment + bytes(SEGMENT_BYTES - len(segment))
    )
    return folder


def test_the_first_record_tells_timelines_of_one_number_apart(tmp_path: Path) -> None:
    """Another moment, another checksum; the first timeline has no fork to begin at."""
    _directory(tmp_path, _record(FORK - 0x78, b"moment 1"))
    (tmp_path / "pg_wal/000000010000000000000004").write_bytes(bytes(SEGMENT_BYTES))
    (one,) = openings(tmp_path)
    assert one.timeline == 2
    (tmp_path / "pg_wal/000000020000000000000005").unlink()
    assert openings(tmp_path) == ()
    (tmp_path / "pg_wal").rename(tmp_path / "gone")
    (tmp_path / "gone/00000002.history").unlink()
    (tmp_path / "gone/000000010000000000000004").unlink()
    (tmp_path / "gone").rmdir()
    _directory(tmp_path, _record(FORK - 0x78, b"moment 2"))
    (other,) = openings(tmp_path)
    assert other.checksum != one.checksum


@pytest.mark.parametrize(
    "record",
    [
        bytes(64),  # nothing is there yet
        _record(START - 0x78, b"moment 1"),  # left over: this was an earlier segment
        _record(FORK - 0x78, b"moment 1")[:-1],  # not here whole
    ],
)
def test_what_is_not_surely_the_first_record_counts_as_none(tmp_path: Path, record: bytes) -> None:
    """A file is used again under another name, and is written bit by bit."""
    assert openings(_directory(tmp_path, record)) == ()


def test_each_copy_of_the_data_is_told_from_the_others(tmp_path: Path) -> None:
    """What one copy held says nothing against the next; without one there is nothing to tell."""
    record = _record(FORK - 0x78, b"moment 1")
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    (one,) = openings(_directory(tmp_path / "one", record))
    (other,) = openings(_directory(tmp_path / "other", record))
    assert one.checksum == other.checksum
    assert one.copy != other.copy
    (tmp_path / "one" / "PG_VERSION").chmod(0o400)
    assert openings(tmp_path / "one") == (one,)
    (tmp_path / "one" / "PG_VERSION").unlink()
    assert openings(tmp_path / "one") == ()
