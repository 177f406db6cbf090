"""State files of logical slots, put in place while the server is down."""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.postgres import slots
from shell.postgres.errors import PostgresError
from shell.postgres.walfiles import oldest_lsn, segment_of

SEGMENT = 16 * 1024 * 1024


def test_a_state_file_is_put_in_place_once(tmp_path: Path) -> None:
    """Whole and private; a slot that is there already keeps its own state."""
    (tmp_path / "pg_replslot").mkdir(mode=0o700)
    state = bytes(range(256))
    slots.install(tmp_path, {"cdc": state})
    path = tmp_path / "pg_replslot/cdc/state"
    assert path.read_bytes() == state
    assert path.stat().st_mode & 0o777 == 0o600
    slots.install(tmp_path, {"cdc": b"other"})
    assert path.read_bytes() == state
    assert [entry.name for entry in (tmp_path / "pg_replslot").iterdir()] == ["cdc"]


def test_a_copy_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    """What is half-made has a name that PostgreSQL removes at its start."""
    making = tmp_path / "pg_replslot/cdc.tmp"
    making.mkdir(parents=True)
    (making / "state").write_bytes(b"half")
    slots.install(tmp_path, {"cdc": b"whole"})
    assert (tmp_path / "pg_replslot/cdc/state").read_bytes() == b"whole"
    assert not making.exists()


def test_a_directory_without_slots_is_named(tmp_path: Path) -> None:
    """The error says what could not be written."""
    with pytest.raises(PostgresError, match="pg_replslot/cdc cannot be written"):
        slots.install(tmp_path, {"cdc": b"x"})


def test_segments_tell_what_wal_is_here(tmp_path: Path) -> None:
    """The oldest one, and the one that holds a position on a timeline."""
    wal = tmp_path / "pg_wal"
    assert oldest_lsn(tmp_path) is None
    assert segment_of(tmp_path, 1, 0) is None
    wal.mkdir()
    assert oldest_lsn(tmp_path) is None
    for name in ("000000010000000000000003", "000000010000000000000004", "00000002.history"):
        with (wal / name).open("wb") as file:
            file.truncate(SEGMENT)
    assert oldest_lsn(tmp_path) == 3 * SEGMENT
    assert segment_of(tmp_path, 1, 4 * SEGMENT + 40) == "000000010000000000000004"
    assert segment_of(tmp_path, 2, 4 * SEGMENT + 40) is None
    assert segment_of(tmp_path, 1, 9 * SEGMENT) is None
