"""The flight recorder: bounded, crash-safe, and never in the daemon's way."""

from __future__ import annotations

import errno
import gzip
import os
import random
import threading
from pathlib import Path

import pytest

from shell.recorder import Recorder, read_records
from shell.recorder.segments import list_segments, name_of


def numbers(path: Path, since: float | None = None, until: float | None = None) -> list[int]:
    """The field "n" of every record found."""
    return [record["n"] for record in read_records(path, since, until)]


def fill(recorder: Recorder, count: int, first: int = 0) -> None:
    """Append numbered records that do not compress well; record n is of second n."""
    noise = random.Random(first)
    for n in range(first, first + count):
        recorder.append({"wall": float(n), "n": n, "noise": f"{noise.getrandbits(400):x}"})
        assert recorder.flush()


def test_records_come_back_in_order(tmp_path: Path) -> None:
    """What was appended is read back, also through a later recorder on the same folder."""
    folder = tmp_path / "records"
    for first in (0, 10):
        recorder = Recorder(folder)
        fill(recorder, 10, first)
        recorder.close()
    assert numbers(folder) == list(range(20))
    assert len(list_segments(folder)) == 1


def test_files_are_private(tmp_path: Path) -> None:
    """Only the owner may read records, in a folder of the owner's, compressed or not."""
    folder = tmp_path / "records"
    recorder = Recorder(folder, segment_bytes=1000)
    fill(recorder, 20)
    recorder.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_closed_segments_are_compressed(tmp_path: Path) -> None:
    """All but the open segment are gzip files, and everything is still there."""
    recorder = Recorder(tmp_path, segment_bytes=1000)
    fill(recorder, 33)
    recorder.close()
    kinds = [segment.compressed for segment in list_segments(tmp_path)]
    assert kinds[:-1] == [True] * (len(kinds) - 1)
    assert len(kinds) > 3
    assert numbers(tmp_path) == list(range(33))
    assert not list(tmp_path.glob("*.new"))


def test_the_folder_stays_within_its_bound(tmp_path: Path) -> None:
    """The oldest segments go first."""
    recorder = Recorder(tmp_path, max_bytes=6000, segment_bytes=1000)
    fill(recorder, 200)
    recorder.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 6000
    kept = numbers(tmp_path)
    assert kept == list(range(kept[0], 200))
    assert 0 < kept[0] < 190


def test_a_time_span_is_selected(tmp_path: Path) -> None:
    """Both ends belong to it, across segments, from the folder or from one file."""
    recorder = Recorder(tmp_path, segment_bytes=1000)
    fill(recorder, 50)
    recorder.close()
    assert numbers(tmp_path, since=17, until=23) == list(range(17, 24))
    assert numbers(tmp_path, since=48) == [48, 49]
    assert numbers(tmp_path, until=1) == [0, 1]
    assert numbers(tmp_path, since=60) == []
    first = list_segments(tmp_path)[0].path
    assert numbers(first, until=3) == [0, 1, 2, 3]


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    """A crash in the middle of a write costs that record only, before and after the restart."""
    recorder = Recorder(tmp_path)
    fill(recorder, 3)
    recorder.close()
    with (tmp_path / name_of(1)).open("ab") as file:
        file.write(b'{"wall":3.0,"n":3,"noi')
    assert numbers(tmp_path) == [0, 1, 2]
    recorder = Recorder(tmp_path)
    fill(recorder, 2, first=4)
    recorder.close()
    assert numbers(tmp_path) == [0, 1, 2, 4, 5]


def test_foreign_lines_and_damaged_files_are_passed_over(tmp_path: Path) -> None:
    """Garbage hides neither what stands around it nor the other files."""
    lines = [b"garbage", b"[1]", b'{"n":0}', b'{"wall":"x","n":0}', b'{"wall":1,"n":1}', b"\xff"]
    (tmp_path / name_of(1)).write_bytes(b"\n".join(lines) + b"\n")
    whole = gzip.compress(b"".join(b'{"wall":2,"n":%d}\n' % n for n in range(2, 500)))
    (tmp_path / name_of(2, compressed=True)).write_bytes(whole[: len(whole) // 2])
    (tmp_path / name_of(3, compressed=True)).write_bytes(b"no gzip")
    (tmp_path / name_of(4)).write_bytes(b'{"wall":3,"n":1000}\n')
    (tmp_path / "README").write_bytes(b'{"wall":3,"n":2000}\n')
    found = numbers(tmp_path)
    assert found[0] == 1
    assert found[-1] == 1000


def test_a_crash_while_compressing_shows_every_record_once(tmp_path: Path) -> None:
    """The plain form beside the complete compressed one is ignored, then removed."""
    recorder = Recorder(tmp_path, segment_bytes=1000)
    fill(recorder, 10)
    recorder.close()
    closed = list_segments(tmp_path)[0].path
    closed.with_suffix("").write_bytes(gzip.decompress(closed.read_bytes()))
    assert numbers(tmp_path) == list(range(10))
    recorder = Recorder(tmp_path, segment_bytes=1000)
    fill(recorder, 1, first=10)
    recorder.close()
    assert not closed.with_suffix("").exists()
    assert numbers(tmp_path) == list(range(11))


def test_an_unusable_folder_is_counted_and_tried_again(tmp_path: Path) -> None:
    """append() goes on, the reason is kept, and recording resumes once the folder is there."""
    obstacle = tmp_path / "obstacle"
    obstacle.write_text("a file where a folder should be")
    recorder = Recorder(obstacle / "records")
    fill(recorder, 2)
    assert recorder.lost_records == 2
    assert str(obstacle) in recorder.last_error
    obstacle.unlink()
    fill(recorder, 1, first=2)
    recorder.close()
    assert (recorder.lost_records, recorder.last_error) == (2, "")
    assert numbers(obstacle / "records") == [2]


@pytest.mark.parametrize("written", [0, 10])
def test_a_full_disk_loses_records_not_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """A write that fails at once or half-way leaves no torn line behind."""
    recorder = Recorder(tmp_path)
    fill(recorder, 1)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if not written:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:written])

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        fill(recorder, 1, first=1)
    assert recorder.lost_records == 1
    assert "No space left" in recorder.last_error
    fill(recorder, 1, first=2)
    recorder.close()
    assert recorder.last_error == ""
    assert (tmp_path / name_of(1)).read_bytes().count(b"\n") == 2
    assert numbers(tmp_path) == [0, 2]


def test_a_disk_that_hangs_does_not_hang_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """append() returns at once; when the queue is full records are lost, and counted."""
    released = threading.Event()
    write = os.write

    def hang(descriptor: int, data: bytes) -> int:
        released.wait(30)
        return write(descriptor, data)

    monkeypatch.setattr("os.write", hang)
    monkeypatch.setattr("shell.recorder.recorder.QUEUED_RECORDS", 5)
    recorder = Recorder(tmp_path)
    for n in range(20):
        recorder.append({"wall": n, "n": n})
    assert recorder.lost_records >= 14
    assert "hang" in recorder.last_error
    assert not recorder.flush(timeout_seconds=0.05)
    released.set()
    recorder.close()
    assert len(numbers(tmp_path)) == 20 - recorder.lost_records


def test_a_record_that_is_no_json_is_counted(tmp_path: Path) -> None:
    """A programmer's mistake in a record does not stop the daemon."""
    recorder = Recorder(tmp_path)
    recorder.append({"wall": 1, "n": object()})
    fill(recorder, 1)
    recorder.close()
    assert recorder.lost_records == 1
    assert numbers(tmp_path) == [0]


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    """Reading what does not exist is an error with its path."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_records(tmp_path / "nowhere"))
