"""Keeps a view from going back behind an earlier one.

Belongs here: telling whether a watched copy is older than what was read from the server. Does not
belong here: reading, watching.

A watch that begins reads the keys first, and may be told of what changed since only a tenth of a
second later. Whoever was answered by the server meanwhile has seen more than that copy has.
"""

from __future__ import annotations

from collections.abc import Mapping

from shell.stores.base import Entry

Entries = Mapping[str, Entry]


class NewestRead:
    """What the server last told a view, until a copy has come as far. Not thread-safe."""

    def __init__(self) -> None:
        self._read: tuple[Entries, int] | None = None

    def note(self, entries: Entries, revision: int) -> None:
        """A view was read from the server, at that revision of the store."""
        self._read = entries, revision

    def is_missed_by(self, copy: Entries, revision: int) -> bool:
        """Whether a copy that has all changes up to `revision` is older than that."""
        if self._read is None:
            return False
        read, read_at = self._read
        lacks_a_write = any(entry.revision > revision for entry in read.values())
        lacks_a_deletion = any(
            entry.revision <= read_at and name not in read for name, entry in copy.items()
        )
        if lacks_a_write or lacks_a_deletion:
            return True
        self._read = None
        return False
