"""What the store holds about the cluster, as frozen values; `engine.state` hands them on."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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

    @property
    def never_leads(self) -> bool:
        """Whether they forbid that this member leads."""
        return self.nofailover or self.failover_priority <= 0


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
class Vanished:
    """A member whose key is not in the store any more, as it was last; `at`: when that was seen.

    `with_ours` says that our own key went in the same moment: we, or the store, lost all of them.
    """

    member: Member
    at: float
    with_ours: bool = False


@dataclass(frozen=True, slots=True)
class KeysLost:
    """The store does not hold the cluster: `initialize` has no value, and nobody leads.

    `at`: when that was found, or when the keys were lost again since.  `seen` says that this daemon
    saw them go; else it has known the store only like this.
    """

    at: float
    seen: bool


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
    initialize_revision: int = 0
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
    failsafe: Mapping[str, str] | None = None  # member name -> api_url
    failsafe_revision: int = 0

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
