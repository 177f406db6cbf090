"""What no list of actions may contain: two that contradict each other, or one without its ground.

Belongs here: promises about one decision, as functions that give the sentences that are broken.
Used by the property tests and by whatever else runs the engine.  They only look.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeVar, get_args

from engine.actions import (
    AcquireLock,
    Action,
    ArmFence,
    Clone,
    CreateInitialize,
    DeleteInitialize,
    DisarmFence,
    Exit,
    JobAction,
    Promote,
    PublishMember,
    ReleaseLock,
    RemoveDataDirectory,
    RunInitdb,
    StartPostgres,
    StopPostgres,
    WithdrawMember,
    WriteInitialize,
)
from engine.state import JobKind, Known, PeerAnswer, Snapshot

T = TypeVar("T")
_JOBS = frozenset(get_args(JobAction))
_WEIGHTY = _JOBS | {Exit}

# Work that runs on a directory without a server that clients could reach.
WITHOUT_CLIENTS = frozenset(
    {JobKind.INITDB, JobKind.CLONE, JobKind.REWIND, JobKind.CRASH_RECOVERY, JobKind.REMOVE}
)

# What starts, stops, promotes, fills or removes a server.
ON_POSTGRES = (StartPostgres, StopPostgres, Promote, RemoveDataDirectory, Clone, RunInitdb)

# What must not stand in one list, in whatever order.
_APART: tuple[tuple[type, type], ...] = (
    (Promote, StopPostgres),
    (StartPostgres, StopPostgres),
    (AcquireLock, ReleaseLock),
    (AcquireLock, StopPostgres),
    (AcquireLock, Exit),
    (PublishMember, WithdrawMember),
    (Promote, Exit),
    (Promote, ReleaseLock),
    (StartPostgres, Exit),
    (CreateInitialize, DeleteInitialize),
    (WriteInitialize, DeleteInitialize),
)

# Without any of these no list contradicts itself.
CONTRADICTING = (*{kind for pair in _APART for kind in pair} | _WEIGHTY, DisarmFence)


def of(kind: type[T], actions: Sequence[Action]) -> list[T]:
    """The actions of that class."""
    return [action for action in actions if isinstance(action, kind)]


def contradictions(s: Snapshot, actions: Sequence[Action]) -> list[str]:
    """Every way in which these actions can't be meant together; empty when they can."""
    kinds = tuple(map(type, actions))
    found = [*_by_kind(kinds)]
    if _WEIGHTY.isdisjoint(kinds):
        return found
    jobs = [action for action in actions if type(action) in _JOBS]
    if len(jobs) > 1:
        found.append(f"more than one piece of long work: {jobs}")
    if s.job is not None:
        found += [f"{j} during {s.job}" for j in jobs if not _may_cut_in(j)]
    if Exit in kinds:
        if len(set(map(repr, of(Exit, actions)))) > 1:
            found.append("two different exits")
        found += _after_the_end(actions) + _holding(s, actions)
    return found


@cache
def _by_kind(kinds: tuple[type, ...]) -> tuple[str, ...]:
    """The contradictions that the classes of the actions show."""
    found = [
        f"{one.__name__} together with {other.__name__}"
        for one, other in _APART
        if one in kinds and other in kinds
    ]
    if DisarmFence in kinds and ArmFence in kinds[: kinds.index(DisarmFence)]:
        found.append("the fence is armed and disarmed again")
    return tuple(found)


def _may_cut_in(action: Action) -> bool:
    return isinstance(action, StopPostgres) and action.mode == "immediate"


def _after_the_end(actions: Sequence[Action]) -> list[str]:
    for n, action in enumerate(actions):
        if isinstance(action, Exit) and n + 1 < len(actions):
            return [f"{actions[n + 1]} after the end of the daemon"]
    return []


def _holding(s: Snapshot, actions: Sequence[Action]) -> list[str]:
    """A daemon that was told to end releases its lock first, unless the cluster is paused."""
    leaving = [x for x in of(Exit, actions) if x.code == 0]
    if not leaving or s.policy.pause or lease_left(s) <= 0 or not store_names(s, s.me.name):
        return []
    if s.job is not None and s.job.kind in WITHOUT_CLIENTS:
        return []  # nothing that such work leaves behind is worth a lock; it ends with its ttl
    return [] if of(ReleaseLock, actions) else ["ends without releasing the lock"]


# --- reading a snapshot on its own terms: the engine's facts are what is being tested -------------


def is_foreign(s: Snapshot) -> bool:
    """Whether the data directory is known to be another cluster's."""
    running = isinstance(s.postgres.server, Known) and s.postgres.server.value.system_identifier
    ours = running or s.postgres.directory.system_identifier
    theirs = s.cluster.value.initialize if isinstance(s.cluster, Known) else None
    return bool(ours and theirs and ours != theirs)


def lease_left(s: Snapshot) -> float:
    """Seconds that our lease is certain for, by the store or by the members; else 0 or less."""
    sent = s.lease.sent_at
    if sent is None or s.lease.refused or s.memory.lease_void == sent or consented(s):
        return 0.0
    if any(answer.leads and answer.asked_at > sent for answer in s.failsafe_answers):
        return 0.0
    ends = sent + s.lease.ttl_seconds
    if s.memory.failsafe_lease == sent:
        ends = max(ends, s.memory.failsafe_until)
    return ends - s.now


def answers(s: Snapshot) -> list[PeerAnswer]:
    """What members said in the last three seconds, and in a race since the lock is free."""
    since = max(s.memory.lock_free_since or 0.0, s.now - 3.0)
    return [answer for answer in s.peers if answer.asked_at >= since]


def consented(s: Snapshot) -> bool:
    """Whether a primary without the store counts on it that we do not lead."""
    return s.now < s.memory.consented_until


def stop_margin(s: Snapshot) -> float:
    """How long before the end of the lease an immediate stop must begin."""
    return min(5.0, max(1.0, s.policy.ttl_seconds * 0.2))


def store_names(s: Snapshot, name: str) -> bool:
    """Whether the store is known to name that member as the owner of the lock."""
    return isinstance(s.cluster, Known) and s.cluster.value.leader == name


def another_leads(s: Snapshot) -> bool:
    """Whether the store is known to name somebody else."""
    known = isinstance(s.cluster, Known)
    return known and s.cluster.value.leader not in {None, s.me.name}  # type: ignore[union-attr]


def may_be_writable(s: Snapshot) -> bool:
    """A postmaster runs, and nothing proves that it is a standby."""
    if s.postgres.postmaster is None:
        return False
    if s.job is not None and s.job.kind in WITHOUT_CLIENTS:
        return False
    if s.memory.promoting or (s.job is not None and s.job.kind is JobKind.PROMOTE):
        return True
    copies = s.memory.bootstrap_copied or s.policy.standby_cluster is not None
    founds = s.memory.bootstrapping and not copies
    if founds and not s.postgres.directory.standby_signal:
        return True  # what is being recovered becomes writable by itself
    if isinstance(s.postgres.server, Known):
        return not s.postgres.server.value.in_recovery
    return not s.postgres.directory.standby_signal


def runs_as_primary(s: Snapshot) -> bool:
    """A postmaster runs and answered that it is not in recovery."""
    told = s.postgres.server
    known = s.postgres.postmaster is not None and isinstance(told, Known)
    return known and not told.value.in_recovery  # type: ignore[union-attr]


def synchronous(s: Snapshot) -> bool:
    """Synchronous mode is on, and the cluster has a primary of its own."""
    return s.policy.synchronous_mode != "off" and s.policy.standby_cluster is None


def leads_by_sync(s: Snapshot, name: str) -> bool:
    """Whether synchronous mode is on and `sync` names that member as the leader.

    Nobody was told of a commit that it lacks, and it may be the only one that the key lets lead.
    """
    key = s.cluster.value.sync if isinstance(s.cluster, Known) else None
    return synchronous(s) and key is not None and key.leader == name


def votes_for(s: Snapshot, name: str) -> int:
    """How many that `sync` names were seen with no more WAL than that member, in mode `quorum`.

    The member itself is not counted; one outside `sync` has one fewer.  Whoever has not looked
    since the lock became free, or reads WAL that it does not show yet, counts for nobody.
    """
    key = s.cluster.value.sync if isinstance(s.cluster, Known) else None
    ends = _ends_seen(s)
    mine = ends.get(name.lower())
    if key is None or mine is None:
        return 0
    named = {other.lower() for other in (key.leader, *key.standbys)}
    behind = [x for x in named - {name.lower()} if x in ends and ends[x] <= mine]
    return len(behind) - (name.lower() not in named)


def _ends_seen(s: Snapshot) -> dict[str, tuple[int, int]]:
    """(timeline, LSN) of ours and of every member that told it, by the name in lower case."""
    since, ends = s.memory.lock_free_since or 0.0, dict[str, tuple[int, int]]()
    for a in answers(s):
        looked = a.asked_at if a.looked_at is None else a.looked_at
        told = a.reachable and not a.stale and not a.unread_wal and looked >= since
        if told and a.timeline and a.lsn is not None:
            ends[a.name.lower()] = (a.timeline, a.lsn)
    here = s.postgres.server.value if isinstance(s.postgres.server, Known) else None
    if here is not None and here.timeline:
        mine = max(here.receive_lsn or 0, here.replay_lsn or 0)
        ends[s.me.name.lower()] = (here.timeline, mine)
    return ends


def acts_on_postgres(actions: Sequence[Action]) -> list[Action]:
    """What starts, stops, promotes, fills or removes a server."""
    return [action for action in actions if isinstance(action, ON_POSTGRES)]
