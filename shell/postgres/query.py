"""The one SQL statement of an observation, and how its row becomes a `Server`.

PostgreSQL 13 to 18 understand it: rows of views whose columns differ are fetched whole as JSON.
Not here: connections, deadlines (`observe.py`).
"""

from collections.abc import Mapping
from typing import Any

from engine.state import PendingParameter, ReplicationRow, Server, Slot
from shell.postgres.conninfo import address_of
from shell.postgres.quoting import parse_lsn
from shell.postgres.session import Row

# Columns in the order of `SERVER_COLUMNS`.  In recovery some functions raise errors, hence CASE.
STATEMENT = """
SELECT r.recovering,
 current_setting('server_version_num')::int,
 (SELECT system_identifier::text FROM pg_control_system()),
 (extract(epoch FROM pg_postmaster_start_time()))::float8,
 c.timeline_id,
 CASE WHEN r.recovering THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END,
 CASE WHEN r.recovering THEN NULL ELSE pg_current_wal_lsn()::text END,
 pg_last_wal_receive_lsn()::text,
 pg_last_wal_replay_lsn()::text,
 CASE WHEN r.recovering THEN pg_is_wal_replay_paused() ELSE false END,
 (extract(epoch FROM pg_last_xact_replay_timestamp()))::float8,
 CASE WHEN r.recovering THEN
  (SELECT min_recovery_end_timeline FROM pg_control_recovery()) ELSE 0 END,
 CASE WHEN r.recovering THEN (SELECT row_to_json(w) FROM pg_stat_wal_receiver w) END,
 current_setting('primary_conninfo'),
 current_setting('restore_command'),
 (SELECT json_agg(row_to_json(s)) FROM pg_replication_slots s),
 (SELECT json_agg(row_to_json(a)) FROM (SELECT application_name, state, sync_state, pid,
   sync_priority, usename, client_addr, flush_lsn, write_lsn, replay_lsn
   FROM pg_stat_replication) a),
 (SELECT json_agg(row_to_json(p)) FROM (SELECT name, current_setting(name) AS old,
   coalesce((SELECT f.setting FROM pg_file_settings f WHERE f.name = g.name
     ORDER BY f.seqno DESC LIMIT 1), g.boot_val) AS new
   FROM pg_settings g WHERE pending_restart) p),
 (SELECT json_object_agg(name, current_setting(name)) FROM unnest(%s) AS name),
 current_setting('synchronous_standby_names'),
 (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'checkpointer'),
 (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup')
FROM (SELECT pg_is_in_recovery() AS recovering) r, pg_control_checkpoint() c
"""

LISTENING = frozenset({"CheckpointerMain", "CheckpointWriteDelay"})
# Where the startup process waits for more WAL: it has replayed all that is here.
READ_EVERYTHING = frozenset({"RecoveryWalStream", "RecoveryRetrieveRetryInterval"})


def parse(row: Row, wanted: Mapping[str, str]) -> tuple[Server, str]:
    """Turn the row into the record, and the hex name part of a primary's timeline ("" if none).

    `wanted` are the controlled parameters as configured; those that run with another value are
    pending, because the command line hides a change of the file from the server.
    """
    (
        recovering,
        version,
        identifier,
        started,
        checkpoint_timeline,
        walfile,
        write,
        receive,
        replay,
        paused,
        replayed,
        minimum_timeline,
        receiver,
        conninfo,
        restore_command,
        slots,
        replication,
        pending,
        running,
        sync_names,
        checkpointer_waits,
        startup_waits,
    ) = row
    receiver = receiver or {}
    server = Server(
        in_recovery=recovering,
        timeline=_timeline(walfile, receiver, checkpoint_timeline, minimum_timeline),
        server_version=version,
        system_identifier=identifier,
        write_lsn=parse_lsn(write),
        receive_lsn=parse_lsn(receive) if recovering else None,
        replay_lsn=parse_lsn(replay) if recovering else None,
        # A receiver starts where replay has come to the end; from then on the position tells.
        unread_wal=recovering and receive is None and startup_waits not in READ_EVERYTHING,
        replay_paused=paused,
        replayed_epoch=replayed,
        replication_state=_replication_state(recovering, receiver, restore_command),
        upstream=_upstream(recovering, receiver, conninfo),
        receiver=receiver.get("pid"),
        upstream_lsn=parse_lsn(receiver.get("latest_end_lsn")),
        checkpoint_timeline=checkpoint_timeline,
        started_epoch=started,
        slots=tuple(slot(one) for one in sorted(slots or [], key=lambda s: str(s["slot_name"]))),
        replication=_replication(replication or []),
        pending=_pending(pending or [], running or {}, wanted),
        sync_names=sync_names,
        # Waiting there, it has handled every signal before.
        checkpointer_listens=checkpointer_waits in LISTENING,
    )
    return server, walfile or ""


def _timeline(
    walfile: str | None, receiver: Mapping[str, Any], checkpoint: int, minimum: int
) -> int | None:
    if walfile:
        return int(walfile[:8], 16)
    if receiver.get("status") == "streaming" and receiver.get("received_tli"):
        return int(receiver["received_tli"])
    return max(checkpoint, minimum) or None


def _replication_state(
    recovering: bool, receiver: Mapping[str, Any], restore_command: str
) -> str | None:
    if not recovering:
        return None
    if receiver.get("status") == "streaming":
        return "streaming"
    return "in archive recovery" if restore_command else None


def _upstream(recovering: bool, receiver: Mapping[str, Any], conninfo: str) -> str | None:
    if not recovering:
        return None
    if receiver.get("status") == "streaming" and receiver.get("sender_host"):
        return f"{receiver['sender_host']}:{receiver['sender_port']}"
    return address_of(conninfo)


def slot(row: Mapping[str, Any]) -> Slot:
    """A row of pg_replication_slots, as JSON gives it."""
    return Slot(
        name=row["slot_name"],
        kind=row["slot_type"],
        active=bool(row["active"]),
        active_pid=row["active_pid"],
        restart_lsn=parse_lsn(row["restart_lsn"]),
        confirmed_lsn=parse_lsn(row["confirmed_flush_lsn"]),
        catalog_xmin=None if row["catalog_xmin"] is None else int(row["catalog_xmin"]),
        has_xmin=row["xmin"] is not None or row["catalog_xmin"] is not None,
        wal_status=row.get("wal_status") or "",
        database=row["database"] or "",
        plugin=row["plugin"] or "",
        failover=bool(row.get("failover")),
    )


def _replication(rows: list[Mapping[str, Any]]) -> tuple[ReplicationRow, ...]:
    found = [
        ReplicationRow(
            application_name=row["application_name"] or "",
            state=row["state"] or "",
            sync_state=row["sync_state"] or "",
            sync_priority=row["sync_priority"] or 0,
            usename=row["usename"] or "",
            client_addr=row["client_addr"] or "",
            flush_lsn=parse_lsn(row["flush_lsn"]),
            write_lsn=parse_lsn(row["write_lsn"]),
            replay_lsn=parse_lsn(row["replay_lsn"]),
            pid=row["pid"],
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda row: (row.application_name, row.client_addr, row.state)))


def _pending(
    rows: list[Mapping[str, Any]], running: Mapping[str, str], wanted: Mapping[str, str]
) -> tuple[PendingParameter, ...]:
    found = {
        row["name"]: PendingParameter(row["name"], row["old"] or "", row["new"] or "")
        for row in rows
        # A standby's own settings leave the file at its promotion; PostgreSQL flags even that.
        if not _same(row["old"] or "", row["new"] or "")
    }
    for name, value in running.items():
        if name in wanted and not _same(value, wanted[name]):
            found[name] = PendingParameter(name, value, wanted[name])
    return tuple(found[name] for name in sorted(found))


_SPELLINGS = {"true": "on", "yes": "on", "1": "on", "false": "off", "no": "off", "0": "off"}


def _same(one: str, other: str) -> bool:
    left, right = one.strip().lower(), other.strip().lower()
    return left == right or _SPELLINGS.get(left, left) == _SPELLINGS.get(right, right)
