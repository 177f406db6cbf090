"""The local PostgreSQL as it was seen, as frozen values; `engine.state` hands them on."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from engine.cluster import HistoryLine
from engine.observed import Known, Unknown


class DirectoryKind(StrEnum):
    """What is found at postgresql.data_dir."""

    EMPTY = "empty"  # absent or empty: may be filled
    VALID = "valid"  # a data directory of our major version
    ALIEN = "alien"  # something that must not be touched: `problem` says what


@dataclass(frozen=True, slots=True)
class ControlData:
    """What pg_controldata says; read only while PostgreSQL is down (see `Postgres.must_reach`)."""

    state: str  # "shut down", "shut down in recovery", "in production", ...
    checkpoint_lsn: int
    timeline: int
    min_recovery_lsn: int = 0
    min_recovery_timeline: int = 0
    rewindable: bool = False  # data checksums or wal_log_hints


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The data directory as found on disk."""

    kind: DirectoryKind
    problem: str = ""
    system_identifier: str = ""
    control: ControlData | None = None
    standby_signal: bool = False


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The running postmaster; `frozen` when the kernel shows it stopped (SIGSTOP)."""

    pid: int
    start_ticks: int
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """One row of pg_replication_slots."""

    name: str
    kind: Literal["physical", "logical"] = "physical"
    active: bool = False
    active_pid: int | None = None  # the walsender that uses it
    restart_lsn: int | None = None
    confirmed_lsn: int | None = None  # logical: up to where its consumer has everything
    has_xmin: bool = False
    catalog_xmin: int | None = None
    wal_status: str = ""
    database: str = ""
    plugin: str = ""
    failover: bool = False


@dataclass(frozen=True, slots=True)
class ReplicationRow:
    """One row of pg_stat_replication on this server."""

    application_name: str
    state: str = ""
    sync_state: str = ""
    sync_priority: int = 0
    usename: str = ""
    client_addr: str = ""
    flush_lsn: int | None = None
    write_lsn: int | None = None
    replay_lsn: int | None = None
    pid: int | None = None  # of the walsender


@dataclass(frozen=True, slots=True)
class PendingParameter:
    """A changed parameter that needs a restart."""

    name: str
    old_value: str
    new_value: str


@dataclass(frozen=True, slots=True)
class Server:
    """What PostgreSQL answered by SQL.  Positions are LSNs; `None` is "not known"."""

    in_recovery: bool
    timeline: int | None
    server_version: int = 0
    system_identifier: str = ""
    write_lsn: int | None = None  # primary: current write position
    receive_lsn: int | None = None  # standby
    replay_lsn: int | None = None  # standby
    unread_wal: bool = False  # standby: there may be WAL here that it has not come to yet
    replay_paused: bool = False
    replayed_epoch: float | None = None
    replication_state: str | None = None  # "streaming", "in archive recovery"
    upstream: str | None = None  # "host:port" the WAL receiver is set to
    receiver: int | None = None  # pid of the WAL receiver: each one connects once
    upstream_lsn: int | None = None  # latest_end_lsn that the upstream reported
    checkpoint_timeline: int | None = None  # of the last checkpoint in pg_control
    started_epoch: float = 0.0
    slots: tuple[Slot, ...] = ()
    replication: tuple[ReplicationRow, ...] = ()
    pending: tuple[PendingParameter, ...] = ()
    timeline_history: tuple[HistoryLine, ...] = ()
    sync_names: str = ""  # synchronous_standby_names in force
    checkpointer_listens: bool = False  # it waits for signals, so it has heard of every one


@dataclass(frozen=True, slots=True)
class Postgres:
    """The local PostgreSQL: what is on disk, which process runs, and what it answers."""

    directory: DataDirectory
    postmaster: Postmaster | None
    server: Known[Server] | Unknown
    outdated: bool = False  # seen before the last job ended, or not at all yet: anything may run
    checkpointing: bool = False  # a CHECKPOINT that we asked for is running
    starting: bool = False  # the postmaster answers "the database system is starting up"
    must_reach: tuple[int, int] | None = None  # (timeline, LSN) before which a standby can't answer
    wanted_config: str = ""  # digest of the configuration that should be in force
    applied_config: str = ""  # digest of the configuration that was written and loaded last
    configured_upstream: str | None = None  # "host:port" in the written primary_conninfo
    configured_slot: str | None = None  # the written primary_slot_name
    written_sync_names: str | None = None  # our synchronous_standby_names; None: not ours
    setting_sync_names: bool = False  # a SetSyncNames has not ended, or not before this look began
