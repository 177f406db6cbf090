"""The JSON documents of the API: the node's status and the cluster's.

Here belongs how facts are written down, field by field as the contract names them.  Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine import watchdog
from engine.state import Cluster, Known, PendingParameter, ReplicationRow, Server, Snapshot
from engine.timelines import lsn_text
from shell import layout
from shell.api.facts import Facts
from shell.api.options import ApiOptions
from shell.desk import Publication


def status_document(
    publication: Publication, f: Facts, options: ApiOptions, last_view: Known[Cluster] | None
) -> dict[str, Any]:
    """Return what `GET /patroni` shows, apart from the ages that change with every request."""
    s = publication.snapshot
    document: dict[str, Any] = {"state": f.state, "role": f.role}
    if f.server is not None and f.state == "running":
        document |= _server_fields(f.server)
    document |= _flags(publication, f)
    if last_view is not None:
        document["dcs_last_seen"] = int(s.wall - (s.now - last_view.when))
    identifier = (f.server.system_identifier if f.server else "") or (
        s.postgres.directory.system_identifier
    )
    if identifier:
        document["database_system_identifier"] = identifier
    if f.tags:
        document["tags"] = dict(f.tags)
    document |= _pending(f.server.pending if f.server else ())
    document |= scheduled_restart(s)
    document["patroni"] = {
        "version": options.version,
        "scope": options.scope,
        "name": options.name,
    }
    return document


def _server_fields(server: Server) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "postmaster_start_time": timestamp_text(server.started_epoch),
        "server_version": server.server_version,
    }
    if server.in_recovery:
        received = server.receive_lsn if server.receive_lsn is not None else server.replay_lsn
        fields["xlog"] = {
            "received_location": received,
            "replayed_location": server.replay_lsn,
            "replayed_timestamp": timestamp_text(server.replayed_epoch),
            "paused": server.replay_paused,
        }
        if server.unread_wal:
            fields["xlog"]["unread"] = True
    else:
        fields["xlog"] = {"location": server.write_lsn}
    if server.timeline is not None:
        fields["timeline"] = server.timeline
    if server.replication:
        fields["replication"] = [_replication(row) for row in server.replication]
    if server.replication_state:
        fields["replication_state"] = server.replication_state
    return fields


def _replication(row: ReplicationRow) -> dict[str, Any]:
    return {
        "usename": row.usename,
        "application_name": row.application_name,
        "client_addr": row.client_addr,
        "state": row.state,
        "sync_state": row.sync_state,
        "sync_priority": row.sync_priority,
    }


def _flags(publication: Publication, f: Facts) -> dict[str, bool]:
    snapshot = publication.snapshot
    flags = {
        "sync_standby": f.is_sync and f.role == "replica",
        "quorum_standby": f.is_quorum and f.role == "replica",
        "pause": f.paused,
        "cluster_unlocked": f.cluster_unlocked,
        "failsafe_mode_is_active": f.failsafe_until > snapshot.now,
        "watchdog_failed": watchdog.is_missing(snapshot),
    }
    return {name: True for name, holds in flags.items() if holds}


def _pending(parameters: tuple[PendingParameter, ...]) -> dict[str, Any]:
    if not parameters:
        return {}
    reasons = {p.name: {"old_value": p.old_value, "new_value": p.new_value} for p in parameters}
    return {"pending_restart": True, "pending_restart_reason": reasons}


def scheduled_restart(s: Snapshot) -> dict[str, Any]:
    """Return the field of that name, if a restart is scheduled."""
    planned = s.memory.scheduled_restart
    if planned is None or planned.scheduled_epoch is None:
        return {}
    filters = {
        "schedule": layout.iso_from_epoch(planned.scheduled_epoch),
        "role": planned.role,
        "postgres_version": _version_text(planned.below_version),
        "timeout": planned.timeout_seconds,
        "restart_pending": planned.pending_only or None,
    }
    return {"scheduled_restart": {k: v for k, v in filters.items() if v is not None}}


def _version_text(number: int | None) -> str | None:
    return None if number is None else f"{number // 10000}.{number % 10000}"


def ages(f: Facts, now: float, asked_at: float) -> bytes:
    """Return the `hae` field of the status document at that instant, as JSON.

    `loop_age`: seconds since the main loop last published.  `lease_left`: seconds for which our
    lock is certain, null when we have none.  `observed_age`: how many seconds before the call
    arrived PostgreSQL had answered, 0 if it was later.
    """
    left = f.lease_ends
    observed = f.observed_at
    return b'"hae":{"loop_age":%.3f,"lease_left":%s,"observed_age":%s}' % (
        now - f.published_at,
        b"null" if left is None else b"%.3f" % (left - now),
        b"null" if observed is None else b"%.6f" % max(0.0, asked_at - observed),
    )


def timestamp_text(epoch: float | None) -> str | None:
    """Return a moment as `YYYY-MM-DD HH:MM:SS.ffffff+00:00`."""
    if not epoch:
        return None
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00:00")


def as_json(value: Any) -> bytes:
    """Return `value` as JSON text."""
    return json.dumps(value, default=dict).encode()


# --- the cluster ----------------------------------------------------------------------------------


def cluster_document(
    entries: Mapping[str, layout.StoredValue], scope: str, *, standby_cluster: bool, paused: bool
) -> dict[str, Any]:
    """Return what `GET /cluster` shows, from the store's keys."""
    cluster = layout.parse_cluster(entries)
    published = layout.member_documents(entries)
    document: dict[str, Any] = {
        "members": [
            _member(cluster, name, published[name], standby_cluster) for name in sorted(published)
        ],
        "scope": scope,
    }
    if paused:
        document["pause"] = True
    request = cluster.failover
    if request is not None and request.scheduled_epoch is not None:
        planned = {
            "at": layout.iso_from_epoch(request.scheduled_epoch),
            "from": request.leader,
            "to": request.candidate,
        }
        document["scheduled_switchover"] = {k: v for k, v in planned.items() if v}
    return document


def _member(
    cluster: Cluster, name: str, published: Mapping[str, Any], standby_cluster: bool
) -> dict[str, Any]:
    member = layout.parse_member(name, published)
    leads = name == cluster.leader
    streams = member.state == "running" and not leads and member.replication_state
    document: dict[str, Any] = {
        "name": name,
        "role": _member_role(cluster, name, standby_cluster),
        "state": member.replication_state if streams else member.state,
        "api_url": member.api_url,
        "host": member.host,
        "port": member.port,
    }
    if member.timeline is not None:
        document["timeline"] = member.timeline
    for field in ("pending_restart", "pending_restart_reason", "scheduled_restart", "tags"):
        if published.get(field):
            document[field] = published[field]
    if not leads:
        document |= _positions(cluster, member.receive_lsn, member.replay_lsn)
        document |= _position("lsn", "lag", cluster, member.xlog_location)
    return document


def _member_role(cluster: Cluster, name: str, standby_cluster: bool) -> str:
    if name == cluster.leader:
        return "standby_leader" if standby_cluster else "leader"
    sync = cluster.sync
    if sync is None or standby_cluster or not sync.leader or sync.leader != cluster.leader:
        return "replica"
    if name.lower() not in {standby.lower() for standby in sync.standbys}:
        return "replica"
    return "quorum_standby" if sync.quorum else "sync_standby"


def _positions(cluster: Cluster, received: int | None, replayed: int | None) -> dict[str, Any]:
    return _position("receive_lsn", "receive_lag", cluster, received) | _position(
        "replay_lsn", "replay_lag", cluster, replayed
    )


def _position(lsn_name: str, lag_name: str, cluster: Cluster, lsn: int | None) -> dict[str, Any]:
    if lsn is None:
        return {lsn_name: "unknown", lag_name: "unknown"}
    leading = _leading_lsn(cluster)
    lag: int | str = "unknown" if leading is None else max(0, leading - lsn)
    return {lsn_name: lsn_text(lsn), lag_name: lag}


def _leading_lsn(cluster: Cluster) -> int | None:
    leader = cluster.member(cluster.leader)
    known = [cluster.optime, leader.xlog_location if leader is not None else None]
    return max((lsn for lsn in known if lsn is not None), default=None)
