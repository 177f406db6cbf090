"""The file of the embedded store: one SQLite database shared by the daemons of one host.

Belongs here: opening it, transactions, expiry, errors. Does not belong here: what the keys mean
(`embedded`), following changes (`embedded_watch`).

TTL keys carry the boot id and an instant of CLOCK_BOOTTIME: after a reboot all of them are gone.
They are written without waiting for the disk, because a power failure ends them anyway; permanent
keys are on disk when the call returns.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shell.processes import boot_id, now
from shell.stores.base import StoreError, StoreMisconfigured, StoreUnavailable

SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    path TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    revision INTEGER NOT NULL,
    session TEXT,
    boot_id TEXT,
    expires_at REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (revision INTEGER NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter);
"""
LIVE = "(expires_at IS NULL OR (boot_id = :boot_id AND expires_at > :now))"
HAS_SCHEMA = "SELECT 1 FROM sqlite_master WHERE name = 'counter'"
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}
REFUSED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
AGAIN_SECONDS = 0.005


class StoreFile:
    """One connection to the file, opened when first used. Thread-safe."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.boot_id = boot_id()
        self.transactions = 0
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def reading(self, deadline: float) -> Iterator[sqlite3.Cursor]:
        """Run a block of SELECTs on one state of the file."""
        with self._transaction(deadline, "BEGIN", durable=False) as cursor:
            yield cursor

    @contextmanager
    def writing(self, deadline: float, *, durable: bool) -> Iterator[sqlite3.Cursor]:
        """Run a block as one write transaction; rolled back when the block raises."""
        with self._transaction(deadline, "BEGIN IMMEDIATE", durable=durable) as cursor:
            cursor.execute(f"DELETE FROM keys WHERE NOT {LIVE}", self.moment())  # noqa: S608
            yield cursor
        # Only now can others see the change: the writes themselves come a moment too early to
        # wake them up by.
        with suppress(OSError):
            os.utime(self.path)

    def moment(self) -> dict[str, str | float]:
        """Return the parameters that say which keys are alive now."""
        return {"boot_id": self.boot_id, "now": now()}

    def checkpoint(self) -> None:
        """Move finished changes from the write-ahead log into the file, without blocking anybody.

        Raises `sqlite3.Error`; the log is then moved some other time.
        """
        with self._lock:
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the connection; a later call opens it again."""
        with self._lock:
            self._drop()

    @contextmanager
    def _transaction(
        self, deadline: float, begin: str, *, durable: bool
    ) -> Iterator[sqlite3.Cursor]:
        if deadline <= now():
            raise StoreUnavailable(f"{self.path}: no time was left for the transaction")
        if not self._lock.acquire(timeout=max(0.0, deadline - now())):
            raise StoreUnavailable(f"{self.path}: an earlier transaction has not ended in time")
        try:
            self.transactions += 1
            with self._explained():
                connection = self._opened(deadline)
                cursor = connection.cursor()
                remaining_ms = max(1, int(1000 * (deadline - now())))
                cursor.execute(f"PRAGMA busy_timeout = {remaining_ms}")
                cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                cursor.execute(begin)
                try:
                    yield cursor
                    cursor.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        cursor.execute("ROLLBACK")
                    raise
        finally:
            self._lock.release()

    def _opened(self, deadline: float) -> sqlite3.Connection:
        if self._connection is not None and self._identity == _identity(self.path):
            return self._connection
        # Also when the file was replaced: whoever opens it next must meet us in the same one.
        self._drop()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(self.path)
        except OSError as error:
            raise StoreMisconfigured(
                f"{self.path}: cannot open the embedded store ({error.strerror}); "
                "correct embedded.path or the permissions of its folder"
            ) from error
        connection = sqlite3.connect(
            self.path,
            timeout=max(0.001, deadline - now()),
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _keep_a_log(connection, deadline)
            # The watching thread moves the log into the file, so that no renewal waits for it.
            connection.execute("PRAGMA wal_autocheckpoint = 10000")
            if connection.execute(HAS_SCHEMA).fetchone() is None:
                connection.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, _identity(self.path)
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._identity = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _code(error) not in BUSY:
                self._drop()
            raise self._explanation(error) from error

    def _explanation(self, error: sqlite3.Error) -> StoreError:
        code = _code(error)
        if code in BUSY:
            return StoreUnavailable(f"{self.path}: another process kept it locked too long")
        if code in FULL:
            return StoreUnavailable(f"{self.path}: {error}; check the disk and its free space")
        if code in REFUSED:
            return StoreMisconfigured(
                f"{self.path}: {error}; let this account write the file and its folder"
            )
        return StoreError(
            f"{self.path}: not a usable store file ({error}); "
            "stop the daemons of this host, move the file away with its -wal and -shm, start again"
        )


def _create(path: Path) -> None:
    """Make the file with our mode if it is missing.

    A file that exists must not even be opened here: closing it would drop the locks that another
    connection of this process holds on it (POSIX locks belong to the process), and a stranger
    that closes the file would then remove the write-ahead log under everybody's feet.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _keep_a_log(connection: sqlite3.Connection, deadline: float) -> None:
    """Switch to write-ahead logging; SQLite itself waits for nobody who does that just then."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            if _code(error) not in BUSY or now() + AGAIN_SECONDS > deadline:
                raise
            time.sleep(AGAIN_SECONDS)
        else:
            return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary error code."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
