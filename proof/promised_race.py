"""What holds for every decision that takes or gives away the lock, or founds a cluster.

A part of the promises (`proof/promises.py`); they read the snapshot by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.actions import (
    AcquireLock,
    Action,
    Clone,
    CreateInitialize,
    DisarmFence,
    RecoverFromCrash,
    ReleaseLock,
    RemoveDataDirectory,
    RenewLock,
    Rewind,
    StartPostgres,
    WriteInitialize,
)
from engine.state import DirectoryKind, Known, PeerAnswer, Snapshot
from proof import checker
from proof.about import about

ANSWER_SECONDS = 3.0  # for how long an answer counts


def _races(s: Snapshot, actions: Sequence[Action]) -> bool:
    """Whether a standby takes the lock, without that an operator named it."""
    if not checker.of(AcquireLock, actions) or checker.runs_as_primary(s):
        return False
    return not s.memory.bootstrapping and not _is_named(s)


def _is_named(s: Snapshot) -> bool:
    request = s.cluster.value.failover if isinstance(s.cluster, Known) else None
    return request is not None and request.candidate == s.me.name


@about(AcquireLock)
def the_lock_is_taken_only_by_what_was_seen_since(s: Snapshot, actions: Sequence[Action]) -> None:
    """No AcquireLock by a view of the store from before our own last request for the lock."""
    if s.lease.refused or s.lease.sent_at is None:
        return
    if checker.of(AcquireLock, actions):
        assert isinstance(s.cluster, Known)
        assert s.cluster.when > s.lease.sent_at


@about(AcquireLock, RenewLock)
def the_lock_is_asked_for_only_while_what_was_seen_counts(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """No request that may create the leader key is sent long after it was decided on.

    A race lasts as long as every answer counts, and is one of the cluster that was seen; a renewal
    that creates a missing key lasts as long as the lease.
    """
    races = _races(s, actions)
    since = max(s.memory.lock_free_since or 0.0, s.now - ANSWER_SECONDS)
    for x in checker.of(AcquireLock, actions):
        assert x.begin_before <= s.now + ANSWER_SECONDS
        assert isinstance(s.cluster, Known)
        assert x.initialize == s.cluster.value.initialize
        if races:
            asked = (a.asked_at for a in s.peers if s.cluster.value.member(a.name) is not None)
            assert all(x.begin_before <= at + ANSWER_SECONDS for at in asked if at >= since)
    for renewal in checker.of(RenewLock, actions):
        ends = s.now + checker.lease_left(s)
        lasts = renewal.begin_before is not None and renewal.begin_before <= ends + 1e-6
        assert lasts or not renewal.create


@about(AcquireLock)
def in_pause_nobody_races(s: Snapshot, actions: Sequence[Action]) -> None:
    """In maintenance mode a standby takes the lock only where an operator named it."""
    assert not (s.policy.pause and _races(s, actions))


@about(AcquireLock)
def a_standby_of_an_unknown_cluster_does_not_race(s: Snapshot, actions: Sequence[Action]) -> None:
    """No standby takes the lock of a scope that the store knows no cluster of."""
    if _races(s, actions):
        assert isinstance(s.cluster, Known)
        assert s.cluster.value.initialize is not None


@about(AcquireLock)
def a_standby_asks_everybody_before_it_leads(s: Snapshot, actions: Sequence[Action]) -> None:
    """A standby takes the lock by answers that were asked for since it is free, not long ago.

    For one ttl a primary whose own key has gone is asked as well: it may be alive.
    """
    if not _races(s, actions):
        return
    assert isinstance(s.cluster, Known)
    since = s.memory.lock_free_since
    assert since is not None
    asked = {answer.name: answer.asked_at for answer in s.peers}
    lately = (v for v in s.vanished if s.now - v.at <= s.policy.ttl_seconds)
    gone = [v.member for v in lately if v.member.role in {"primary", "master"}]
    for member in (*s.cluster.value.members, *gone):
        if member.name != s.me.name and member.api_url:
            assert asked.get(member.name, -1.0) >= max(since, s.now - ANSWER_SECONDS)


@about(AcquireLock)
def a_standby_gives_way_to_who_has_more(s: Snapshot, actions: Sequence[Action]) -> None:
    """No standby takes the lock while a member that may lead answered with more WAL.

    A newer timeline is more, however long our own WAL is.  Nobody waits for one that lags by more
    than maximum_lag_on_failover: the last leader was on an older timeline; but for the leader that
    `sync` names, which no lag keeps from leading.  Nor, in mode `quorum`, for one that can't get
    the votes.
    """
    if not _races(s, actions):
        return
    assert isinstance(s.postgres.server, Known)
    here = s.postgres.server.value
    mine = max(here.receive_lsn or 0, here.replay_lsn or 0)
    limit, known = s.policy.maximum_lag_on_failover_bytes, s.cluster
    published = known.value.optime if isinstance(known, Known) else None
    for answer in checker.answers(s):
        lags = (published or 0) - (answer.lsn or 0) > limit
        if lags and not checker.leads_by_sync(s, answer.name):
            continue  # it waits for others itself
        if _may_lead(s, answer) and _has_votes(s, answer):
            comparable = answer.timeline and here.timeline
            newer = (answer.timeline or 0) - (here.timeline or 0) if comparable else 0
            assert newer < 0 or (newer == 0 and (answer.lsn or 0) <= mine)


def _may_lead(s: Snapshot, answer: PeerAnswer) -> bool:
    able = answer.reachable and not answer.stale and not answer.watchdog_failed
    if not able or answer.nofailover or answer.failover_priority <= 0 or answer.lsn is None:
        return False
    member = s.cluster.value.member(answer.name) if isinstance(s.cluster, Known) else None
    if not isinstance(s.cluster, Known) or member is None or not member.api_url:
        return False  # without a key it does not take the lock
    listed = s.cluster.value.failsafe
    if listed is not None and answer.name not in listed:
        return False  # nor does it if nobody would ask it in an outage
    key = s.cluster.value.sync
    if not checker.synchronous(s) or key is None or not key.leader:
        return True
    return answer.name.lower() in {name.lower() for name in (key.leader, *key.standbys)}


def _has_votes(s: Snapshot, candidate: PeerAnswer) -> bool:
    """Whether, in mode `quorum`, enough that `sync` names told no more WAL than that member."""
    key = s.cluster.value.sync if isinstance(s.cluster, Known) else None
    if s.policy.synchronous_mode != "quorum" or key is None or key.leader == candidate.name:
        return True
    return checker.votes_for(s, candidate.name) >= key.quorum


@about(CreateInitialize)
def only_the_founder_founds(s: Snapshot, actions: Sequence[Action]) -> None:
    """A new cluster is begun only by the member that claimed the founding, as the store shows.

    A server that has data is adopted.
    """
    empty = s.postgres.directory.kind is DirectoryKind.EMPTY and s.postgres.postmaster is None
    if checker.of(CreateInitialize, actions) and empty:
        assert isinstance(s.cluster, Known)
        assert s.cluster.value.founder == s.me.name


@about(CreateInitialize)
def a_running_primary_is_made_the_cluster_only_by_its_lock(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """And only while the store has that: all keys may have gone since it was looked at.

    Whoever sees a cluster that nobody leads may race, without a wait for that primary's lease.
    """
    for action in checker.of(CreateInitialize, actions):
        if checker.runs_as_primary(s) and action.system_identifier:
            assert isinstance(s.cluster, Known)
            assert s.cluster.value.leader == s.me.name
            assert action.leader_revision == s.cluster.value.leader_revision


@about(AcquireLock)
def who_founds_leads_only_what_has_no_identity(s: Snapshot, actions: Sequence[Action]) -> None:
    """A founder whose server is down takes the lock only for its own founding, with its guards.

    Nobody else has claimed the founding, and the cluster that it would lead has no identity yet.
    """
    founds = s.memory.bootstrapping and s.postgres.postmaster is None
    if founds and checker.of(AcquireLock, actions):
        assert s.fence.ready or not s.policy.fence_required
        assert isinstance(s.cluster, Known)
        assert not s.cluster.value.initialize
        assert s.cluster.value.initialize is None or s.cluster.value.founder in {None, s.me.name}


@about(WriteInitialize)
def a_cluster_is_published_only_by_its_leader(s: Snapshot, actions: Sequence[Action]) -> None:
    """A primary that founds a cluster gives it its identity only while the lock is certain."""
    if s.memory.bootstrapping and checker.runs_as_primary(s):
        assert not checker.of(WriteInitialize, actions) or checker.lease_left(s) > 0


@about(Clone, Rewind, RecoverFromCrash, RemoveDataDirectory, StartPostgres)
def nothing_is_done_for_a_leader_without_a_cluster(s: Snapshot, actions: Sequence[Action]) -> None:
    """As long as another member leads what has no identity yet, data is left as it is."""
    known = s.cluster.value if isinstance(s.cluster, Known) else None
    if checker.another_leads(s) and known is not None and known.initialize == "":
        touched = (Clone, Rewind, RecoverFromCrash, RemoveDataDirectory, StartPostgres)
        assert not [x for x in actions if isinstance(x, touched)]


@about(CreateInitialize, AcquireLock)
def nobody_hurries_after_a_loss(s: Snapshot, actions: Sequence[Action]) -> None:
    """For one ttl after the store lost all keys only a running primary restores the cluster.

    Whoever led before may count on its lease as long, and ttl may have been longer when it got it.
    A standby cluster has no primary.
    """
    lost, ttl = s.keys_lost, max(s.policy.ttl_seconds, s.memory.longest_ttl_seconds)
    restores = any(isinstance(x, CreateInitialize) for x in actions) or _races(s, actions)
    if lost is None or not restores or s.now - lost.at >= ttl or checker.runs_as_primary(s):
        return
    assert s.policy.standby_cluster is not None or not (lost.seen or s.memory.knows_cluster)


@about(DisarmFence)
def a_dead_servers_guard_stays(s: Snapshot, actions: Sequence[Action]) -> None:
    """The fence is not disarmed while the server that it was armed for is gone.

    Backends may outlive their postmaster, and clients of theirs.
    """
    if checker.of(DisarmFence, actions) and not s.policy.pause:
        assert s.fence.armed_pid is None or s.postgres.postmaster is not None


@about(ReleaseLock)
def a_leader_that_stands_down_waits_for_its_heir(s: Snapshot, actions: Sequence[Action]) -> None:
    """A lock is handed over when a member has the shutdown checkpoint, or after retry_timeout.

    Who may not lead because a guard is missing does not wait, nor whose bootstrap failed.
    """
    since = s.memory.standing_down_since
    control = s.postgres.directory.control
    unguarded = s.policy.watchdog_mode == "required" or not s.fence.ready
    if not checker.of(ReleaseLock, actions) or since is None or control is None:
        return
    unguarded = unguarded or bool(s.memory.bootstrap_failed)
    if s.stopping or s.policy.pause or unguarded or s.postgres.postmaster is not None:
        return
    if s.postgres.directory.kind is not DirectoryKind.VALID or control.state != "shut down":
        return
    heirs = [
        a.name
        for a in s.peers
        if a.reachable and (a.lsn or 0) > control.checkpoint_lsn
        if a.timeline in {None, control.timeline}
    ]
    assert heirs or s.now - since >= s.policy.retry_timeout_seconds


RACE_PROMISES = (
    the_lock_is_taken_only_by_what_was_seen_since,
    the_lock_is_asked_for_only_while_what_was_seen_counts,
    in_pause_nobody_races,
    a_standby_of_an_unknown_cluster_does_not_race,
    a_standby_asks_everybody_before_it_leads,
    a_standby_gives_way_to_who_has_more,
    only_the_founder_founds,
    a_running_primary_is_made_the_cluster_only_by_its_lock,
    who_founds_leads_only_what_has_no_identity,
    a_cluster_is_published_only_by_its_leader,
    nothing_is_done_for_a_leader_without_a_cluster,
    nobody_hurries_after_a_loss,
    a_dead_servers_guard_stays,
    a_leader_that_stands_down_waits_for_its_heir,
)
