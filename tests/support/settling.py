"""What a decision would make of the snapshot it was made from, in a world that stands still.

Belongs here: the effect of each action as far as the next snapshot would show it at once.  Long
work only begins, questions stay without an answer, and time does not pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine import actions as a
from engine.actions import Action
from engine.decide import decide
from engine.state import (
    Cluster,
    Fence,
    Job,
    Known,
    Lease,
    Server,
    Slot,
    Snapshot,
    SyncState,
    Watchdog,
)
from engine.views import certain_until


def settle(s: Snapshot, most_steps: int) -> int | None:
    """How many decisions change something until one changes nothing; None if more than allowed."""
    for step in range(most_steps + 1):
        after = applied(s, decide(s))
        if after == s:
            return step
        s = after
    return None


def applied(s: Snapshot, actions: list[Action]) -> Snapshot:
    """The snapshot after the actions; what they set off stays under way."""
    for action in actions:
        if isinstance(action, a.Exit):
            return s
        if isinstance(action, a.JobAction):
            s = _begun(s, action)
        elif type(action) in _EFFECTS:
            s = _EFFECTS[type(action)](s, action)
    return s


def _begun(s: Snapshot, action: Any) -> Snapshot:
    stops = isinstance(action, a.StopPostgres)
    mode, kill_at = (action.mode, action.kill_at) if stops else ("", None)
    if s.job is not None and mode != "immediate":
        return s
    return replace(s, job=Job(action.kind, s.now, mode, kill_at))


def _in_store(change: Callable[[Snapshot, Cluster, Any], Cluster]) -> Callable[..., Snapshot]:
    def effect(s: Snapshot, action: Any) -> Snapshot:
        if not isinstance(s.cluster, Known):
            return s
        return replace(s, cluster=Known(change(s, s.cluster.value, action), s.now))

    return effect


def _on_server(change: Callable[[Server, Any], Server]) -> Callable[..., Snapshot]:
    def effect(s: Snapshot, action: Any) -> Snapshot:
        answers = s.postgres.server
        if not isinstance(answers, Known):
            return s
        told = replace(answers, value=change(answers.value, action))
        return replace(s, postgres=replace(s.postgres, server=told))

    return effect


def _acquire(s: Snapshot, action: Any) -> Snapshot:
    if not isinstance(s.cluster, Known) or s.cluster.value.leader is not None:
        return s
    if action.initialize not in {None, s.cluster.value.initialize}:
        return s
    view = replace(s.cluster.value, leader=s.me.name)
    return replace(s, cluster=Known(view, s.now), lease=Lease(s.now, s.policy.ttl_seconds))


def _renew(s: Snapshot, action: Any) -> Snapshot:
    if not isinstance(s.cluster, Known):
        return s
    if s.cluster.value.leader == s.me.name:
        return replace(s, lease=Lease(s.now, s.policy.ttl_seconds))
    return replace(s, lease=replace(s.lease, refused=True))


def _release(s: Snapshot, action: Any) -> Snapshot:
    s = replace(s, lease=Lease(None, s.policy.ttl_seconds))
    if isinstance(s.cluster, Known) and s.cluster.value.leader == s.me.name:
        s = replace(s, cluster=Known(replace(s.cluster.value, leader=None), s.now))
    return s


def _arm(s: Snapshot, action: Any) -> Snapshot:
    ends = certain_until(s.lease, s.memory)
    ends = action.asked_ends_at if ends is None else ends
    if not s.fence.ready or ends is None:
        return s
    return replace(s, fence=Fence(True, "", action.pid, ends - action.before_end_seconds))


def _activate_watchdog(s: Snapshot, action: Any) -> Snapshot:
    ends = certain_until(s.lease, s.memory)
    if ends is None or ends - s.now < 1:
        return s
    timeout = min(action.timeout_seconds, float(int(ends - s.now)))
    return replace(s, watchdog=Watchdog(True, "", True, timeout, s.now))


def _answer(s: Snapshot, action: Any) -> Snapshot:
    return replace(
        s,
        requests=tuple(r for r in s.requests if r.id != action.request_id),
        failsafe_calls=tuple(c for c in s.failsafe_calls if c.id != action.request_id),
    )


def _follow(s: Snapshot, action: Any) -> Snapshot:
    at = f"{action.upstream.host}:{action.upstream.port}" if action.upstream else None
    slot = action.upstream.slot if action.upstream else None
    postgres = replace(s.postgres, configured_upstream=at, configured_slot=slot)
    return replace(s, postgres=postgres)


def _create(s: Snapshot, view: Cluster, action: Any) -> Cluster:
    missing = view.initialize is None
    return replace(view, initialize=action.system_identifier) if missing else view


def _write_sync(s: Snapshot, view: Cluster, action: Any) -> Cluster:
    found = view.sync.revision if view.sync else 0
    if found != action.revision:
        return view
    revision = found + 1
    return replace(view, sync=SyncState(action.leader, action.standbys, action.quorum, revision))


def _set_names(s: Snapshot, action: Any) -> Snapshot:
    s = replace(s, postgres=replace(s.postgres, written_sync_names=action.text))
    return _on_server(lambda v, x: replace(v, sync_names=x.text or ""))(s, action)


def _advance(server: Server, action: Any) -> Server:
    to = action.positions
    moved = (
        replace(x, confirmed_lsn=to.get(x.name, x.confirmed_lsn))
        if x.kind == "logical"
        else replace(x, restart_lsn=to.get(x.name, x.restart_lsn))
        for x in server.slots
    )
    return replace(server, slots=tuple(moved))


def _status(s: Snapshot, view: Cluster, action: Any) -> Cluster:
    told = {"optime": action.optime, "slots": dict(action.slots)}
    return replace(view, retain_slots=action.retain_slots, **told)


def _create_logical(server: Server, action: Any) -> Server:
    made = (Slot(p.name, p.kind, database=p.database, plugin=p.plugin) for p in action.wanted)
    return replace(server, slots=(*server.slots, *made))


def _drop(server: Server, action: Any) -> Server:
    return replace(server, slots=tuple(x for x in server.slots if x.name not in action.names))


_EFFECTS: dict[type, Callable[..., Snapshot]] = {
    a.AcquireLock: _acquire,
    a.RenewLock: _renew,
    a.ReleaseLock: _release,
    a.PublishMember: lambda s, x: replace(s, published=dict(x.document), published_at=s.now),
    a.WithdrawMember: lambda s, x: replace(s, published=None),
    a.ClaimFounding: _in_store(lambda s, c, x: replace(c, founder=c.founder or s.me.name)),
    a.DropFounder: _in_store(lambda s, c, x: replace(c, founder=None)),
    a.CreateInitialize: _in_store(_create),
    a.WriteInitialize: _in_store(lambda s, c, x: replace(c, initialize=x.system_identifier)),
    a.DeleteInitialize: _in_store(lambda s, c, x: replace(c, initialize=None)),
    a.WriteConfig: _in_store(lambda s, c, x: replace(c, config_present=True)),
    a.WriteStatus: _in_store(_status),
    a.WriteHistory: _in_store(lambda s, c, x: replace(c, history=x.lines)),
    a.WriteSync: _in_store(_write_sync),
    a.DeleteSync: _in_store(lambda s, c, x: replace(c, sync=None)),
    a.SetSyncNames: _set_names,
    a.ClearFailover: _in_store(lambda s, c, x: replace(c, failover=None)),
    a.WriteFailsafe: _in_store(
        lambda s, c, x: replace(
            c, failsafe=dict(x.members) or None, failsafe_revision=x.revision + 1
        )
    ),
    a.RunCheckpoint: lambda s, x: replace(s, postgres=replace(s.postgres, checkpointing=True)),
    a.Follow: _follow,
    a.ApplyConfiguration: lambda s, x: replace(
        s, postgres=replace(s.postgres, applied_config=x.digest)
    ),
    a.CreateSlots: _on_server(
        lambda v, x: replace(v, slots=(*v.slots, *(Slot(name, restart_lsn=1) for name in x.names)))
    ),
    a.CreateLogicalSlots: _on_server(_create_logical),
    a.DropSlots: _on_server(_drop),
    a.AdvanceSlots: _on_server(_advance),
    a.ArmFence: _arm,
    a.ActivateWatchdog: _activate_watchdog,
    a.FeedWatchdog: lambda s, x: replace(s, watchdog=replace(s.watchdog, fed_at=s.now)),
    a.CloseWatchdog: lambda s, x: replace(s, watchdog=Watchdog(present=True)),
    a.DisarmFence: lambda s, x: replace(s, fence=replace(s.fence, armed_pid=None, kill_at=None)),
    a.Answer: _answer,
    a.Remember: lambda s, x: replace(s, memory=replace(s.memory, **x.changes)),
}
