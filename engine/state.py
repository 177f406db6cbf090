"""The snapshot: everything one cycle may know, as frozen values.

Here live nouns for what is (never verbs, never rules).  The shell fills the record once per cycle;
the engine sees nothing else.  Time is a field.  An observation is `Known(value, when)` or
`Unknown(since, why)`; *absent* (no leader, no data directory) is a known value.  Collections are
tuples or sorted mappings so that iteration order cannot decide anything.

Two clocks appear, and never mix: `now`, `when`, `since`, `*_at` are seconds of CLOCK_BOOTTIME
(never runs backwards, counts suspend); fields that say `wall` or `epoch` are seconds since 1970.
LSNs are integers (bytes), timelines are integers from 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from engine.policy import Policy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """An observation that succeeded at `when`."""

    value: T
    when: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """An observation that has been failing since `since`; `why` is a sentence without secrets."""

    since: float
    why: str


# --- the store ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tags:
    """A member's tags; `other` holds the user's own, as text."""

    nofailover: bool = False
    noloadbalance: bool = False
    nosync: bool = False
    clonefrom: bool = False
    nostream: bool = False
    replicatefrom: str | None = None
    failover_priority: int = 1
    sync_priority: int = 1
    other: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """One `members/<name>` key.  `host`/`port` are taken from its conn_url."""

    name: str
    host: str = ""
    port: int = 5432
    api_url: str = ""
    state: str = ""
    role: str = ""
    version: str = ""
    timeline: int | None = None
    xlog_location: int | None = None
    receive_lsn: int | None = None
    replay_lsn: int | None = None
    replication_state: str | None = None
    tags: Tags = Tags()
    pause: bool = False
    checkpoint_after_promote: bool | None = None
    pending_restart: bool = False


@dataclass(frozen=True, slots=True)
class FailoverRequest:
    """The `failover` key: a switchover (with `leader`) or a failover (without) asked by hand."""

    leader: str | None
    candidate: str | None
    scheduled_epoch: float | None
    revision: int


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One finished timeline: it ended at `lsn`; `new_leader` opened the next one."""

    timeline: int
    lsn: int
    reason: str = ""
    timestamp: str = ""
    new_leader: str = ""


@dataclass(frozen=True, slots=True)
class SyncState:
    """The `sync` key; `standbys` is sorted, `quorum` is 0 outside quorum mode."""

    leader: str
    standbys: tuple[str, ...]
    quorum: int
    revision: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """The store's view of the cluster; members are sorted by name."""

    initialize: str | None = None
    founder: str | None = None  # the only one of us that may create `initialize`
    founder_revision: int = 0
    leader: str | None = None
    leader_revision: int = 0
    members: tuple[Member, ...] = ()
    config_present: bool = False
    optime: int | None = None
    slots: Mapping[str, int] = field(default_factory=dict)
    retain_slots: tuple[str, ...] = ()
    failover: FailoverRequest | None = None
    history: tuple[HistoryLine, ...] | None = None
    sync: SyncState | None = None
    failsafe: Mapping[str, str] | None = None

    def member(self, name: str | None) -> Member | None:
        """The member of that name, if it has a key."""
        for member in self.members:
            if member.name == name:
                return member
        return None


@dataclass(frozen=True, slots=True)
class Lease:
    """What this daemon's own requests proved about the leader lock.

    `sent_at` is taken just before the last successful acquire or renew was *sent*, so certainty
    never counts the time on the wire.  `refused` says that the store answered "not yours".
    """

    sent_at: float | None = None
    ttl_seconds: float = 30.0
    refused: bool = False


# --- PostgreSQL -----------------------------------------------------------------------------------


class DirectoryKind(StrEnum):
    """What is found at postgresql.data_dir."""

    EMPTY = "empty"  # absent or empty: may be filled
    VALID = "valid"  # a data directory of our major version
    ALIEN = "alien"  # something that must not be touched: `problem` says what


@dataclass(frozen=True, slots=True)
class ControlData:
    """What pg_controldata says; read only while PostgreSQL is down."""

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
    restart_lsn: int | None = None
    has_xmin: bool = False
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
    replay_paused: bool = False
    replayed_epoch: float | None = None
    replication_state: str | None = None  # "streaming", "in archive recovery"
    upstream: str | None = None  # "host:port" the WAL receiver is set to
    upstream_lsn: int | None = None  # latest_end_lsn that the upstream reported
    checkpoint_timeline: int | None = None  # of the last checkpoint in pg_control
    started_epoch: float = 0.0
    slots: tuple[Slot, ...] = ()
    replication: tuple[ReplicationRow, ...] = ()
    pending: tuple[PendingParameter, ...] = ()
    timeline_history: tuple[HistoryLine, ...] = ()  # primary only


@dataclass(frozen=True, slots=True)
class Postgres:
    """The local PostgreSQL: what is on disk, which process runs, and what it answers."""

    directory: DataDirectory
    postmaster: Postmaster | None
    server: Known[Server] | Unknown
    outdated: bool = False  # seen before the last job ended, or not at all yet: anything may run
    checkpointing: bool = False  # a CHECKPOINT that we asked for is running
    starting: bool = False  # the postmaster answers "the database system is starting up"
    wanted_config: str = ""  # digest of the configuration that should be in force
    applied_config: str = ""  # digest of the configuration that was written and loaded last
    configured_upstream: str | None = None  # "host:port" in the written primary_conninfo


# --- long work, requests, peers -------------------------------------------------------------------


class JobKind(StrEnum):
    """Long work on PostgreSQL; at most one runs at a time (a checkpoint may run beside it)."""

    INITDB = "initdb"
    CREATE_ROLES = "create roles"
    CLONE = "clone"
    START = "start"
    STOP = "stop"
    PROMOTE = "promote"
    CRASH_RECOVERY = "crash recovery"
    REWIND = "rewind"
    REMOVE = "remove data directory"


@dataclass(frozen=True, slots=True)
class Job:
    """Work in progress."""

    kind: JobKind
    since: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How the last job of a kind ended; `why` names the error without secrets."""

    kind: JobKind
    ok: bool
    finished: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class RestartCondition:
    """Filters of a restart request; empty means "always"."""

    pending_only: bool = False
    role: str | None = None
    below_version: int | None = None
    timeout_seconds: float | None = None
    scheduled_epoch: float | None = None


class RequestKind(StrEnum):
    """What an operator may ask of this node over REST."""

    RESTART = "restart"
    RELOAD = "reload"
    CANCEL_RESTART = "cancel restart"
    REINITIALIZE = "reinitialize"


@dataclass(frozen=True, slots=True)
class Request:
    """An operator's request that waits for an answer (`Answer` with the same id)."""

    id: int
    kind: RequestKind
    since: float
    condition: RestartCondition = RestartCondition()
    force: bool = False
    from_leader: bool = False


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What a member said when asked over REST (`AskPeers`), or that it did not answer."""

    name: str
    asked_at: float
    reachable: bool
    why: str = ""
    role: str = ""
    state: str = ""
    lsn: int | None = None  # primary: written; standby: max(received, replayed)
    timeline: int | None = None
    nofailover: bool = False
    failover_priority: int = 1
    watchdog_failed: bool = False
    stale: bool = False  # its loop has not run for longer than its lease could last


@dataclass(frozen=True, slots=True)
class LeaderTimeline:
    """What the leader said on a replication connection (`AskLeader`)."""

    leader: str
    asked_at: float
    timeline: int
    in_recovery: bool
    checkpointed: bool  # its last checkpoint is on its current timeline
    history: tuple[HistoryLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Fence:
    """The separate process that ends PostgreSQL when nobody moves the deadline."""

    ready: bool
    why: str = ""
    armed_pid: int | None = None
    kill_at: float | None = None


# --- memory and the whole -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """What the engine wants to know again next cycle; changed only by the `Remember` action."""

    bootstrapping: bool = False  # this node created `initialize` and fills the data directory
    bootstrap_failed: str = ""  # why a step of it failed
    roles_created: bool = False  # bootstrap: the SQL part is done
    primary_down_since: float | None = None  # our PostgreSQL died while we held the lock
    lock_free_since: float | None = None
    standing_down_since: float | None = None  # a graceful hand-over is under way
    handover_revision: int | None = None  # of the `failover` key that was due last,
    handover_since: float | None = None  # and since when: older answers do not count for it
    race_barred_until: float = 0.0
    diverged_from: int = 0  # the leader's timeline that our WAL was found not to be a part of
    rewinding: bool = False  # pg_rewind was begun; until it ends well the directory is half-made
    rewind_failed: str = ""  # why pg_rewind failed, until the directory is replaced
    job_seen: float = 0.0  # `finished` of the last job result that was taken note of
    failures: int = 0  # of jobs, in a row
    retry_at: float = 0.0  # no new try of a failed job before this moment
    scheduled_restart: RestartCondition | None = None
    restarting_since: float | None = None
    restarting_for: int | None = None  # request id of that restart; None: a scheduled one
    reinitialize: bool = False
    reinit_from_leader: bool = False
    announced_role: str = ""  # the role that the callbacks were last told
    announced_up: bool = False  # and whether they know that PostgreSQL runs
    status_at: float = 0.0  # when `status` was last written
    unclaimed_since: Mapping[str, float] = field(
        default_factory=dict
    )  # slots that no member claims any more


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything one cycle may know, read once by the shell; the engine sees nothing else."""

    now: float
    wall: float
    me: Member
    policy: Policy
    cluster: Known[Cluster] | Unknown
    lease: Lease
    postgres: Postgres
    fence: Fence
    memory: Memory = Memory()
    job: Job | None = None
    last_job: JobResult | None = None
    store_busy_since: float | None = None  # a store request is still under way
    published: Mapping[str, Any] | None = None  # the member document in the store
    published_at: float | None = None
    vanished: tuple[Member, ...] = ()  # whose keys were lost together with our own
    vanished_at: float = 0.0
    peers: tuple[PeerAnswer, ...] = ()
    leader_timeline: Known[LeaderTimeline] | Unknown | None = None
    requests: tuple[Request, ...] = ()
    consented_until: float = 0.0  # we told a primary without the store that it may go on so long
    stopping: bool = False
