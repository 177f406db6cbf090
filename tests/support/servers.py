"""PostgreSQL servers and their directories, as a snapshot sees them."""

from __future__ import annotations

from typing import Any

from engine.state import (
    ControlData,
    DataDirectory,
    DirectoryKind,
    Known,
    Postgres,
    Postmaster,
    ReplicationRow,
    Server,
    Unknown,
)
from tests.support.snapshots import LSN, NOW, SYSTEM_IDENTIFIER


def control(state: str, **fields: Any) -> ControlData:
    """What pg_controldata says about a server that went down at LSN on timeline 3."""
    values: dict[str, Any] = {"checkpoint_lsn": LSN, "timeline": 3, "rewindable": True}
    return ControlData(state, **(values | fields))


def directory(kind: str = "valid", **fields: Any) -> DataDirectory:
    """A data directory; a valid one has the cluster's identifier."""
    values: dict[str, Any] = {"system_identifier": SYSTEM_IDENTIFIER if kind == "valid" else ""}
    return DataDirectory(DirectoryKind(kind), **(values | fields))


def running(server: Server | None, standby_signal: bool = False, **fields: Any) -> Postgres:
    """A PostgreSQL with a postmaster; without `server` it gives no answer."""
    values: dict[str, Any] = {
        "directory": directory(standby_signal=standby_signal),
        "postmaster": Postmaster(4711, 1),
        "server": Known(server, NOW) if server else Unknown(NOW - 12, "timed out after 3s"),
    }
    return Postgres(**(values | fields))


def down(found: DataDirectory) -> Postgres:
    """A PostgreSQL without a postmaster."""
    return Postgres(found, None, Unknown(NOW - 5, "PostgreSQL is down"))


def streams(name: str, sync_state: str = "async", **fields: Any) -> ReplicationRow:
    """The connection of that member, n<number>, to the primary, by which it has everything."""
    number = int(name[1:])
    values: dict[str, Any] = {"flush_lsn": LSN, "write_lsn": LSN, "replay_lsn": LSN}
    values |= {"pid": 100 + number, "usename": "replicator", "client_addr": f"10.0.0.{number}"}
    return ReplicationRow(name, "streaming", sync_state, **(values | fields))
