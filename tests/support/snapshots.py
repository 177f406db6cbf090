"""Hand-made snapshots of a small healthy cluster, for tests to vary with `dataclasses.replace`.

Belongs here: plain values. Must not: rules, I/O.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.policy import Policy
from engine.state import (
    Cluster,
    DataDirectory,
    DirectoryKind,
    Fence,
    HistoryLine,
    Known,
    Lease,
    Member,
    Postgres,
    Postmaster,
    ReplicationRow,
    Server,
    Snapshot,
    Tags,
)

NOW = 1000.0
LSN = 83886080
SYSTEM_IDENTIFIER = "7401234567890123456"
WALL = 1_790_000_000.0


def member(name: str, number: int, **fields: Any) -> Member:
    """A member as published: n<number> at 10.0.0.<number>."""
    values: dict[str, Any] = {
        "host": f"10.0.0.{number}",
        "api_url": f"http://10.0.0.{number}:8008/patroni",
        "state": "running",
        "role": "replica",
        "version": "4.1.5",
        "timeline": 3,
        "xlog_location": LSN,
    }
    return Member(name=name, **(values | fields))


def members() -> tuple[Member, ...]:
    """n1 leads, n2 streams, n3 streams and takes no read traffic."""
    standby: dict[str, Any] = {
        "receive_lsn": LSN,
        "replay_lsn": LSN,
        "replication_state": "streaming",
    }
    return (
        member("n1", 1, role="primary"),
        member("n2", 2, **standby),
        member("n3", 3, tags=Tags(noloadbalance=True), **standby),
    )


def cluster(**fields: Any) -> Cluster:
    """The store's view of those members, n1 having the lock."""
    values: dict[str, Any] = {
        "initialize": SYSTEM_IDENTIFIER,
        "leader": "n1",
        "leader_revision": 1,
        "members": members(),
        "config_present": True,
        "optime": LSN,
        "history": (HistoryLine(1, 50331808), HistoryLine(2, 67108864)),
    }
    return Cluster(**(values | fields))


def primary_server(**fields: Any) -> Server:
    """A primary with one standby connected."""
    values: dict[str, Any] = {
        "in_recovery": False,
        "timeline": 3,
        "server_version": 150004,
        "system_identifier": SYSTEM_IDENTIFIER,
        "write_lsn": LSN,
        "started_epoch": WALL - 1000,
        "replication": (
            ReplicationRow("n2", "streaming", "async", 0, "replicator", "10.0.0.2", LSN),
        ),
    }
    return Server(**(values | fields))


def standby_server(**fields: Any) -> Server:
    """A standby that streams and has replayed everything."""
    values: dict[str, Any] = {
        "in_recovery": True,
        "timeline": 3,
        "server_version": 150004,
        "system_identifier": SYSTEM_IDENTIFIER,
        "receive_lsn": LSN,
        "replay_lsn": LSN,
        "replayed_epoch": WALL - 3,
        "replication_state": "streaming",
        "started_epoch": WALL - 1000,
    }
    return Server(**(values | fields))


def snapshot(name: str, now: float, server: Server, **fields: Any) -> Snapshot:
    """The snapshot of that member of the cluster, everything observed at `now`."""
    me = cluster().member(name)
    assert me is not None, name
    values: dict[str, Any] = {
        "now": now,
        "wall": WALL,
        "me": me,
        "policy": Policy(),
        "cluster": Known(cluster(), now),
        "lease": Lease(),
        "postgres": Postgres(
            directory=DataDirectory(DirectoryKind.VALID, system_identifier=SYSTEM_IDENTIFIER),
            postmaster=Postmaster(4711, 1),
            server=Known(server, now),
        ),
        "fence": Fence(ready=True),
    }
    return Snapshot(**(values | fields))


def primary(now: float, **fields: Any) -> Snapshot:
    """n1: primary, the lease renewed just now."""
    values = {"lease": Lease(sent_at=now, ttl_seconds=30.0)} | fields
    return snapshot("n1", now, primary_server(), **values)


def replica(now: float, name: str = "n2", **fields: Any) -> Snapshot:
    """n2 (or n3): a streaming standby."""
    return snapshot(name, now, standby_server(), **fields)


def with_server(s: Snapshot, server: Any) -> Snapshot:
    """The same snapshot with another observation (Known or Unknown) of PostgreSQL."""
    return replace(s, postgres=replace(s.postgres, server=server))
