"""Promises about what ends a primary in time: its lease, the fence, the watchdog.

`proof/promises.py` says what a promise is, and lists them all.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.actions import (
    AcquireLock,
    Action,
    ActivateWatchdog,
    ArmFence,
    CloseWatchdog,
    Promote,
    Remember,
    RenewLock,
    StartPostgres,
    StopPostgres,
)
from engine.state import Known, Snapshot
from proof import checker
from proof.about import about


def a_lease_that_is_over_is_remembered_as_void(s: Snapshot, actions: Sequence[Action]) -> None:
    """The store shows another owner, or since the renewal none: the lease is void for good."""
    sent = s.lease.sent_at
    if sent is None or s.lease.refused or not isinstance(s.cluster, Known):
        return
    gone = s.cluster.value.leader is None and s.cluster.when > sent
    if (checker.another_leads(s) or gone) and s.memory.lease_void != sent:
        noted = [x.changes.get("lease_void") for x in checker.of(Remember, actions)]
        assert sent in noted


@about(Promote, StartPostgres)
def the_fence_is_armed_before_anything_becomes_writable(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """Where no deadline stands, ArmFence comes before Promote or a start as primary."""
    writable = [
        n
        for n, x in enumerate(actions)
        if isinstance(x, Promote) or (isinstance(x, StartPostgres) and x.role == "primary")
    ]
    if writable and s.fence.kill_at is None:
        assert any(isinstance(x, ArmFence) for x in actions[: writable[0]])


@about(AcquireLock, RenewLock)
def the_fence_is_armed_before_a_running_primary_asks_for_a_lease(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """Where none guards it, ArmFence comes before AcquireLock, and before taking a lease up again.

    A daemon that is frozen when the answer comes leaves a guarded server behind.
    """
    asks = [
        n
        for n, x in enumerate(actions)
        if isinstance(x, AcquireLock) or (isinstance(x, RenewLock) and not x.create)
    ]
    running = s.postgres.postmaster
    stands = running and s.fence.kill_at is not None and s.fence.armed_pid in {None, running.pid}
    if asks and checker.may_be_writable(s) and s.fence.ready and not s.policy.pause and not stands:
        assert any(isinstance(x, ArmFence) for x in actions[: asks[0]])


@about(Promote, StartPostgres)
def a_required_watchdog_counts_before_anything_becomes_writable(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """Where a watchdog is required, it counts, or is let count, before Promote or a start."""
    if s.policy.watchdog_mode != "required" or s.policy.pause:
        return
    for n, x in enumerate(actions):
        if isinstance(x, Promote) or (isinstance(x, StartPostgres) and x.role == "primary"):
            first = [y for y in actions[:n] if isinstance(y, ActivateWatchdog) and y.required]
            assert first or s.watchdog.active


@about(CloseWatchdog)
def the_watchdog_is_closed_only_when_nothing_can_write(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """Outside pause, a device that counts is closed only without a server that may be writable."""
    if checker.of(CloseWatchdog, actions) and not s.policy.pause:
        assert s.policy.watchdog_mode == "off" or not checker.may_be_writable(s)


@about(StopPostgres)
def an_immediate_stop_is_over_before_the_lease(s: Snapshot, actions: Sequence[Action]) -> None:
    """SIGKILL comes when the fence's would, and soon where another member may lead already."""
    grace, lease_left = 0.35 * checker.stop_margin(s), checker.lease_left(s)
    lost = lease_left <= 0 or s.lease.refused or checker.another_leads(s)
    for stop in checker.of(StopPostgres, actions):
        if stop.mode != "immediate" or not checker.may_be_writable(s):
            continue
        assert stop.kill_at is not None
        left = stop.kill_at - s.now
        assert 0 <= left <= (grace if lost else max(0.0, lease_left - grace)) + 1e-6
