"""Write decisions to segment files without ever holding up, or failing, the main loop.

Here: the queue, the writing thread, rotation, the bound on disk. Not here: reading (reader.py),
names (segments.py), the content of a record.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import os
import queue
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shell.recorder.segments import list_segments, name_of

_log = logging.getLogger(__name__)

MEBIBYTE = 1024 * 1024
QUEUED_RECORDS = 1000
_COMPRESSION_LEVEL = 3  # 2 MiB in about 15 ms; level 9 gains 10 % for ten times the work


class Recorder:
    """A bounded journal of JSON records in a folder.

    append() only queues: a thread writes, because a disk that hangs must not hang the daemon.
    What could not be written is counted in `lost_records`, with the reason in `last_error`
    (empty once writing works again). May be used from any thread.
    """

    def __init__(
        self,
        folder: str | Path,
        max_bytes: int = 64 * MEBIBYTE,
        segment_bytes: int = 2 * MEBIBYTE,
    ) -> None:
        self._folder = Path(folder)
        self._writer = _Writer(self._folder, max_bytes, segment_bytes)
        self._queue: queue.Queue[bytes | threading.Event | None] = queue.Queue(QUEUED_RECORDS)
        self._counting = threading.Lock()
        self.lost_records = 0
        self.last_error = ""
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def append(self, record: Mapping[str, Any]) -> None:
        """Record a JSON-able mapping; "wall" in it is its time, seconds since the epoch.

        Never raises and never waits.
        """
        try:
            line = json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"
            self._queue.put_nowait(line)
        except queue.Full:
            self._lose(f"{self._folder} does not take records fast enough (does its disk hang?)")
        except (TypeError, ValueError, RecursionError) as error:
            self._lose(f"a record cannot be written as JSON: {error}")

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until everything appended so far is in its file; False when that took too long."""
        done = threading.Event()
        try:
            self._queue.put(done, timeout=timeout_seconds)
        except queue.Full:
            return False
        return done.wait(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what is queued and end the thread; gives up after the timeout."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout_seconds)
        self._thread.join(timeout_seconds)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self._writer.write(item)
            except OSError as error:
                self._lose(f"{error.filename or self._folder}: {error.strerror or error}")
            else:
                self.last_error = self._writer.complaint
        self._writer.close()

    def _lose(self, why: str) -> None:
        if why != self.last_error:
            _log.warning("decisions are not recorded: %s", why)
        with self._counting:
            self.lost_records += 1
            self.last_error = why


class _Writer:
    """The files; every call may raise OSError and may be repeated."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._file: int | None = None
        self._path = folder
        self._size = 0
        self.complaint = ""

    def write(self, line: bytes) -> None:
        """Add one line, completely or not at all."""
        if self._file is None:
            self._open()
        assert self._file is not None
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(28, "No space left on device", str(self._path))
        except OSError:
            # No torn line in the middle, or the next record would be lost with it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            self.close()
            raise
        self._size += len(line)
        if self._size >= self._segment_bytes:
            self._rotate()

    def close(self) -> None:
        """Let the open segment go."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _open(self) -> None:
        """Go on with the last segment, or begin the next one."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        segments = list_segments(self._folder)
        number, last = 1, segments[-1] if segments else None
        if last is not None:
            number = last.number
            if last.compressed or last.path.stat().st_size >= self._segment_bytes:
                number += 1
        self._path = self._folder / name_of(number)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._file).st_size
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            # Torn by a crash: shut that line off from the next one.
            self._size += os.write(self._file, b"\n")
        self._tidy()

    def _rotate(self) -> None:
        self.close()
        self._tidy()

    def _tidy(self) -> None:
        """Compress closed segments and keep the folder within its bound.

        Trouble here loses no record, so it is only noted.
        """
        self.complaint = ""
        # Room first and last: on a full disk only removing makes compressing possible.
        for step in (self._make_room, self._compress_closed, self._make_room):
            try:
                step()
            except OSError as error:
                self.complaint = f"{error.filename or self._folder}: {error.strerror or error}"

    def _compress_closed(self) -> None:
        for segment in list_segments(self._folder):
            if segment.compressed:
                segment.path.with_suffix("").unlink(missing_ok=True)  # left over by a crash
            elif not self._is_open(segment.path):
                _compress(segment.path)

    def _make_room(self) -> None:
        segments = [(item.path, item.path.stat().st_size) for item in list_segments(self._folder)]
        excess = sum(size for _, size in segments) + self._segment_bytes - self._max_bytes
        for path, size in segments:
            if excess <= 0:
                return
            if not self._is_open(path):
                path.unlink(missing_ok=True)
                excess -= size

    def _is_open(self, path: Path) -> bool:
        return self._file is not None and path == self._path


def _compress(path: Path) -> None:
    """Replace a segment by its compressed form; at every instant one of them is complete."""
    target = path.with_name(path.name + ".gz")
    draft = path.with_name(path.name + ".gz.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with (
                path.open("rb") as source,
                gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_COMPRESSION_LEVEL) as packed,
            ):
                shutil.copyfileobj(source, packed, 64 * 1024)
            raw.flush()
            os.fsync(raw.fileno())
        draft.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    path.unlink()
