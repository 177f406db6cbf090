"""Who may write, who may lead, what may be removed: true for every snapshot."""

from __future__ import annotations

from hypothesis import given

from engine.actions import (
    AcquireLock,
    ArmFence,
    CreateRoles,
    MoveDataDirectory,
    Promote,
    RemoveDataDirectory,
    StartPostgres,
    StopPostgres,
)
from engine.decide import decide
from engine.state import JobKind, Snapshot
from tests.properties.strategies import snapshots
from tests.support import checker


def _starts_primary(s: Snapshot) -> bool:
    return any(x.role == "primary" for x in checker.of(StartPostgres, decide(s)))


@given(snapshots())
def test_nothing_becomes_writable_without_a_certain_lease(s: Snapshot) -> None:
    """Promote, or start as primary, only with more time on the lease than a stop needs."""
    promotes = checker.of(Promote, decide(s))
    first_start = s.memory.bootstrapping
    if promotes or (_starts_primary(s) and not first_start):
        assert checker.lease_left(s) > checker.stop_margin(s)
        assert not checker.another_leads(s)


@given(snapshots())
def test_the_lock_is_taken_only_when_it_is_free_and_nobody_else_writes(s: Snapshot) -> None:
    """No AcquireLock while another owns the lock or the required fence is missing."""
    if checker.of(AcquireLock, decide(s)):
        assert not checker.another_leads(s)
        # In maintenance mode the fence stands aside, and the lock only follows the primary.
        assert s.fence.ready or not s.policy.fence_required or s.policy.pause


@given(snapshots())
def test_a_standby_does_not_race_against_a_writable_member(s: Snapshot) -> None:
    """A standby takes no lock while a peer answers as a running primary."""
    if checker.of(AcquireLock, decide(s)) and not checker.runs_as_primary(s):
        writable = [
            a
            for a in s.peers
            if a.reachable and not a.stale and a.state == "running" and a.role != "replica"
        ]
        assert not writable


@given(snapshots())
def test_a_writable_server_without_a_lock_is_stopped_at_once(s: Snapshot) -> None:
    """Lock of another, renewal refused or no time left: an immediate stop, unless one runs."""
    if s.policy.pause or not checker.may_be_writable(s):
        return
    held = s.lease.sent_at is not None and not s.lease.refused
    no_time = held and checker.lease_left(s) <= checker.stop_margin(s)
    if checker.another_leads(s) or s.lease.refused or no_time:
        stopping = s.job is not None and (s.job.kind, s.job.detail) == (JobKind.STOP, "immediate")
        stops = [x for x in checker.of(StopPostgres, decide(s)) if x.mode == "immediate"]
        assert stops or stopping


@given(snapshots())
def test_the_fence_is_armed_before_anything_becomes_writable(s: Snapshot) -> None:
    """Where no deadline stands, ArmFence comes before Promote or a start as primary."""
    actions = decide(s)
    writable = [
        n
        for n, x in enumerate(actions)
        if isinstance(x, Promote) or (isinstance(x, StartPostgres) and x.role == "primary")
    ]
    if writable and s.fence.kill_at is None and not s.memory.bootstrapping:
        assert any(isinstance(x, ArmFence) for x in actions[: writable[0]])


@given(snapshots())
def test_in_pause_nothing_happens_to_postgresql_by_itself(s: Snapshot) -> None:
    """In maintenance mode only a request or an unfinished bootstrap touches a server."""
    asked = (
        any(r.id != s.memory.restarting_for for r in s.requests)
        or s.memory.restarting_since is not None
        or s.memory.reinitialize
        or s.memory.bootstrapping
        or s.memory.bootstrap_failed
        or _handover_by_hand(s)
    )
    if s.policy.pause and not asked:
        assert not checker.acts_on_postgres(decide(s))


def _handover_by_hand(s: Snapshot) -> bool:
    view = getattr(s.cluster, "value", None)
    return view is not None and view.failover is not None and view.failover.scheduled_epoch is None


@given(snapshots())
def test_a_data_directory_is_removed_only_with_permission(s: Snapshot) -> None:
    """Removal needs an operator's request or the configuration, and a leader that is not we."""
    actions = decide(s)
    for removal in checker.of(RemoveDataDirectory, actions):
        assert removal.permission
        assert checker.another_leads(s)
        assert s.postgres.postmaster is None
        assert (
            s.memory.reinitialize
            or (s.policy.remove_on_rewind_failure and s.memory.rewind_failed)
            or s.policy.remove_on_diverged
        )
    if checker.of(MoveDataDirectory, actions):
        assert s.memory.bootstrap_failed
        assert s.postgres.postmaster is None


@given(snapshots())
def test_roles_are_created_only_in_our_own_bootstrap(s: Snapshot) -> None:
    """The SQL part of the bootstrap never runs on an adopted server."""
    if checker.of(CreateRoles, decide(s)):
        assert s.memory.bootstrapping
        assert checker.runs_as_primary(s)
