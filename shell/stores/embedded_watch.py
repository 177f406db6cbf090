"""Follows the embedded store's file: changes by inotify, expiries by a timer.

Belongs here: noticing that the visible keys differ from before. Does not belong here: what the
keys mean.
"""

from __future__ import annotations

import logging
import os
import select
import sqlite3
import threading
from collections.abc import Callable

from inotify_simple import INotify, flags

from shell.processes import now
from shell.stores.base import StoreError
from shell.stores.embedded_file import LIVE, StoreFile

log = logging.getLogger(__name__)

READ_SECONDS = 5.0
JOIN_SECONDS = 2.0
# For a writer that died between its commit and its touch.
LONGEST_WAIT_SECONDS = 5.0
RETRY_SECONDS = 1.0
CHECKPOINT_BYTES = 1024 * 1024
# Every writer touches the file after its commit; the others say that it was replaced.
CHANGES = flags.ATTRIB | flags.CREATE | flags.MOVED_TO | flags.DELETE | flags.MOVED_FROM

Seen = tuple[tuple[str, int], ...]


class FileWatch:
    """Calls `on_change` when a key below `prefix` appears, changes, vanishes or expires."""

    def __init__(self, path: str, prefix: str, on_change: Callable[[], None]) -> None:
        # A connection of its own: reading here must not delay the daemon's transactions.
        self._file = StoreFile(path)
        self._prefix = prefix
        self._on_change = on_change
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="embedded-watch", daemon=True)

    @property
    def transactions(self) -> int:
        """Transactions of the watch's own connection."""
        return self._file.transactions

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no `on_change` comes afterwards."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        os.eventfd_write(self._wake_fd, 1)
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        lost = False
        seen: Seen | None = None
        while not self._stopped.is_set():
            try:
                with INotify() as notify:
                    seen = self._follow(notify, seen, lost)
            except (StoreError, OSError) as error:
                log.warning("watch of %s interrupted: %s", self._file.path, error)
                if not lost:
                    self._tell()
                lost = True
                self._stopped.wait(RETRY_SECONDS)
        self._file.close()
        os.close(self._wake_fd)

    def _tell(self) -> None:
        if not self._stopped.is_set():
            self._on_change()

    def _follow(self, notify: INotify, seen: Seen | None, lost: bool) -> Seen | None:
        poller = select.poll()
        poller.register(notify.fileno(), select.POLLIN)
        poller.register(self._wake_fd, select.POLLIN)
        # The first look creates a missing folder and file.
        now_seen, next_expiry = self._look()
        notify.add_watch(self._file.path.parent, CHANGES)
        while not self._stopped.is_set():
            now_seen, next_expiry = self._look()
            if now_seen != seen or lost:
                seen, lost = now_seen, False
                self._tell()
            self._checkpoint()
            self._await_change(poller, notify, next_expiry)
        return seen

    def _await_change(
        self, poller: select.poll, notify: INotify, next_expiry: float | None
    ) -> None:
        """Return when the file changed, a key expired or the watch is stopped."""
        own = self._file.path.name
        wake_at = now() + LONGEST_WAIT_SECONDS
        if next_expiry is not None:
            wake_at = min(wake_at, next_expiry)
        while not self._stopped.is_set():
            wait_ms = int(1000 * max(0.0, wake_at - now())) + 1
            if not poller.poll(wait_ms):
                return
            if any(event.name == own for event in notify.read(timeout=0)):
                return

    def _look(self) -> tuple[Seen, float | None]:
        """Return the visible keys with their revisions, and when the next of them expires."""
        with self._file.reading(now() + READ_SECONDS) as cursor:
            rows = cursor.execute(
                "SELECT path, revision, expires_at FROM keys "  # noqa: S608 - constants only
                f"WHERE path >= :low AND path < :high AND {LIVE} ORDER BY path",
                {**self._file.moment(), **prefix_range(self._prefix)},
            ).fetchall()
        expiries = [expires_at for _, _, expires_at in rows if expires_at is not None]
        seen = tuple((path, revision) for path, revision, _ in rows)
        return seen, min(expiries, default=None)

    def _checkpoint(self) -> None:
        log_file = self._file.path.with_name(self._file.path.name + "-wal")
        try:
            if log_file.stat().st_size < CHECKPOINT_BYTES:
                return
            self._file.checkpoint()
        except (OSError, sqlite3.Error) as error:
            log.debug("the write-ahead log of %s stays as it is: %s", self._file.path, error)


def prefix_range(prefix: str) -> dict[str, str]:
    """Return the bounds of all paths that start with `prefix`, which ends with a slash."""
    assert prefix.endswith("/")
    return {"low": prefix, "high": prefix[:-1] + "0"}
