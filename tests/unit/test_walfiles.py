"""Reading a standby's timeline off its WAL files."""

from pathlib import Path

from shell.postgres.walfiles import replay_timeline

SEGMENT_BYTES = 4096


def _wal(folder: Path, *names: str) -> None:
    wal = folder / "pg_wal"
    wal.mkdir()
    for name in names:
        (wal / name).write_bytes(bytes(SEGMENT_BYTES))


def test_a_newer_timeline_that_was_reached_counts(tmp_path: Path) -> None:
    """A standby without a WAL receiver is on the newest timeline up to its position."""
    _wal(tmp_path, "000000030000000000000005", "000000040000000000000005")
    assert replay_timeline(tmp_path, 5 * SEGMENT_BYTES + 100, 3) == 4


def test_wal_that_was_not_replayed_does_not_count(tmp_path: Path) -> None:
    """A newer timeline whose WAL begins behind the position was not replayed."""
    _wal(tmp_path, "000000030000000000000005", "000000040000000000000006")
    assert replay_timeline(tmp_path, 5 * SEGMENT_BYTES + 100, 3) == 3


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    """History files, partial segments and folders say nothing."""
    _wal(tmp_path, "00000009.history", "000000090000000000000001.partial")
    (tmp_path / "pg_wal" / "archive_status").mkdir()
    assert replay_timeline(tmp_path, 1 << 40, 2) == 2


def test_a_missing_folder_leaves_what_is_known(tmp_path: Path) -> None:
    """Without pg_wal the control file's timeline stands."""
    assert replay_timeline(tmp_path, 100, 7) == 7
