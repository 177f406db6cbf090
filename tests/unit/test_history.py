"""Timeline history files that were read before."""

from pathlib import Path

from shell.postgres.history import HistoryReader


def test_a_timeline_of_the_same_number_may_be_another_one(tmp_path: Path) -> None:
    """A directory that was made anew meanwhile has a history of its own."""
    (tmp_path / "pg_wal").mkdir()
    file, reader = tmp_path / "pg_wal/00000002.history", HistoryReader()
    file.write_text("1\t0/3000000\tno recovery target specified\n")
    assert [line.lsn for line in reader.read(tmp_path, 2)] == [0x3000000]
    assert reader.read(tmp_path, 1) == ()

    file.rename(tmp_path / "the old one")
    file.write_text("1\t0/5000000\tno recovery target specified\n")

    assert [line.lsn for line in reader.read(tmp_path, 2)] == [0x5000000]
