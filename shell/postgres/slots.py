"""Physical replication slots: create, drop while inactive, move forward on a standby.

Not here: which slots there must be.
"""

from collections.abc import Iterable, Mapping

from shell.postgres.quoting import format_lsn
from shell.postgres.session import Session

_CREATE = """
SELECT pg_create_physical_replication_slot(name, true) FROM unnest(%s) AS name
WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = name)
"""
_DROP = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = ANY(%s) AND NOT active
"""
# A physical slot cannot go back, nor past what has been replayed here.
_ADVANCE = """
SELECT pg_replication_slot_advance(s.slot_name, least(t.lsn::pg_lsn, pg_last_wal_replay_lsn()))
FROM pg_replication_slots s JOIN unnest(%s, %s) AS t(name, lsn) ON t.name = s.slot_name
WHERE s.slot_type = 'physical' AND NOT s.active
AND s.restart_lsn < least(t.lsn::pg_lsn, pg_last_wal_replay_lsn())
"""


def create(session: Session, names: Iterable[str], deadline: float) -> None:
    """Create these slots, keeping WAL from now on; those that exist are left alone."""
    session.execute(_CREATE, (list(names),), deadline=deadline, what="creating slots")


def drop(session: Session, names: Iterable[str], deadline: float) -> None:
    """Drop those of these slots that nobody uses."""
    session.execute(_DROP, (list(names),), deadline=deadline, what="dropping slots")


def advance(session: Session, positions: Mapping[str, int], deadline: float) -> None:
    """Move slots forward to these LSNs, as far as this standby has replayed."""
    names = list(positions)
    lsns = [format_lsn(positions[name]) for name in names]
    session.execute(_ADVANCE, (names, lsns), deadline=deadline, what="advancing slots")
