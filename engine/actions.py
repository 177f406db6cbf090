"""The actions: plain, final values.  The shell has exactly one executor for each class.

Every parameter that an executor needs is inside; an executor that would need to choose means that
the action was too vague.  Actions of a decision run in order and stop at the first failure; the
next cycle decides again from what is true then.  Only the `HEARTBEATS` may fail without stopping
what follows: a silent store must not keep a crashed primary from its restart.  A renewal that the
store *refused* stops everything.  `lane` says where an executor runs: "store" (one
request at a time, bounded), "job" (long work on PostgreSQL, one at a time), "here" (at once).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from engine.state import HistoryLine, JobKind

Lane: TypeAlias = Literal["store", "job", "here"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a standby streams from; `slot` is the slot name on that server, if one is used."""

    name: str
    host: str
    port: int
    slot: str | None = None


# --- the store ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AcquireLock:
    """Create the leader key, only if it is absent."""

    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class RenewLock:
    """Prolong the leader key, only if it is still ours; `create` it again if it is missing."""

    create: bool = True
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class ReleaseLock:
    """Delete the leader key, only if it is still ours; `final_lsn` goes to `status` first."""

    final_lsn: int | None
    why: str
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class PublishMember:
    """Write `members/<me>` with the TTL; an unchanged document only prolongs the TTL."""

    document: Mapping[str, Any]
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class WithdrawMember:
    """Delete `members/<me>`."""

    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class ClaimFounding:
    """Create `hae/founder` with our name, only if it is absent."""

    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class DropFounder:
    """Delete `hae/founder`, only at that revision."""

    revision: int
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class CreateInitialize:
    """Create `initialize`, only if absent; empty while its creator bootstraps the cluster."""

    system_identifier: str = ""
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class WriteInitialize:
    """Write the system identifier to `initialize`, only while it is empty or absent."""

    system_identifier: str
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class DeleteInitialize:
    """Give up the bootstrap: others may try."""

    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """Write the dynamic configuration for the first time."""

    text: str
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write `status`: the primary's position and those of its slots."""

    optime: int
    slots: Mapping[str, int]
    retain_slots: tuple[str, ...]
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class WriteHistory:
    """Write `history`: every finished timeline, oldest first.

    A line without a timestamp gets that of `epoch` (seconds since 1970).
    """

    lines: tuple[HistoryLine, ...]
    epoch: float
    lane: ClassVar[Lane] = "store"


@dataclass(frozen=True, slots=True)
class ClearFailover:
    """Delete the `failover` key, only at that revision; `why` is logged."""

    revision: int
    why: str
    lane: ClassVar[Lane] = "store"


# --- PostgreSQL -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunInitdb:
    """Create a new cluster in the empty data directory."""

    kind: ClassVar[JobKind] = JobKind.INITDB
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class CreateRoles:
    """After the bootstrap: superuser, replication and rewind roles, then post_bootstrap."""

    kind: ClassVar[JobKind] = JobKind.CREATE_ROLES
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class Clone:
    """Fill the empty data directory from that server (or a configured method)."""

    source: Upstream
    from_leader: bool = False
    kind: ClassVar[JobKind] = JobKind.CLONE
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class StartPostgres:
    """Start as primary, or as a standby of `upstream` (None: read-only, following nobody)."""

    role: Literal["primary", "standby"]
    upstream: Upstream | None
    timeout_seconds: float
    kind: ClassVar[JobKind] = JobKind.START
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class StopPostgres:
    """Stop; `checkpoint_first` while clients still work shortens a fast stop.

    `immediate` is for safety: it cancels whatever job runs, and ends with SIGKILL if it must.
    """

    mode: Literal["fast", "immediate"]
    why: str
    checkpoint_first: bool = False
    kind: ClassVar[JobKind] = JobKind.STOP
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class Promote:
    """Promote the running standby; ends when it accepts writes."""

    timeout_seconds: float
    kind: ClassVar[JobKind] = JobKind.PROMOTE
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class RecoverFromCrash:
    """Run single-user recovery so that pg_rewind finds a clean directory."""

    kind: ClassVar[JobKind] = JobKind.CRASH_RECOVERY
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class Rewind:
    """Run pg_rewind against that server."""

    source: Upstream
    kind: ClassVar[JobKind] = JobKind.REWIND
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """CHECKPOINT in the background, so that others may rewind to this new primary."""

    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class RemoveDataDirectory:
    """Empty the data directory.  `permission` names what allows it; recorded before it is done."""

    permission: str
    kind: ClassVar[JobKind] = JobKind.REMOVE
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class MoveDataDirectory:
    """After a failed bootstrap: set the half-made directory aside as `<data_dir>.failed`."""

    kind: ClassVar[JobKind] = JobKind.REMOVE
    lane: ClassVar[Lane] = "job"


@dataclass(frozen=True, slots=True)
class Follow:
    """Point the running standby at that upstream (None: nobody), by reload where that serves."""

    upstream: Upstream | None
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class ApplyConfiguration:
    """Write the configuration files of that digest and reload PostgreSQL if it runs."""

    digest: str
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class ReadConfiguration:
    """Read the node file again; an error keeps the configuration in force."""

    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class CreateSlots:
    """Create physical replication slots."""

    names: tuple[str, ...]
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class DropSlots:
    """Drop replication slots, each only while inactive."""

    names: tuple[str, ...]
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class AdvanceSlots:
    """On a standby: move physical slots forward to these positions."""

    positions: Mapping[str, int]
    lane: ClassVar[Lane] = "here"


# --- the fence, questions, memory, operators ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArmFence:
    """PostgreSQL must be gone `before_end_seconds` before our lease ends, or the fence ends it.

    Counted from the end of the lease as it is when the action is carried out: a renewal earlier in
    the same list moves the deadline.  `pid` 0 guards whatever server runs in the directory by then.
    """

    pid: int
    start_ticks: int
    before_end_seconds: float
    grace_seconds: float
    required: bool
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class DisarmFence:
    """PostgreSQL is not writable, or paused: no deadline."""

    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class AskPeers:
    """Ask these members for role, position and timeline over REST; the answers wake the loop."""

    names: tuple[str, ...]
    timeout_seconds: float
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class AskLeader:
    """Ask the leader for its timeline and its history on a replication connection."""

    leader: Upstream
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class RunCallback:
    """Run the operator's callback `on_start`, `on_stop`, ... with that role."""

    action: Literal["on_start", "on_stop", "on_restart", "on_reload", "on_role_change"]
    role: str
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an operator's request with an HTTP status and a text."""

    request_id: int
    status: int
    text: str
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class Remember:
    """Set fields of the memory; the only way that one cycle speaks to the next."""

    changes: Mapping[str, Any]
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class Report:
    """Say something to the operator (log at that level) because a rule found it worth saying."""

    level: Literal["info", "warning", "error"]
    text: str
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class Hold:
    """Do nothing, and say what is waited for; look again at `until` at the latest."""

    waiting_for: str
    until: float | None = None
    lane: ClassVar[Lane] = "here"


@dataclass(frozen=True, slots=True)
class Exit:
    """End the daemon with that exit code."""

    code: int
    why: str
    lane: ClassVar[Lane] = "here"


Action: TypeAlias = (
    AcquireLock
    | RenewLock
    | ReleaseLock
    | PublishMember
    | WithdrawMember
    | ClaimFounding
    | DropFounder
    | CreateInitialize
    | WriteInitialize
    | DeleteInitialize
    | WriteConfig
    | WriteStatus
    | WriteHistory
    | ClearFailover
    | RunInitdb
    | CreateRoles
    | Clone
    | StartPostgres
    | StopPostgres
    | Promote
    | RecoverFromCrash
    | Rewind
    | RunCheckpoint
    | RemoveDataDirectory
    | MoveDataDirectory
    | Follow
    | ApplyConfiguration
    | ReadConfiguration
    | CreateSlots
    | DropSlots
    | AdvanceSlots
    | ArmFence
    | DisarmFence
    | AskPeers
    | AskLeader
    | RunCallback
    | Answer
    | Remember
    | Report
    | Hold
    | Exit
)

# Nothing that follows in a list depends on these; what does, asks the lease itself.
HEARTBEATS = (RenewLock, PublishMember, WriteStatus, WriteHistory)
