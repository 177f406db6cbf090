"""Long work, what operators ask, what peers answered; `engine.state` hands them on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine.cluster import HistoryLine
from engine.server import Slot


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
    COPY_SLOTS = "copy logical slots"


@dataclass(frozen=True, slots=True)
class Job:
    """Work in progress; `kill_at`: when an immediate stop sends SIGKILL."""

    kind: JobKind
    since: float
    detail: str = ""
    kill_at: float | None = None


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
    paused: bool = False  # it is in maintenance mode, where nothing guards a primary
    looked_at: float | None = None  # from when its position is, at the earliest; None: when asked
    unread_wal: bool = False  # it may have more WAL than it has come to
    failsafe: bool = False  # it goes on by the members' word, or has given its own to a primary


@dataclass(frozen=True, slots=True)
class FailsafeCall:
    """A primary without the store asks that we let it go on; waits for an `Answer` with its id.

    `ttl_seconds` is how long it will count on our word, from before it asked; 0: it did not say.
    `slots` are the positions of its slots, by name.
    """

    id: int
    name: str
    since: float
    ttl_seconds: float = 0.0
    slots: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailsafeAnswer:
    """What a member said when asked to let us go on without the store (`AskFailsafe`).

    `asked_at` is taken before the question was sent; the member keeps its word at least from then
    for `ttl_seconds`.  `leads` says that it refused because it is primary, or leader, itself; `lsn`
    is what it had received when it agreed.
    """

    name: str
    asked_at: float
    ttl_seconds: float
    agreed: bool
    leads: bool = False
    why: str = ""
    lsn: int | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """How a timeline begins in the WAL that is here: its first record holds its moment.

    `copy` tells one filling of the data directory from another.
    """

    copy: int
    timeline: int
    checksum: int


@dataclass(frozen=True, slots=True)
class LeaderTimeline:
    """What the leader said on a replication connection (`AskLeader`).

    `same_wal` says whether the last WAL that we have is, byte by byte, what the leader has on the
    timeline of that number; None where it could not be compared.  `newer_wal_here`: we have WAL of
    a timeline with a higher number than its own, replayed or not.  `asked_on` is the timeline on
    which our WAL ended when it was asked; None where that was not known.  `receiver` is the WAL
    receiver that we streamed by then.  `openings` are those of our own WAL, as it was here then.
    """

    leader: str
    asked_at: float
    timeline: int
    in_recovery: bool
    checkpointed: bool  # its last checkpoint is on its current timeline
    history: tuple[HistoryLine, ...] = ()
    system_identifier: str = ""
    same_wal: bool | None = None
    newer_wal_here: bool = False
    asked_on: int | None = None
    receiver: int | None = None
    openings: tuple[Opening, ...] = ()


@dataclass(frozen=True, slots=True)
class Watchdog:
    """The device that resets the machine when nobody feeds it.  `why` says why it can't be used."""

    present: bool = False
    why: str = ""
    active: bool = False
    timeout_seconds: float = 0.0
    fed_at: float | None = None
    failed_at: float | None = None  # when it was refused last
    failed_why: str = ""


@dataclass(frozen=True, slots=True)
class LeaderSlots:
    """What the leader said about logical slots (`AskSlots`), and what WAL is here to go with them.

    `feedback_xmin`: the oldest catalog row that the leader keeps for this standby.
    """

    leader: str
    asked_at: float
    slots: tuple[Slot, ...] = ()
    feedback_xmin: int | None = None
    oldest_lsn_here: int | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """The separate process that ends PostgreSQL when nobody moves the deadline."""

    ready: bool
    why: str = ""
    armed_pid: int | None = None
    kill_at: float | None = None
