"""Single changes to a snapshot: every value worth trying, at every place worth changing.

Belongs here: the places, their values, and how one is put in place.  The property tests lay
several over a scenario; the tests of the rules lay one over each scenario and look who notices.
Times lie on both sides of the thresholds of the default policy.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any, TypeAlias

from engine.document import member_document
from engine.policy import PermanentSlot, RemotePrimary
from engine.state import (
    DirectoryKind,
    FailoverRequest,
    FailsafeCall,
    Fence,
    Job,
    JobKind,
    JobResult,
    Known,
    Lease,
    Opening,
    PendingParameter,
    Postmaster,
    Request,
    RequestKind,
    RestartCondition,
    Slot,
    Snapshot,
    SyncState,
    Tags,
    Unknown,
    Vanished,
)
from tests.support import guards, scenes, servers
from tests.support.snapshots import LSN, NOW, WALL, members

Variation: TypeAlias = tuple[str, Any]

FLAG = (False, True)
AGES = (0.0, 0.3, 1.0, 2.0, 4.0, 9.5, 11.0, 19.0, 20.5, 25.5, 29.0, 31.0, 400.0)
AGO = tuple(NOW - age for age in AGES)
SINCE = (None, *AGO)
POSITIONS = (None, 0, LSN - 2_000_000, LSN - 100, LSN, LSN + 1, LSN + 500)
OPENINGS = (Opening(7, 3, 11), Opening(7, 3, 12), Opening(7, 2, 11), Opening(8, 3, 12))
TIMELINES = (None, 1, 2, 3, 4, 5)
NAMES = ("n1", "n2", "n3", "n9")
EPOCHS = (None, WALL - 100, WALL - 1, WALL + 5, WALL + 500)

_CONDITIONS = (
    RestartCondition(),
    RestartCondition(pending_only=True),
    RestartCondition(role="primary"),
    RestartCondition(role="replica"),
    RestartCondition(below_version=150003),
    RestartCondition(below_version=170000),
    RestartCondition(timeout_seconds=5.0),
    RestartCondition(scheduled_epoch=WALL - 5),
    RestartCondition(scheduled_epoch=WALL + 50),
    RestartCondition(role="primary", scheduled_epoch=WALL + 50),
)
_ASKED = tuple(
    Request(n, kind, NOW - 1, condition, force)
    for n in (1, 2)
    for kind in RequestKind
    for condition in (RestartCondition(), RestartCondition(scheduled_epoch=WALL + 50))
    for force in FLAG
)
_REQUESTS = (
    (),
    *((request,) for request in _ASKED),
    *((Request(1, RequestKind.RESTART, NOW - 1, c),) for c in _CONDITIONS),
    *((Request(1, RequestKind.RESTART, NOW - 1), Request(2, kind, NOW)) for kind in RequestKind),
)
_FAILOVERS = (
    None,
    *(
        FailoverRequest(leader, candidate, epoch, 7)
        for leader in (None, "n1", "n2")
        for candidate in (None, "n1", "n2", "n3", "n9")
        for epoch in EPOCHS
        if leader or candidate
    ),
)
_SLOTS = (
    (),
    scenes.SLOTS,
    scenes.STANDBY_SLOTS,
    (*scenes.SLOTS, Slot("gone", restart_lsn=LSN)),
    (*scenes.STANDBY_SLOTS, Slot("gone", restart_lsn=LSN), Slot("kept", active=True)),
    (Slot("n1", restart_lsn=LSN - 100), Slot("n3", restart_lsn=LSN)),
    (Slot("n2", wal_status="lost"), Slot("n3", restart_lsn=LSN)),
    (Slot("n2", restart_lsn=LSN - 20_000_000), Slot("n3", restart_lsn=LSN)),
    (Slot("n1", restart_lsn=LSN), Slot("n3", restart_lsn=LSN, has_xmin=True)),
    (*scenes.SLOTS, scenes.CDC_SLOT),
    (*scenes.STANDBY_SLOTS, scenes.CDC_SLOT),
    (*scenes.STANDBY_SLOTS, replace(scenes.CDC_SLOT, wal_status="lost")),
    (*scenes.STANDBY_SLOTS, replace(scenes.CDC_SLOT, catalog_xmin=690)),
    (*scenes.STANDBY_SLOTS, replace(scenes.CDC_SLOT, failover=True, active=True)),
)
_REPLICATION = (
    (),
    scenes.N2_IS_SYNC,
    (servers.streams("n2", "sync"), servers.streams("n3", "sync")),
    (servers.streams("n2", "quorum"), servers.streams("n3", "quorum")),
    (servers.streams("n3"),),
    (servers.streams("n2", "sync", flush_lsn=LSN - 200),),
    (servers.streams("n2", "sync"), servers.streams("n2", "potential", pid=7)),
    (servers.streams("n2", "sync", pid=7),),
)
_PEERS = (
    (),
    *(
        tuple(p for p in (one, other) if p is not None)
        for one in (None, scenes.silent_peer("n1"), scenes.peer("n1"), scenes.peer("n2"))
        for other in (None, scenes.silent_peer("n3"), scenes.peer("n3"))
    ),
)
_PEER_CHANGES: dict[str, tuple[Any, ...]] = {
    "asked_at": AGO,
    "role": ("replica", "primary", "master"),
    "state": ("running", "starting"),
    "reachable": FLAG,
    "lsn": POSITIONS,
    "timeline": TIMELINES,
    "nofailover": FLAG,
    "failover_priority": (0, 1, 2),
    "watchdog_failed": FLAG,
    "stale": FLAG,
    "unread_wal": FLAG,
    "failsafe": FLAG,
    "paused": FLAG,
    "looked_at": (None, NOW - 0.5, NOW - 1.2, NOW - 30.0),
}
_MEMBER_CHANGES: dict[str, tuple[Any, ...]] = {
    "tags": (Tags(), Tags(clonefrom=True), Tags(nostream=True), Tags(replicatefrom="n2")),
    "state": ("running", "starting", "stopped"),
    "role": ("primary", "master", "replica", "standby_leader"),
    "host": ("", "10.0.0.9"),
    "timeline": TIMELINES,
    "api_url": ("",),
}

PLACES: dict[str, tuple[Any, ...]] = {
    "stopping": FLAG,
    "store_busy_since": (None, NOW - 1),
    "published": (None, {"state": "starting"}),
    "published_at": SINCE,
    "lease": (*guards.LEASES.values(), *(Lease(at) for at in AGO)),
    "cluster": (*scenes.STORES.values(), *(Unknown(at, "timed out") for at in AGO)),
    "cluster.when": AGO,
    "cluster.value.leader": (None, *NAMES),
    "cluster.value.initialize": (None, "", "7409999999999999999", '{"a": 1}'),
    "cluster.value.founder": (None, *NAMES),
    "cluster.value.config_present": FLAG,
    "cluster.value.optime": POSITIONS,
    "cluster.value.history": (None, (), scenes.HISTORY, scenes.LONGER),
    "cluster.value.slots": ({}, {"n1": LSN, "n3": LSN + 500}, {"cdc": LSN, "n3": LSN}),
    "cluster.value.retain_slots": ((), ("gone",), ("n2", "n3")),
    "cluster.value.failover": _FAILOVERS,
    "cluster.value.failsafe": (
        None,
        guards.URLS,
        {"n3": "http://10.0.0.3:8008/patroni"},
        {**guards.URLS, "n9": "http://10.0.0.9:8008/patroni"},
    ),
    "cluster.value.failsafe_revision": (0, 5, 6),
    "failsafe_calls": (
        (),
        (FailsafeCall(7, "n1", NOW - 0.1, 30.0),),
        (FailsafeCall(7, "n3", NOW - 0.1, 30.0), FailsafeCall(8, "n1", NOW, 0.0)),
        (FailsafeCall(7, "n1", NOW - 0.1, 95.0),),
    ),
    "failsafe_answers": (
        *guards.AGREEMENTS.values(),
        (guards.agrees("n2", 14), guards.agrees("n3", 3)),
        (guards.agrees("n1"), guards.agrees("n3")),
    ),
    "started_at": (0.0, NOW - 5),
    "cluster.value.sync": (
        None,
        *(
            SyncState(leader, standbys, quorum, 3)
            for leader in ("", "n1", "n2", "n3")
            for standbys, quorum in (((), 0), (("n2",), 0), (("n3",), 0), (("n2", "n3"), 1))
        ),
    ),
    "postgres": tuple(scenes.POSTGRES.values()),
    "postgres.postmaster": (None, Postmaster(4711, 1), Postmaster(9, 9), Postmaster(4711, 1, True)),
    "postgres.outdated": FLAG,
    "postgres.starting": FLAG,
    "postgres.must_reach": (None, (2, LSN - 100), (2, LSN + 500), (3, LSN), (4, LSN)),
    "postgres.checkpointing": FLAG,
    "postgres.written_sync_names": (None, "", "n2", "2 (n2,n3)", "ANY 1 (n2,n3)", "ANY 1 (n1,n3)"),
    "postgres.setting_sync_names": FLAG,
    "postgres.wanted_config": ("", "new"),
    "postgres.configured_slot": (None, "n1", "n2"),
    "postgres.configured_upstream": (
        *(None, "10.0.0.1:5432", "10.0.0.3:5432"),
        "10.9.0.1:5432",
    ),
    "postgres.directory.kind": tuple(DirectoryKind),
    "postgres.directory.standby_signal": FLAG,
    "postgres.directory.system_identifier": ("", "7409999999999999999"),
    "postgres.directory.control": (
        None,
        *(
            servers.control(state)
            for state in (
                *("shut down", "shut down in recovery", "in production", "shutting down"),
                *("in crash recovery", "in archive recovery", "starting up"),
            )
        ),
        servers.control("shut down", checkpoint_lsn=LSN + 400),
        servers.control("shut down", rewindable=False, checkpoint_lsn=LSN + 400),
        servers.control("shut down", timeline=4),
    ),
    "postgres.server": tuple(Unknown(at, "timed out after 3s") for at in AGO),
    "postgres.server.when": AGO,
    "postgres.server.value.timeline": TIMELINES,
    "postgres.server.value.write_lsn": POSITIONS,
    "postgres.server.value.receive_lsn": POSITIONS,
    "postgres.server.value.replay_lsn": POSITIONS,
    "postgres.server.value.replication_state": (None, "streaming"),
    "postgres.server.value.receiver": (None, 4801),
    "postgres.server.value.started_epoch": (WALL - 1000, WALL - 2),
    "postgres.server.value.checkpoint_timeline": (None, 2, 3),
    "postgres.server.value.system_identifier": ("", "7409999999999999999"),
    "postgres.server.value.slots": _SLOTS,
    "postgres.server.value.sync_names": ("", "n2", "2 (n2,n3)", "ANY 1 (n2,n3)", "*"),
    "postgres.server.value.checkpointer_listens": FLAG,
    "postgres.server.value.replication": _REPLICATION,
    "postgres.server.value.pending": ((), (PendingParameter("max_connections", "100", "200"),)),
    "postgres.server.value.timeline_history": ((), scenes.HISTORY),
    "fence": (
        Fence(False, "not started yet"),
        Fence(True),
        scenes.ARMED,
        *(Fence(True, "", pid, at) for pid in (4711, 9) for at in (NOW - 1, NOW + 24.5)),
    ),
    "watchdog": tuple(guards.WATCHDOGS.values()),
    "policy.watchdog_mode": ("off", "automatic", "required"),
    "policy.watchdog_timeout_seconds": (8.0, 15.0, 25.0),
    "policy.ttl_seconds": (5.0, 20.0, 30.0, 90.0),
    "policy.check_timeline": FLAG,
    "policy.maximum_lag_on_failover_bytes": (0, 1048576),
    "policy.primary_start_timeout_seconds": (0.0, 3.0, 300.0),
    "policy.synchronous_mode": ("off", "on", "quorum"),
    "policy.failsafe_mode": FLAG,
    "policy.synchronous_mode_strict": FLAG,
    "policy.primary_stop_timeout_seconds": (0.0, 10.0),
    "policy.synchronous_node_count": (1, 2),
    "policy.maximum_lag_on_syncnode_bytes": (-1, 100),
    "policy.synchronous_commit": ("on", "remote_apply", "local"),
    "policy.pause": FLAG,
    "policy.standby_cluster": (None, scenes.FAR, RemotePrimary()),
    "policy.use_slots": FLAG,
    "policy.use_pg_rewind": FLAG,
    "policy.remove_on_rewind_failure": FLAG,
    "policy.remove_on_diverged": FLAG,
    "policy.may_bootstrap": FLAG,
    "policy.fence_required": FLAG,
    "policy.callbacks": ((), ("on_start", "on_stop", "on_restart", "on_role_change")),
    "policy.ignore_slots": ((), ({"name": "gone"},), ({"type": "logical"},)),
    "policy.permanent_slots": (
        (),
        (PermanentSlot("kept"),),
        (scenes.CDC,),
        (replace(scenes.CDC, cluster_type="standby"),),
    ),
    "policy.slot_wal_budget_bytes": (None, 1_000_000),
    "policy.member_slots_ttl_seconds": (0.0, 1800.0),
    "memory.bootstrapping": FLAG,
    "memory.bootstrap_failed": ("", "initdb: no locale"),
    "memory.bootstrap_copied": FLAG,
    "memory.roles_created": FLAG,
    "memory.beaten": ("", "7401234567890123456"),
    "memory.primary_down_since": SINCE,
    "memory.lock_free_since": SINCE,
    "memory.standing_down_since": SINCE,
    "memory.handover_revision": (None, 7, 8),
    "memory.handover_since": SINCE,
    "memory.lease_void": SINCE,
    "memory.shortened_lease": (None, *AGO),
    "memory.shortened_until": (0.0, NOW + 4, NOW + 18),
    "memory.race_barred_until": (0.0, NOW - 1, NOW + 20),
    "memory.diverged_from": (0, 3, 4),
    "memory.sync_names": (None, "", "n2", "ANY 1 (n2,n3)"),
    "memory.sync_names_since": AGO,
    "memory.sync_names_lsn": (None, LSN - 100, LSN + 1),
    "memory.sync_asked": (None, 2, 3),
    "memory.raced_on": (None, 0, 2, 3),
    "memory.promotions_begun": (0, 1, 2),
    "memory.promoting": FLAG,
    "memory.needs_new_copy": FLAG,
    "memory.proven": (None, (4801, 3), (4801, 2)),
    "memory.opening": (None, *OPENINGS),
    "memory.former_upstream": ("", "10.0.0.1:5432"),
    "memory.wrote_on": (None, 2, 3),
    "memory.rewinding": FLAG,
    "memory.knows_cluster": FLAG,
    "memory.rewound_from": (None, (3, LSN), (3, 0x5000100)),
    "memory.rewind_failed": ("", "pg_rewind: no WAL"),
    "memory.job_seen": (0.0, NOW),
    "memory.failures": (0, 1, 9),
    "memory.retry_at": (0.0, NOW - 1, NOW + 2),
    "memory.scheduled_restart": (None, *_CONDITIONS),
    "memory.restarting_since": SINCE,
    "memory.restarting_for": (None, 1),
    "memory.leaving_since": SINCE,
    "memory.reinitialize": FLAG,
    "memory.reinit_from_leader": FLAG,
    "memory.announced_role": ("", "primary", "replica", "standby_leader"),
    "memory.announced_up": FLAG,
    "memory.status_at": (0.0, NOW - 2),
    "memory.failsafe_members": ({}, guards.URLS, {"n1": guards.URLS["n1"]}),
    "memory.failsafe_listed": ({}, guards.URLS, {"n1": guards.URLS["n1"]}),
    "memory.failsafe_sent": ({}, {**guards.URLS, "n9": "http://10.0.0.9:8008/patroni"}),
    "memory.failsafe_sent_over": (-1, 0, 5),
    "memory.failsafe_until": (0.0, NOW + 4, NOW + 18),
    "memory.failsafe_lease": (None, *AGO),
    "policy.primary_race_backoff_seconds": (0.0, 5.0),
    "memory.race_position": (0, LSN),
    "memory.race_moved_at": AGO,
    "memory.bring_back": FLAG,
    "memory.fence_missing_since": SINCE,
    "memory.consented_until": (0.0, NOW - 1, NOW + 12),
    "memory.consented_to": ("", "n1", "n3"),
    "memory.ttl_seconds": (20.0, 30.0),
    "memory.ttl_since": (0.0, NOW - 50),
    "memory.longest_ttl_seconds": (0.0, 20.0, 30.0, 90.0),
    "memory.logical_slots": ((), ("cdc",)),
    "memory.covered_by": ("", "n1", "n2"),
    "memory.covered_from": ({}, {"cdc": 700}, {"cdc": 710}),
    "memory.unclaimed_since": ({}, {"gone": NOW - 5}, {"gone": -9000.0}),
    "job": (
        None,
        *(Job(kind, NOW - 1) for kind in JobKind if kind is not JobKind.STOP),
        *(Job(JobKind.STOP, NOW - 1, mode) for mode in ("fast", "immediate")),
        Job(JobKind.STOP, NOW - 1, "immediate", NOW + 5),
    ),
    "last_job": (
        None,
        *(JobResult(k, ok, NOW - 0.5, "" if ok else "code 1") for k in JobKind for ok in FLAG),
    ),
    "peers": _PEERS,
    **{f"peers.{n}.{key}": v for n in ("n1", "n2", "n3") for key, v in _PEER_CHANGES.items()},
    **{
        f"cluster.value.members.{name}.{key}": values
        for name in ("n1", "n2", "n3")
        for key, values in _MEMBER_CHANGES.items()
    },
    "cluster.value.members": ((),),
    "leader_timeline": (
        None,
        Unknown(NOW - 3, "no route to host"),
        Known(scenes.TOLD, NOW),
        Known(scenes.TOLD_BY_N2, NOW),
        Known(replace(scenes.TOLD_BY_N2, leader="n1"), NOW),
        *(scenes.TELLS[name] for name in ("remote", "remote, forked", "foreign remote")),
        *(
            Known(
                replace(scenes.TOLD, leader="10.0.0.1:5432", asked_at=NOW - 0.2, same_wal=same), NOW
            )
            for same in FLAG
        ),
    ),
    "leader_slots": (None, *scenes.SLOTS_TOLD.values()),
    "leader_slots.value.asked_at": AGO,
    "leader_slots.value.slots": ((), (scenes.CDC_SLOT,)),
    "leader_slots.value.feedback_xmin": (None, 690, 700, 710),
    "leader_slots.value.oldest_lsn_here": POSITIONS,
    "leader_slots.value.leader": NAMES,
    "leader_timeline.value.asked_at": AGO,
    "leader_timeline.value.in_recovery": FLAG,
    "leader_timeline.value.same_wal": (None, True, False),
    "leader_timeline.value.newer_wal_here": FLAG,
    "leader_timeline.value.asked_on": (None, 2, 3),
    "leader_timeline.value.receiver": (None, 4801),
    "leader_timeline.value.openings": ((), *((opening,) for opening in OPENINGS)),
    "leader_timeline.value.system_identifier": ("", "7409999999999999999"),
    "leader_timeline.value.checkpointed": FLAG,
    "leader_timeline.value.timeline": (2, 3, 4, 5),
    "leader_timeline.value.history": ((), scenes.HISTORY, scenes.LONGER),
    "requests": _REQUESTS,
    "me.tags.nofailover": FLAG,
    "me.tags.nostream": FLAG,
    "me.tags.replicatefrom": (None, "n1", "n3"),
    "me.tags.failover_priority": (0, 1, 2),
    "vanished": (
        (),
        *scenes.VANISHED.values(),
        tuple(Vanished(member, NOW - 31, with_ours=True) for member in members()),
    ),
    "keys_lost": (None, *scenes.KEYS_LOST.values()),
    "consented_until": (0.0, NOW - 1, NOW + 20),
    "cluster.value.founder_revision": (0, 7),
    "cluster.value.initialize_revision": (0, 7),
    "postgres.applied_config": ("", "new"),
    "postgres.server.value.in_recovery": FLAG,
    "postgres.server.value.server_version": (150004, 170000),
    "policy.loop_wait_seconds": (1.0, 10.0),
    "policy.retry_timeout_seconds": (1.0, 10.0),
    "policy.max_timelines_history": (0, 1),
}

VARIATIONS: tuple[Variation, ...] = tuple(
    (place, value) for place, values in PLACES.items() for value in values
)


def vary(s: Snapshot, variation: Variation) -> Snapshot:
    """The snapshot with that one change; itself where the place does not exist in it."""
    place, value = variation
    changed = _put(s, tuple(place.split(".")), value)
    assert isinstance(changed, Snapshot)
    return changed


def republished(s: Snapshot) -> Snapshot:
    """The snapshot of a member whose key in the store is up to date."""
    return scenes.shown_as_published(replace(s, published=dict(member_document(s))))


def _put(here: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    if isinstance(here, tuple):
        return tuple(_put(x, path[1:], value) if x.name == path[0] else x for x in here)
    if not dataclasses.is_dataclass(here) or not hasattr(here, path[0]):
        return here
    inner = getattr(here, path[0])
    if len(path) > 1 and inner is None:
        return here
    return replace(here, **{path[0]: _put(inner, path[1:], value)})  # type: ignore[type-var]
