"""What holds for every snapshot and the decision about it: who may write, lead, remove.

Each promise takes both and raises AssertionError when it is broken.  The property tests try them
on drawn snapshots and on every pair of changes to every scenario; the simulator and the search on
every decision that they see (`broken_promises`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from engine.actions import (
    AcquireLock,
    Action,
    Answer,
    Clone,
    CreateRoles,
    Exit,
    Hold,
    MoveDataDirectory,
    Promote,
    ReleaseLock,
    Remember,
    RemoveDataDirectory,
    RenewLock,
    RunInitdb,
    StartPostgres,
    StopPostgres,
    StoreAction,
    WriteSync,
)
from engine.decide import RULES, Decision
from engine.rule import Rule
from engine.state import DirectoryKind, JobKind, Known, Snapshot, Unknown
from proof import checker
from proof.about import ABOUT, Promise, about
from proof.promised_guards import (
    a_lease_that_is_over_is_remembered_as_void,
    a_required_watchdog_counts_before_anything_becomes_writable,
    an_immediate_stop_is_over_before_the_lease,
    the_fence_is_armed_before_a_running_primary_asks_for_a_lease,
    the_fence_is_armed_before_anything_becomes_writable,
    the_watchdog_is_closed_only_when_nothing_can_write,
)
from proof.promised_looks import LOOK_PROMISES
from proof.promised_race import RACE_PROMISES


@about(Promote, StartPostgres, Remember)
def nothing_becomes_writable_without_a_lease(s: Snapshot, actions: Sequence[Action]) -> None:
    """Promote, or start as primary, only with more time on the lease than a stop needs.

    A promotion begins when it is announced.
    That time is also the last moment at which the server may begin, however late its turn comes.
    """
    announced = [x for x in checker.of(Remember, actions) if x.changes.get("promoting")]
    promotes = [*checker.of(Promote, actions), *announced]
    starts = [x for x in checker.of(StartPostgres, actions) if x.role == "primary"]
    if promotes or starts:
        assert checker.lease_left(s) > checker.stop_margin(s)
        assert not checker.another_leads(s)
    last = s.now + checker.lease_left(s) - checker.stop_margin(s)
    assert all(x.begin_before is not None and x.begin_before <= last + 1e-6 for x in starts)


@about(AcquireLock)
def the_lock_is_taken_only_when_it_is_free(s: Snapshot, actions: Sequence[Action]) -> None:
    """No AcquireLock while another owns the lock or the required fence is missing.

    In maintenance mode the fence stands aside, and the lock only follows the primary.  A standby
    that leads a standby cluster is not writable, and needs no fence.
    """
    if checker.of(AcquireLock, actions):
        assert not checker.another_leads(s)
        harmless = s.policy.standby_cluster is not None and not checker.runs_as_primary(s)
        assert s.fence.ready or not s.policy.fence_required or s.policy.pause or harmless


@about(Promote, StartPostgres)
def in_a_standby_cluster_nothing_becomes_writable(s: Snapshot, actions: Sequence[Action]) -> None:
    """No promotion and no start as primary; only a cluster that is being founded finishes that."""
    if s.policy.standby_cluster is not None and not s.memory.bootstrapping:
        assert not checker.of(Promote, actions)
        assert not [x for x in checker.of(StartPostgres, actions) if x.role == "primary"]


@about(StartPostgres)
def a_copy_of_a_remote_primary_never_begins_as_a_primary(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """It would write on the timeline of the primary that it was copied from."""
    if s.memory.bootstrapping and s.memory.bootstrap_copied:
        assert not [x for x in checker.of(StartPostgres, actions) if x.role == "primary"]


@about(AcquireLock)
def a_standby_does_not_race_against_a_writable_member(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """A standby takes no lock while a peer answers as a running primary.

    Who founds a cluster asks nobody: what it has was there nowhere before.
    """
    if s.memory.bootstrapping:
        return
    if checker.of(AcquireLock, actions) and not checker.runs_as_primary(s):
        said = checker.answers(s)
        answering = [a for a in said if a.reachable and not a.stale and a.state == "running"]
        assert not [a for a in answering if a.role in {"primary", "master"}]


def a_writable_server_without_a_lock_is_stopped_at_once(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """Lock of another, renewal refused or no time left: an immediate stop, unless one runs.

    The same if the store has shown that the lease is over, and is silent since.
    """
    if s.policy.pause or not checker.may_be_writable(s):
        return
    void = s.lease.sent_at is not None and s.memory.lease_void == s.lease.sent_at
    lost = void and isinstance(s.cluster, Unknown)
    held = s.lease.sent_at is not None and not s.lease.refused and not void
    no_time = held and checker.lease_left(s) <= checker.stop_margin(s)
    if checker.another_leads(s) or s.lease.refused or no_time or lost:
        stopping = s.job is not None and (s.job.kind, s.job.detail) == (JobKind.STOP, "immediate")
        assert stopping or any(x.mode == "immediate" for x in checker.of(StopPostgres, actions))


@about(*checker.ON_POSTGRES)
def in_pause_nothing_happens_by_itself(s: Snapshot, actions: Sequence[Action]) -> None:
    """In maintenance mode only a request or an unfinished bootstrap touches a server."""
    asked = (
        any(r.id != s.memory.restarting_for for r in s.requests)
        or s.memory.restarting_since is not None
        or s.memory.reinitialize
        or s.memory.bring_back
        or s.memory.bootstrapping
        or s.memory.bootstrap_failed
        or _handover_by_hand(s)
    )
    if s.policy.pause and not asked:
        assert not checker.acts_on_postgres(actions)


def _handover_by_hand(s: Snapshot) -> bool:
    request = s.cluster.value.failover if isinstance(s.cluster, Known) else None
    return request is not None and request.scheduled_epoch is None


@about(RemoveDataDirectory, MoveDataDirectory)
def a_data_directory_is_removed_only_with_permission(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """Removal needs an operator's request or the configuration, and a leader that is not we.

    In a standby cluster the remote primary may be that leader, if it is of our system.
    """
    for removal in checker.of(RemoveDataDirectory, actions):
        assert removal.permission
        assert checker.another_leads(s) or s.policy.standby_cluster is not None
        told = s.leader_timeline.value if isinstance(s.leader_timeline, Known) else None
        assert s.memory.reinitialize or s.memory.rewind_failed or told is not None
        if told is not None and told.system_identifier and not s.memory.reinitialize:
            ours = s.postgres.directory.system_identifier
            assert ours in {"", told.system_identifier} or s.memory.rewind_failed
        assert s.postgres.postmaster is None
        after_rewind = s.policy.remove_on_rewind_failure and s.memory.rewind_failed
        assert s.memory.reinitialize or after_rewind or s.policy.remove_on_diverged
    if checker.of(MoveDataDirectory, actions):
        assert s.memory.bootstrap_failed or _is_beaten(s)
        assert s.postgres.postmaster is None
        assert s.job is None


def _is_beaten(s: Snapshot) -> bool:
    """Whether another system leads the cluster than the one that we were founding here."""
    ours = s.postgres.directory.system_identifier
    named = s.cluster.value.initialize if isinstance(s.cluster, Known) else None
    beaten = ours == s.memory.beaten and not s.memory.promotions_begun
    own = s.memory.bootstrapping or beaten
    return checker.another_leads(s) and own and bool(ours and named) and named != ours


@about(CreateRoles)
def roles_are_created_only_in_our_own_bootstrap(s: Snapshot, actions: Sequence[Action]) -> None:
    """The SQL part of the bootstrap never runs on an adopted server, nor without the lock."""
    if checker.of(CreateRoles, actions):
        assert s.memory.bootstrapping
        assert checker.lease_left(s) > 0
        assert checker.runs_as_primary(s)


@about(Exit)
def a_silent_store_does_not_keep_a_daemon_from_ending(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """The list stops at the first failure: nothing for a silent store stands before the end."""
    if isinstance(s.cluster, Unknown) and s.stopping and checker.of(Exit, actions):
        assert not [action for action in actions if isinstance(action, StoreAction)]


@about(AcquireLock, RenewLock, Promote, StartPostgres)
def whoever_consented_does_not_lead(s: Snapshot, actions: Sequence[Action]) -> None:
    """While a primary without the store counts on our word, we take no lock and nothing writes."""
    if not checker.consented(s):
        return
    assert not checker.of(AcquireLock, actions)
    assert not checker.of(RenewLock, actions)
    assert not checker.of(Promote, actions)
    assert not [x for x in checker.of(StartPostgres, actions) if x.role == "primary"]


@about(Answer)
def consent_is_given_only_by_who_cannot_write(s: Snapshot, actions: Sequence[Action]) -> None:
    """Only a member without lock and without a writable server agrees, and for a whole ttl.

    A call in our own name is from nobody that could go on beside us.
    """
    calls = {call.id: call for call in s.failsafe_calls}
    for x in checker.of(Answer, actions):
        if x.request_id in calls and x.status == 200:
            assert not checker.may_be_writable(s)
            assert checker.lease_left(s) <= 0
            assert not checker.of(AcquireLock, actions)
            namesake = calls[x.request_id].name == s.me.name
            assert namesake or not checker.of(RenewLock, actions)
            assert not checker.of(Promote, actions)
            promised = [r.changes.get("consented_until", 0) for r in checker.of(Remember, actions)]
            assert max(promised) >= s.now + s.policy.ttl_seconds


@about(Remember)
def only_all_members_prolong_a_lease(s: Snapshot, actions: Sequence[Action]) -> None:
    """The certainty goes no further than the word of every member that could race."""
    for x in checker.of(Remember, actions):
        until = x.changes.get("failsafe_until")
        if until is None:
            continue
        assert s.me.name in s.memory.failsafe_members
        assert checker.lease_left(s) > 0
        told = {a.name: a.asked_at + a.ttl_seconds for a in s.failsafe_answers if a.agreed}
        for name in s.memory.failsafe_members:
            assert name == s.me.name or until <= told[name]


@about(AcquireLock)
def a_standby_that_may_not_lead_takes_no_lock(s: Snapshot, actions: Sequence[Action]) -> None:
    """A standby that its tags, its lag or `sync` keep from leading takes no lock.

    An operator that names it may choose its lag, and with a failover what `sync` says.  The leader
    that `sync` names lacks nothing that was acknowledged, whatever its lag.  Whoever founds a
    cluster needs no permission any more.
    """
    leads = checker.of(AcquireLock, actions) and not checker.runs_as_primary(s)
    if not leads or s.memory.bootstrapping:
        return
    assert not s.me.tags.nofailover
    assert s.me.tags.failover_priority > 0
    assert isinstance(s.cluster, Known)
    assert isinstance(s.postgres.server, Known)
    view, here = s.cluster.value, s.postgres.server.value
    if view.failover is not None and view.failover.candidate == s.me.name:
        return
    has = max(here.receive_lsn or 0, here.replay_lsn or 0)
    lags = (view.optime or 0) - has > s.policy.maximum_lag_on_failover_bytes
    assert not lags or checker.leads_by_sync(s, s.me.name)
    if s.policy.synchronous_mode == "on" and s.policy.standby_cluster is None:
        named = {view.sync.leader, *view.sync.standbys} if view.sync else {""}
        assert "" in named or s.me.name in named


@about(StartPostgres)
def a_half_made_directory_is_never_started(s: Snapshot, actions: Sequence[Action]) -> None:
    """Where pg_rewind was cut off, or failed, no server is started.

    Whose server ran a moment ago has no such directory: the owner of the lock, or who restarts.
    """
    ran = checker.lease_left(s) > 0 or s.memory.bootstrapping
    ran = ran or s.memory.restarting_since is not None
    if (s.memory.rewinding or s.memory.rewind_failed) and not ran:
        assert not checker.of(StartPostgres, actions)


@about(StartPostgres, AcquireLock)
def what_needs_a_new_copy_neither_starts_nor_leads(s: Snapshot, actions: Sequence[Action]) -> None:
    """Data that was found to be no part of the cluster serves only by an operator's word."""
    ran = checker.lease_left(s) > 0 or s.memory.bootstrapping
    ran = ran or s.memory.restarting_since is not None or checker.runs_as_primary(s)
    told = s.leader_timeline
    is_the_leaders = isinstance(told, Known) and told.value.same_wal is True
    if s.memory.needs_new_copy and not ran and not is_the_leaders:
        assert not checker.of(StartPostgres, actions)
        assert _handover_by_hand(s) or not checker.of(AcquireLock, actions)


@about(RunInitdb, Clone)
def only_an_empty_directory_is_filled(s: Snapshot, actions: Sequence[Action]) -> None:
    """Initdb and a copy run only where there is nothing, and no server."""
    if any(isinstance(action, RunInitdb | Clone) for action in actions):
        assert s.postgres.directory.kind is DirectoryKind.EMPTY
        assert s.postgres.postmaster is None


@about(ReleaseLock)
def the_lock_is_given_away_only_by_who_cannot_write(s: Snapshot, actions: Sequence[Action]) -> None:
    """No ReleaseLock while PostgreSQL may be writable.

    In maintenance mode a server of another cluster is left to its operator, but not this lock.
    """
    if checker.of(ReleaseLock, actions):
        foreign = s.policy.pause and checker.is_foreign(s)
        assert foreign or not checker.may_be_writable(s)


@about(*checker.CONTRADICTING)
def no_decision_contradicts_itself(s: Snapshot, actions: Sequence[Action]) -> None:
    """No two actions of one decision speak against each other."""
    assert not checker.contradictions(s, actions)


@about(Promote, AcquireLock)
def in_synchronous_mode_only_who_is_named_leads(s: Snapshot, actions: Sequence[Action]) -> None:
    """A standby takes the lock only by `sync` or an operator, and is promoted only once it is ours.

    The key was written since the race, and promises nothing to others.  One that the founder of a
    cluster finds is about the commits of another.
    """
    if not checker.synchronous(s) or (s.memory.bootstrapping and not checker.of(Promote, actions)):
        return
    key = s.cluster.value.sync if isinstance(s.cluster, Known) else None
    if checker.of(Promote, actions):
        assert key is not None
        assert key.leader == s.me.name
        assert not key.standbys
        assert s.memory.raced_on not in {None, key.revision}
    if checker.of(AcquireLock, actions) and not checker.runs_as_primary(s):
        free = key is None or not key.leader or key.leader == s.me.name
        if s.policy.synchronous_mode == "quorum":
            enough = key is not None and checker.votes_for(s, s.me.name) >= key.quorum
        else:
            enough = key is not None and s.me.name in key.standbys
        assert _handover_by_hand(s) or free or enough


@about(WriteSync)
def the_sync_key_is_written_only_over_what_was_seen(s: Snapshot, actions: Sequence[Action]) -> None:
    """WriteSync names us as the leader and the revision that the decision was made from."""
    for action in checker.of(WriteSync, actions):
        assert isinstance(s.cluster, Known)
        seen = s.cluster.value.sync
        assert action.leader == s.me.name
        assert action.revision == (seen.revision if seen else 0)
        assert action.quorum == 0 or s.policy.synchronous_mode == "quorum" or seen is not None
        assert list(action.standbys) == sorted(action.standbys)


PROMISES: tuple[Promise, ...] = (
    in_synchronous_mode_only_who_is_named_leads,
    the_sync_key_is_written_only_over_what_was_seen,
    nothing_becomes_writable_without_a_lease,
    a_lease_that_is_over_is_remembered_as_void,
    the_lock_is_taken_only_when_it_is_free,
    in_a_standby_cluster_nothing_becomes_writable,
    a_copy_of_a_remote_primary_never_begins_as_a_primary,
    a_standby_does_not_race_against_a_writable_member,
    a_writable_server_without_a_lock_is_stopped_at_once,
    the_fence_is_armed_before_anything_becomes_writable,
    the_fence_is_armed_before_a_running_primary_asks_for_a_lease,
    a_required_watchdog_counts_before_anything_becomes_writable,
    an_immediate_stop_is_over_before_the_lease,
    the_watchdog_is_closed_only_when_nothing_can_write,
    in_pause_nothing_happens_by_itself,
    a_data_directory_is_removed_only_with_permission,
    roles_are_created_only_in_our_own_bootstrap,
    a_silent_store_does_not_keep_a_daemon_from_ending,
    whoever_consented_does_not_lead,
    consent_is_given_only_by_who_cannot_write,
    only_all_members_prolong_a_lease,
    a_standby_that_may_not_lead_takes_no_lock,
    a_half_made_directory_is_never_started,
    what_needs_a_new_copy_neither_starts_nor_leads,
    only_an_empty_directory_is_filled,
    the_lock_is_given_away_only_by_who_cannot_write,
    no_decision_contradicts_itself,
    *LOOK_PROMISES,
    *RACE_PROMISES,
)

# The tables that say what becomes of this node; one of them speaks in every cycle.
COURSE = frozenset(
    {
        *("write", "note", "stop", "identity", "request", "job", "silent"),
        *("directory", "down", "primary", "remote", "standby", "orphan", "race"),
    }
)


_WITH_A_REASON = frozenset(name for name, rule in RULES.items() if rule.why)


@cache
def _have_a_reason(fired: tuple[str, ...]) -> bool:
    return _WITH_A_REASON.issuperset(fired)


@cache
def _course(fired: tuple[str, ...]) -> tuple[Rule, ...]:
    return tuple(RULES[name] for name in fired if name.partition(".")[0] in COURSE)


def every_decision_says_why(s: Snapshot, decision: Decision) -> None:
    """Every rule that fired has a reason; a decision acts on the node's course, or says why not."""
    assert _have_a_reason(decision.fired)
    holds = checker.of(Hold, decision.actions)
    assert all(hold.waiting_for for hold in holds)
    if not holds:
        assert any(rule.then(s) for rule in _course(decision.fired))


@cache
def _asked_about(kinds: tuple[type, ...]) -> tuple[Promise, ...]:
    """The promises that a decision with actions of these classes could break."""
    return tuple(p for p in PROMISES if p not in ABOUT or not {*kinds}.isdisjoint(ABOUT[p]))


def broken_promises(s: Snapshot, decision: Decision) -> list[str]:
    """The promises that this decision breaks, each with its sentence; empty when all are kept."""
    found = []
    for promise in _asked_about(tuple(map(type, decision.actions))):
        try:
            promise(s, decision.actions)
        except AssertionError:
            found.append(_sentence(promise, decision))
    try:
        every_decision_says_why(s, decision)
    except AssertionError:
        found.append(_sentence(every_decision_says_why, decision))
    return found


def _sentence(promise: Callable[..., None], decision: Decision) -> str:
    said = (promise.__doc__ or promise.__name__).strip().partition("\n")[0]
    return f"{said} By {' '.join(decision.fired)}."
