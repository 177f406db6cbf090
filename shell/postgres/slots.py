"""Replication slots: create, drop while inactive, move forward on a standby, copy from a primary.

Not here: which slots there must be.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from engine.actions import Upstream
from engine.policy import PermanentSlot
from engine.state import LeaderSlots
from shell.config.settings import Settings
from shell.postgres import plans, query
from shell.postgres.errors import PostgresError
from shell.postgres.files import mode_for, sync_folder, write_bytes_atomically
from shell.postgres.quoting import format_lsn
from shell.postgres.session import CONNECT_SECONDS, Row, Session
from shell.postgres.waiting import NEVER
from shell.postgres.walfiles import oldest_lsn
from shell.processes import now

# A logical slot begins when the transactions of its moment are over, and moves by reading WAL.
SLOT_SECONDS = 30.0

_CREATE = """
SELECT pg_create_physical_replication_slot(name, true) FROM unnest(%s) AS name
WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = name)
"""
_CREATE_LOGICAL = """
SELECT pg_create_logical_replication_slot(%s, %s)
WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = %s)
"""
_DROP = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = ANY(%s) AND NOT active
"""
# A slot cannot go back, nor past what is here; a logical one moves in its database.
_ADVANCE = """
SELECT pg_replication_slot_advance(s.slot_name, least(t.lsn::pg_lsn, here.lsn))
FROM pg_replication_slots s JOIN unnest(%s, %s) AS t(name, lsn) ON t.name = s.slot_name,
 (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
  ELSE pg_current_wal_flush_lsn() END AS lsn) AS here
WHERE (s.slot_type = 'physical' OR s.database = current_database()) AND NOT s.active
AND coalesce(s.confirmed_flush_lsn, s.restart_lsn) < least(t.lsn::pg_lsn, here.lsn)
"""
_DATABASES = """
SELECT DISTINCT database FROM pg_replication_slots
WHERE slot_name = ANY(%s) AND slot_type = 'logical' AND database <> current_database()
"""
_TELL = """
SELECT (SELECT json_agg(row_to_json(s)) FROM pg_replication_slots s
  WHERE slot_type = 'logical' AND slot_name = ANY(%s)),
 (SELECT catalog_xmin::text::bigint FROM pg_replication_slots WHERE slot_name = %s)
"""
_STATES = """
SELECT slot_name, pg_read_binary_file('pg_replslot/' || slot_name || '/state')
FROM pg_replication_slots
WHERE slot_type = 'logical' AND slot_name = ANY(%s) AND NOT pg_is_in_recovery()
"""
_NAME = re.compile(r"[a-z0-9_]{1,63}")


class SlotKeeper:
    """The slots of the local server.  Every call raises PostgresError when it could not be done."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        """`settings` gives those in force."""
        self._settings = settings

    def create(self, names: tuple[str, ...]) -> None:
        """Create physical slots, keeping WAL from now on; those that exist are left alone."""
        with self._connect() as session:
            _run(session, _CREATE, (list(names),), "creating slots")

    def create_logical(self, wanted: tuple[PermanentSlot, ...]) -> None:
        """Create logical slots, each in its database; those that exist are left alone."""
        for slot in wanted:
            with self._connect(slot.database) as session:
                what = f"creating the logical slot {slot.name}"
                _run(session, _CREATE_LOGICAL, (slot.name, slot.plugin, slot.name), what)

    def drop(self, names: tuple[str, ...]) -> None:
        """Drop those of these slots that nobody uses."""
        with self._connect() as session:
            _run(session, _DROP, (list(names),), "dropping slots")

    def advance(self, positions: Mapping[str, int]) -> None:
        """Move slots forward to these LSNs, as far as this server has replayed or written."""
        names = list(positions)
        moves = (names, [format_lsn(positions[name]) for name in names])
        with self._connect() as session:
            _run(session, _ADVANCE, moves, "advancing slots")
            others = _run(session, _DATABASES, (names,), "looking for logical slots")
        for (database,) in others:
            with self._connect(database) as session:
                _run(session, _ADVANCE, moves, "advancing slots")

    def _connect(self, database: str | None = None) -> Session:
        postgresql, milliseconds = self._settings().postgresql, int(SLOT_SECONDS * 1000)
        parameters = plans.local_superuser(postgresql, milliseconds, database=database)
        return Session(parameters, now() + CONNECT_SECONDS)

    def ask_leader(
        self, leader: Upstream, names: tuple[str, ...], feedback: str, timeout_seconds: float
    ) -> LeaderSlots:
        """What the leader says of these logical slots, and the oldest WAL in our own directory."""
        asked_at, settings = now(), self._settings()
        deadline = asked_at + timeout_seconds
        with _connect_to(settings, leader, deadline, NEVER) as session:
            ((found, xmin),) = session.execute(
                _TELL, (list(names), feedback), deadline=deadline, what="asking for logical slots"
            )
        return LeaderSlots(
            leader=leader.name,
            asked_at=asked_at,
            slots=tuple(query.slot(row) for row in found or []),
            feedback_xmin=xmin,
            oldest_lsn_here=oldest_lsn(Path(settings.postgresql.data_dir)),
        )


def _run(session: Session, statement: str, values: tuple[object, ...], what: str) -> list[Row]:
    return session.execute(statement, values, deadline=now() + SLOT_SECONDS, what=what)


# --- copying --------------------------------------------------------------------------------------


def fetch(
    settings: Settings,
    source: Upstream,
    names: Iterable[str],
    deadline: float,
    cancel: threading.Event,
) -> dict[str, bytes]:
    """The state files of these logical slots; PostgresError if one is missing, Cancelled."""
    wanted = list(names)
    with _connect_to(settings, source, deadline, cancel) as session:
        rows = session.execute(
            _STATES, (wanted,), deadline=deadline, cancel=cancel, what="reading logical slots"
        )
    found = {str(name): bytes(state) for name, state in rows}
    for name in wanted:
        if not found.get(name) or not _NAME.fullmatch(name):
            raise PostgresError(f"{source.address} has no logical slot {name}")
    return found


def install(data_dir: Path, states: Mapping[str, bytes]) -> None:
    """Put state files in place, while the server is down; a slot that is there stays as it is."""
    parent = data_dir / "pg_replslot"
    for name, state in states.items():
        folder = parent / name
        try:
            if folder.exists():
                continue
            # PostgreSQL removes a folder of this name at its start if we are cut off in between.
            making = parent / f"{name}.tmp"
            making.mkdir(mode=parent.stat().st_mode & 0o777, exist_ok=True)
            path = making / "state"
            write_bytes_atomically(path, state, mode=mode_for(path, data_dir))
            making.rename(folder)
            sync_folder(parent)
        except OSError as error:
            raise PostgresError(f"{folder} cannot be written: {error.strerror}") from None


def _connect_to(
    settings: Settings, source: Upstream, deadline: float, cancel: threading.Event
) -> Session:
    parameters = {
        **plans.rewind(settings, source, libpq=None),
        **plans.secrets_of(settings.postgresql.authentication.rewind),
        "application_name": "hae",
    }
    return Session(parameters, deadline, cancel=cancel)
