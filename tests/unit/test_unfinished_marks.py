"""The mark beside a data directory, where the machine itself crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.postgres.unfinished import maker_of, mark, unmark


def test_a_mark_outlives_a_crash_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is half-made is known as that: the mark is on disk, whole, before the work goes on."""
    data_dir, synced = tmp_path / "data", []

    def note(opened: int) -> None:
        synced.append((Path(f"/proc/self/fd/{opened}").readlink(), maker_of(data_dir)))

    monkeypatch.setattr("os.fsync", note)

    mark(data_dir, "removal", 0)
    assert [found for _, found in synced] == ["", "removal"]
    assert synced[1][0] == tmp_path

    unmark(data_dir)
    assert synced[2:] == [(tmp_path, "")]


def test_a_directory_that_was_never_marked_costs_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start takes the mark away; mostly there is none."""
    monkeypatch.setattr("os.fsync", lambda _: pytest.fail("nothing has changed"))
    unmark(tmp_path / "data")
