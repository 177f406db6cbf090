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
from typing import Any

from engine.cluster import (
    Cluster,
    FailoverRequest,
    HistoryLine,
    KeysLost,
    Lease,
    Member,
    SyncState,
    Tags,
    Vanished,
)
from engine.observed import (
    Known,
    Unknown,
)
from engine.policy import Policy
from engine.server import (
    ControlData,
    DataDirectory,
    DirectoryKind,
    PendingParameter,
    Postgres,
    Postmaster,
    ReplicationRow,
    Server,
    Slot,
)
from engine.work import (
    FailsafeAnswer,
    FailsafeCall,
    Fence,
    Job,
    JobKind,
    JobResult,
    LeaderSlots,
    LeaderTimeline,
    Opening,
    PeerAnswer,
    Request,
    RequestKind,
    RestartCondition,
    Watchdog,
)

__all__ = [
    "Cluster",
    "ControlData",
    "DataDirectory",
    "DirectoryKind",
    "FailoverRequest",
    "FailsafeAnswer",
    "FailsafeCall",
    "Fence",
    "HistoryLine",
    "Job",
    "JobKind",
    "JobResult",
    "KeysLost",
    "Known",
    "LeaderSlots",
    "LeaderTimeline",
    "Lease",
    "Member",
    "Memory",
    "Opening",
    "PeerAnswer",
    "PendingParameter",
    "Postgres",
    "Postmaster",
    "ReplicationRow",
    "Request",
    "RequestKind",
    "RestartCondition",
    "Server",
    "Slot",
    "Snapshot",
    "SyncState",
    "Tags",
    "Unknown",
    "Vanished",
    "Watchdog",
]


@dataclass(frozen=True, slots=True)
class Memory:
    """What the engine wants to know again next cycle; changed only by the `Remember` action."""

    knows_cluster: bool = True  # it was seen in the store; False: nothing was ever kept here
    bootstrapping: bool = False  # this node created `initialize` and fills the data directory
    bootstrap_failed: str = ""  # why a step of it failed
    bootstrap_copied: bool = False  # bootstrap of a standby cluster: the data is the remote's
    roles_created: bool = False  # bootstrap: the SQL part is done
    beaten: str = ""  # the system that we were founding here when another one turned out to lead
    primary_down_since: float | None = None  # our PostgreSQL died while we held the lock
    lock_free_since: float | None = None
    standing_down_since: float | None = None  # a graceful hand-over is under way
    handover_revision: int | None = None  # of the `failover` key that was due last,
    handover_since: float | None = None  # and since when: older answers do not count for it
    lease_void: float | None = (
        None  # the lease sent then: the store has shown since that it is over
    )
    shortened_lease: float | None = None  # the lease sent then counts no longer than until this
    shortened_until: float = 0.0  # moment: we have asked for a shorter one since
    race_barred_until: float = 0.0
    race_position: int = 0  # how far we had received when the old primary was last seen to send,
    race_moved_at: float = 0.0  # and when that was (primary_race_backoff)
    diverged_from: int = 0  # the leader's timeline that our WAL was found not to be a part of
    needs_new_copy: bool = False  # no part of the cluster, and pg_rewind would not mend it
    wrote_on: int | None = None  # the timeline that we wrote last,
    promotions_begun: int = 0  # since then, and perhaps more; for all we know each wrote one
    promoting: bool = False  # the server that runs was told to become primary, or is about to be
    proven: tuple[int, int] | None = None  # (WAL receiver, timeline) whose upstream has our WAL
    opening: Opening | None = None  # of the newest timeline that was proven to be the leader's
    former_upstream: str = ""  # host:port of whom we followed when the store fell silent
    rewinding: bool = False  # pg_rewind was begun; until it ends well the directory is half-made
    rewound_from: tuple[int, int] | None = None  # where our WAL ended, until a server answers again
    rewind_failed: str = ""  # why pg_rewind failed, until the directory is replaced
    job_seen: float = 0.0  # `finished` of the last job result that was taken note of
    failures: int = 0  # of jobs, in a row
    retry_at: float = 0.0  # no new try of a failed job before this moment
    scheduled_restart: RestartCondition | None = None
    restarting_since: float | None = None
    restarting_for: int | None = None  # request id of that restart; None: a scheduled one
    leaving_since: float | None = None  # we ask to be synchronous no more, because a stop is due
    reinitialize: bool = False
    reinit_from_leader: bool = False
    announced_role: str = ""  # the role that the callbacks were last told
    announced_up: bool = False  # and whether they know that PostgreSQL runs
    status_at: float = 0.0  # when `status` was last written
    sync_names: str | None = None  # synchronous_standby_names as it was seen in force,
    sync_names_since: float = 0.0  # since when,
    sync_names_lsn: int | None = None  # and a position by which everything obeyed it
    sync_asked: int | None = None  # revision of `sync` that our last write of it should replace
    raced_on: int | None = None  # revision of `sync` (0: no key) by which we took the lock
    unclaimed_since: Mapping[str, float] = field(
        default_factory=dict
    )  # slots that no member claims any more
    logical_slots: tuple[str, ...] = ()  # those here that the configuration asks, or asked, for
    covered_by: str = ""  # the leader that keeps the catalog rows which our logical slots need
    covered_from: Mapping[str, int] = field(default_factory=dict)  # slot: safe from that xmin on
    failsafe_members: Mapping[str, str] = field(
        default_factory=dict
    )  # who must agree that we go on without the store, we among them; empty: not known
    failsafe_sent: Mapping[str, str] = field(default_factory=dict)  # the last one that we wrote,
    failsafe_sent_over: int = -1  # and the revision that it was to replace
    failsafe_listed: Mapping[str, str] = field(
        default_factory=dict
    )  # whom the `failsafe` key named when the store was last seen to hold the cluster
    failsafe_until: float = 0.0  # the members agreed that we go on until then,
    failsafe_lease: float | None = None  # prolonging the lease that was sent at that moment
    bring_back: bool = (
        False  # an operator asked for what stopped PostgreSQL: start it, in pause too
    )
    fence_missing_since: float | None = None  # we lead, and the required fence is gone
    consented_until: float = 0.0  # we agreed not to lead until then,
    consented_to: str = ""  # for the sake of this primary
    ttl_seconds: float = 30.0  # the configuration's, as it was noted last,
    ttl_since: float = 0.0  # since when, in this life of the daemon,
    longest_ttl_seconds: float = 30.0  # and the longest that a lease from before may still have


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
    watchdog: Watchdog = Watchdog()  # noqa: RUF009 - it is frozen
    job: Job | None = None
    last_job: JobResult | None = None
    store_busy_since: float | None = None  # a store request is still under way
    published: Mapping[str, Any] | None = None  # the member document in the store
    published_at: float | None = None
    vanished: tuple[Vanished, ...] = ()  # whose keys have gone from the store
    keys_lost: KeysLost | None = None  # until the store holds a cluster, or a leader, again
    peers: tuple[PeerAnswer, ...] = ()
    leader_timeline: Known[LeaderTimeline] | Unknown | None = None
    leader_slots: Known[LeaderSlots] | Unknown | None = None
    requests: tuple[Request, ...] = ()
    failsafe_calls: tuple[FailsafeCall, ...] = ()
    failsafe_answers: tuple[FailsafeAnswer, ...] = ()
    started_at: float = 0.0  # when this daemon began
    stopping: bool = False
