"""The store for one machine: a local file shared by all daemons of the host, and no server.

Belongs here: what each operation of the interface means on the file. Does not belong here: the
file's transactions (`embedded_file`), following changes (`embedded_watch`).
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable

from shell.processes import now
from shell.stores.base import NEVER, Entry, View, base_path, namespace_path, refuse_late
from shell.stores.embedded_file import LIVE, StoreFile
from shell.stores.embedded_watch import FileWatch, prefix_range


class EmbeddedStore:
    """One cluster's keys in a local SQLite file. Thread-safe.

    A view is read from the file every time: that costs less than keeping a copy current.
    """

    def __init__(self, path: str, *, namespace: str, scope: str) -> None:
        self._base = base_path(namespace, scope) + "/"
        self._namespace = namespace_path(namespace) + "/"
        self._file = StoreFile(path)
        self._watch: FileWatch | None = None
        self._session = uuid.uuid4().hex

    @property
    def requests_sent(self) -> int:
        """Transactions so far; never decreases."""
        watching = self._watch.transactions if self._watch else 0
        return self._file.transactions + watching

    def view(self, deadline: float) -> View:
        """Return the keys as the file has them now."""
        return self.read(deadline)

    def read(self, deadline: float) -> View:
        """Return the keys as the file has them now."""
        seen_at = now()
        with self._file.reading(deadline) as cursor:
            rows = cursor.execute(
                "SELECT path, value, revision FROM keys "  # noqa: S608 - constants only
                f"WHERE path >= :low AND path < :high AND {LIVE}",
                {**self._file.moment(), **prefix_range(self._base)},
            ).fetchall()
        skip = len(self._base)
        entries = {path[skip:]: Entry(value, revision) for path, value, revision in rows}
        return View(entries, seen_at)

    def watch(self, on_change: Callable[[], None]) -> None:
        """Start watching the file."""
        self._watch = FileWatch(str(self._file.path), self._base, on_change)
        self._watch.start()

    def acquire_leader(
        self,
        name: str,
        ttl_seconds: int,
        deadline: float,
        *,
        begin_before: float = NEVER,
        initialize: str | None = None,
    ) -> bool:
        """Create the leader key if it is missing."""
        with self._file.writing(deadline, durable=False) as cursor:
            held = self._held(cursor, "leader")
            if held is None:
                if initialize is not None and self._value(cursor, "initialize") != initialize:
                    return False
                refuse_late(begin_before)
                self._write(cursor, "leader", name, ttl_seconds)
                return True
            if held[:1] != (name,) or held[2] != self._session:
                return False
            self._extend(cursor, "leader", ttl_seconds)
            return True

    def renew_leader(
        self,
        name: str,
        ttl_seconds: int,
        deadline: float,
        *,
        create: bool = True,
        begin_before: float = NEVER,
    ) -> bool:
        """Extend the leader key if its value is our name, create it if it is missing."""
        with self._file.writing(deadline, durable=False) as cursor:
            held = self._held(cursor, "leader")
            if held is None and not create:
                return False
            if held is None:
                refuse_late(begin_before)
                self._write(cursor, "leader", name, ttl_seconds)
                return True
            if held[0] != name:
                return False
            self._extend(cursor, "leader", ttl_seconds)
            return True

    def release_leader(self, name: str, deadline: float) -> bool:
        """Delete the leader key if its value is our name."""
        with self._file.writing(deadline, durable=False) as cursor:
            held = self._held(cursor, "leader")
            return held is not None and held[0] == name and self._remove(cursor, "leader")

    def publish_member(self, name: str, value: str, ttl_seconds: int, deadline: float) -> None:
        """Write the member key, or only extend it when its value is unchanged."""
        key = f"members/{name}"
        with self._file.writing(deadline, durable=False) as cursor:
            held = self._held(cursor, key)
            if held is not None and held[0] == value:
                self._extend(cursor, key, ttl_seconds)
            else:
                self._write(cursor, key, value, ttl_seconds)

    def delete_member(self, name: str, deadline: float) -> None:
        """Delete the member key."""
        with self._file.writing(deadline, durable=False) as cursor:
            self._remove(cursor, f"members/{name}")

    def put(self, key: str, value: str, deadline: float) -> None:
        """Write a permanent key."""
        with self._file.writing(deadline, durable=True) as cursor:
            self._write(cursor, key, value, None)

    def create(
        self, key: str, value: str, deadline: float, *, given: tuple[str, int] | None = None
    ) -> bool:
        """Write a permanent key if it is missing, and the given one is as it was."""
        with self._file.writing(deadline, durable=True) as cursor:
            if self._held(cursor, key) is not None:
                return False
            if given is not None:
                other = self._held(cursor, given[0])
                if other is None or other[1] != given[1]:
                    return False
            self._write(cursor, key, value, None)
            return True

    def replace(self, key: str, value: str, revision: int, deadline: float) -> bool:
        """Write a permanent key if its revision is unchanged."""
        with self._file.writing(deadline, durable=True) as cursor:
            held = self._held(cursor, key)
            if held is None or held[1] != revision:
                return False
            self._write(cursor, key, value, None)
            return True

    def delete(
        self,
        key: str,
        deadline: float,
        revision: int | None = None,
        *,
        unless: str | None = None,
    ) -> bool:
        """Delete a key, if its revision is unchanged when one is given, unless another is there."""
        with self._file.writing(deadline, durable=True) as cursor:
            held = self._held(cursor, key)
            if held is None or revision not in {None, held[1]}:
                return False
            if unless is not None and self._held(cursor, unless) is not None:
                return False
            return self._remove(cursor, key)

    def delete_all(self, deadline: float) -> None:
        """Delete every key below the base path."""
        with self._file.writing(deadline, durable=True) as cursor:
            cursor.execute(
                "DELETE FROM keys WHERE path >= :low AND path < :high", prefix_range(self._base)
            )

    def scopes(self, deadline: float) -> list[str]:
        """Return the names that have keys below the namespace."""
        with self._file.reading(deadline) as cursor:
            rows = cursor.execute(
                f"SELECT path FROM keys WHERE path >= :low AND path < :high AND {LIVE}",  # noqa: S608
                {**self._file.moment(), **prefix_range(self._namespace)},
            ).fetchall()
        below_namespace = (path.removeprefix(self._namespace) for (path,) in rows)
        return sorted({rest.split("/", 1)[0] for rest in below_namespace if "/" in rest})

    def close(self) -> None:
        """Stop watching and close the file."""
        if self._watch is not None:
            self._watch.stop()
        self._file.close()

    def _held(self, cursor: sqlite3.Cursor, key: str) -> tuple[str, int, str | None] | None:
        """Return value, revision and session of a live key."""
        row: tuple[str, int, str | None] | None = cursor.execute(
            f"SELECT value, revision, session FROM keys WHERE path = :path AND {LIVE}",  # noqa: S608
            {**self._file.moment(), "path": self._base + key},
        ).fetchone()
        return row

    def _value(self, cursor: sqlite3.Cursor, key: str) -> str | None:
        held = self._held(cursor, key)
        return None if held is None else held[0]

    def _write(self, cursor: sqlite3.Cursor, key: str, value: str, ttl_seconds: int | None) -> None:
        cursor.execute("UPDATE counter SET revision = revision + 1")
        expiring = ttl_seconds is not None
        cursor.execute(
            "INSERT OR REPLACE INTO keys (path, value, revision, session, boot_id, expires_at) "
            "SELECT ?, ?, revision, ?, ?, ? FROM counter",
            (
                self._base + key,
                value,
                self._session if expiring else None,
                self._file.boot_id if expiring else None,
                now() + ttl_seconds if ttl_seconds is not None else None,
            ),
        )

    def _extend(self, cursor: sqlite3.Cursor, key: str, ttl_seconds: int) -> None:
        """Move a key's expiry without changing its revision, so that no watcher is told."""
        cursor.execute(
            "UPDATE keys SET session = ?, boot_id = ?, expires_at = ? WHERE path = ?",
            (
                self._session,
                self._file.boot_id,
                now() + ttl_seconds,
                self._base + key,
            ),
        )

    def _remove(self, cursor: sqlite3.Cursor, key: str) -> bool:
        cursor.execute("DELETE FROM keys WHERE path = ?", (self._base + key,))
        return cursor.rowcount > 0
