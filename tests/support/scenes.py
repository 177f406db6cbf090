"""Snapshots put together from named pieces: a base, and what is different from it.

Belongs here: the bases, the pieces (what a lease, a PostgreSQL, a store can look like) and how
they are laid over each other.  Scenario files name them; the property tests draw from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine import views
from engine.document import member_document
from engine.policy import PermanentSlot, Policy, RemotePrimary
from engine.state import (
    Cluster,
    FailsafeCall,
    Fence,
    HistoryLine,
    KeysLost,
    Known,
    LeaderSlots,
    LeaderTimeline,
    Member,
    Memory,
    Opening,
    PeerAnswer,
    Postgres,
    Postmaster,
    ReplicationRow,
    Slot,
    Snapshot,
    SyncState,
    Unknown,
    Vanished,
)
from engine.upstreams import REMOTE
from shell.recorder.codec import decode, encode
from tests.support.guards import AGREEMENTS, LEASES, URLS, WATCHDOGS
from tests.support.paths import set_at
from tests.support.servers import control, directory, down, running, streams
from tests.support.snapshots import (
    LSN,
    NOW,
    SYSTEM_IDENTIFIER,
    cluster,
    members,
    primary_server,
    snapshot,
    standby_server,
)

SLOTS = tuple(Slot(name, restart_lsn=LSN) for name in ("n2", "n3"))
HISTORY = cluster().history or ()
# n1 led timeline 3 to just after its shutdown checkpoint at LSN; n2 has opened timeline 4.
FORK = LSN + 120
LONGER = (*HISTORY, HistoryLine(3, FORK))
TOLD = LeaderTimeline("n1", NOW - 1, 3, False, True, HISTORY)
TOLD_BY_N2 = LeaderTimeline("n2", NOW - 1, 4, False, True, LONGER)
# A primary in another data centre, on the same timeline, of the same system.
FAR = RemotePrimary("10.9.0.1")
TOLD_BY_FAR = replace(TOLD, leader=REMOTE, system_identifier=SYSTEM_IDENTIFIER)
FAR_FORK = replace(TOLD_BY_N2, leader=REMOTE, system_identifier=SYSTEM_IDENTIFIER)

# A permanent logical slot, as it stands on the leader and as a copy of it.
CDC = PermanentSlot("cdc", "logical", "app", "test_decoding")
CDC_SLOT = Slot(
    "cdc",
    "logical",
    restart_lsn=LSN - 200,
    confirmed_lsn=LSN - 100,
    has_xmin=True,
    catalog_xmin=700,
    wal_status="reserved",
    database="app",
)
TOLD_SLOTS = LeaderSlots("n1", NOW - 1, (CDC_SLOT,), 700, LSN - 4096)

# --- a PostgreSQL ---------------------------------------------------------------------------------


USED_SLOTS = tuple(replace(x, active=True, active_pid=100 + int(x.name[1:])) for x in SLOTS)


def sync_primary(names: str, *rows: ReplicationRow) -> Postgres:
    """n1 with these names of ours in force, and what streams from it."""
    server = primary_server(
        slots=USED_SLOTS, replication=rows, sync_names=names, checkpointer_listens=True
    )
    return running(server, written_sync_names=names)


N2_IS_SYNC = (streams("n2", "sync"), streams("n3"))
FOLLOWS_N1 = {"configured_upstream": "10.0.0.1:5432", "configured_slot": "n2"}
STANDBY_SLOTS = tuple(Slot(name, restart_lsn=LSN) for name in ("n1", "n3"))
NEW_SERVER = primary_server(timeline=1, replication=())

POSTGRES: dict[str, Postgres] = {
    "primary": running(primary_server(slots=SLOTS)),
    "standby": running(standby_server(slots=STANDBY_SLOTS), True, **FOLLOWS_N1),
    "sync primary": sync_primary("n2", *N2_IS_SYNC),
    "sync primary, both": sync_primary("2 (n2,n3)", streams("n2", "sync"), streams("n3", "sync")),
    "sync primary, n2 gone": sync_primary("n2", streams("n3")),
    "sync primary, nobody": sync_primary(""),
    "sync primary, no names": sync_primary("", streams("n2"), streams("n3")),
    "quorum primary": sync_primary(
        "ANY 1 (n2,n3)", streams("n2", "quorum"), streams("n3", "quorum")
    ),
    "sync standby": running(
        standby_server(slots=STANDBY_SLOTS), True, written_sync_names="", **FOLLOWS_N1
    ),
    "standby with cdc": running(
        standby_server(slots=(*STANDBY_SLOTS, CDC_SLOT)), True, **FOLLOWS_N1
    ),
    "standby of n3": running(
        standby_server(slots=STANDBY_SLOTS),
        True,
        configured_upstream="10.0.0.3:5432",
        configured_slot="n2",
    ),
    "standby of the remote": running(
        standby_server(slots=SLOTS),
        True,
        configured_upstream="10.9.0.1:5432",
        configured_slot="n1",
    ),
    "first primary": running(NEW_SERVER),
    "recovering backup": running(standby_server(timeline=1)),
    "silent primary": running(None),
    "silent standby": running(None, True),
    "starting": running(None, starting=True),
    "frozen": running(None, postmaster=Postmaster(4711, 1, frozen=True)),
    "clean": down(directory(control=control("shut down"))),
    "crashed": down(directory(control=control("in production"))),
    "crashed in recovery": down(directory(control=control("in crash recovery"))),
    "clean standby": down(directory(control=control("shut down in recovery"), standby_signal=True)),
    "crashed standby": down(directory(control=control("in archive recovery"), standby_signal=True)),
    "unreadable": down(directory()),
    "empty": down(directory("empty")),
    "alien": down(directory("alien", problem="/data has no PG_VERSION")),
    "unseen": replace(
        down(directory("alien", problem="not looked at yet")),
        server=Unknown(NOW - 1, "not yet"),
        outdated=True,
    ),
}

# --- the store ------------------------------------------------------------------------------------


def promoted(name: str) -> Cluster:
    """The store's view after that member was promoted to timeline 4, in n1's place."""
    moved = tuple(
        replace(
            m, role="primary" if m.name == name else "replica", timeline=4 if m.name == name else 3
        )
        for m in members()
    )
    return cluster(leader=name, members=moved, history=LONGER)


STORES: dict[str, Known[Cluster] | Unknown] = {
    "healthy": Known(cluster(), NOW),
    "free": Known(cluster(leader=None), NOW),
    "free, n1 gone": Known(cluster(leader=None, members=members()[1:]), NOW),
    "standby cluster": Known(
        cluster(members=(replace(members()[0], role="standby_leader"), *members()[1:])), NOW
    ),
    "listed": Known(cluster(failsafe=URLS, failsafe_revision=5), NOW),
    "listed, free": Known(cluster(leader=None, failsafe=URLS, failsafe_revision=5), NOW),
    "synchronous": Known(cluster(sync=SyncState("n1", ("n2",), 0, 3)), NOW),
    "synchronous, free": Known(cluster(leader=None, sync=SyncState("n1", ("n2",), 0, 3)), NOW),
    "quorum": Known(cluster(sync=SyncState("n1", ("n2", "n3"), 1, 3)), NOW),
    "quorum, free": Known(cluster(leader=None, sync=SyncState("n1", ("n2", "n3"), 1, 3)), NOW),
    "n1 leads no more": Known(cluster(leader="n2"), NOW),
    "n2 leads": Known(promoted("n2"), NOW),
    "n3 leads": Known(promoted("n3"), NOW),
    "ghost leads": Known(cluster(leader="n9"), NOW),
    "no cluster": Known(Cluster(), NOW),
    "bootstrapping": Known(Cluster(initialize=""), NOW),
    "foreign": Known(cluster(initialize="7409999999999999999"), NOW),
    "foreign, free": Known(cluster(initialize="7409999999999999999", leader=None), NOW),
    "silent": Unknown(NOW - 4, "connection refused"),
}

# --- peers ----------------------------------------------------------------------------------------


def peer(name: str, **fields: Any) -> PeerAnswer:
    """A member that answered half a second ago as a standby with everything."""
    values: dict[str, Any] = {
        "asked_at": NOW - 0.5,
        "reachable": True,
        "role": "replica",
        "state": "running",
        "lsn": LSN,
        "timeline": 3,
    }
    return PeerAnswer(name, **(values | fields))


def silent_peer(name: str) -> PeerAnswer:
    """A member that was asked half a second ago and did not answer."""
    return PeerAnswer(name, NOW - 0.5, False, "timed out")


# --- bases ----------------------------------------------------------------------------------------


def _base(me: str, store: str, postgres: str, lease: str = "none", **fields: Any) -> Snapshot:
    values: dict[str, Any] = {
        "cluster": STORES[store],
        "postgres": POSTGRES[postgres],
        "lease": LEASES[lease],
    }
    return snapshot(me, NOW, standby_server(), **(values | fields))


def _told(role: str, **fields: Any) -> Memory:
    wrote = 3 if role == "primary" else None
    return Memory(announced_role=role, announced_up=True, wrote_on=wrote, **fields)


ARMED = Fence(True, "", 4711, NOW - 2 + 30 - 3.5)
ANSWERS = (silent_peer("n1"), peer("n3"))
WATCHED: dict[str, Any] = {
    "sync_names": "n2",
    "sync_names_since": NOW - 20,
    "sync_names_lsn": LSN - 100,
    "sync_asked": 2,
}
FREE_SINCE = {"lock_free_since": NOW - 1}

BASES: dict[str, Callable[[], Snapshot]] = {
    # n1 leads, everything is well.
    "primary": lambda: _base(
        *("n1", "healthy", "primary", "fresh"),
        memory=_told("primary", status_at=NOW - 2),
        fence=ARMED,
    ),
    # n1 leads and can't reach the store any more; it asks the members to go on.
    "cut off": lambda: _base(
        *("n1", "silent", "primary", "overdue"),
        policy=Policy(failsafe_mode=True),
        memory=_told("primary", status_at=NOW - 12, failsafe_members=URLS, failsafe_sent_over=4),
        fence=Fence(True, "", 4711, NOW - 12 + 30 - 3.5),
    ),
    # n2 streams from n1, which has lost the store and asks to go on.
    "asked": lambda: _base(
        *("n2", "listed", "standby"),
        policy=Policy(failsafe_mode=True),
        memory=_told("replica"),
        failsafe_calls=(FailsafeCall(7, "n1", NOW - 0.1, 30.0),),
    ),
    # n2 streams from n1.
    "replica": lambda: _base("n2", "healthy", "standby", memory=_told("replica")),
    # n1 leads in synchronous mode, n2 is its synchronous standby, n3 streams too.
    "sync primary": lambda: _base(
        *("n1", "synchronous", "sync primary", "fresh"),
        policy=Policy(synchronous_mode="on"),
        memory=_told("primary", status_at=NOW - 2, **WATCHED),
        fence=ARMED,
    ),
    # The same in quorum mode, with n2 and n3 as the voters.
    "quorum primary": lambda: _base(
        *("n1", "quorum", "quorum primary", "fresh"),
        policy=Policy(synchronous_mode="quorum"),
        memory=_told("primary", status_at=NOW - 2, **(WATCHED | {"sync_names": "ANY 1 (n2,n3)"})),
        fence=ARMED,
    ),
    # In synchronous mode n1's lock has become free, n2 is named, n3 answered.
    "sync race": lambda: _base(
        "n2",
        "synchronous, free",
        "sync standby",
        policy=Policy(synchronous_mode="on"),
        peers=ANSWERS,
        memory=_told("replica", **FREE_SINCE),
    ),
    # n2 streams from n1, and has a safe copy of its logical slot.
    "replica with cdc": lambda: _base(
        "n2",
        "healthy",
        "standby with cdc",
        policy=Policy(permanent_slots=(CDC,)),
        memory=_told("replica", logical_slots=("cdc",), covered_by="n1", covered_from={"cdc": 700}),
    ),
    # n1's lock has become free a second ago; n2 has asked, n3 answered, n1 did not.
    "race": lambda: _base(
        "n2", "free", "standby", peers=ANSWERS, memory=_told("replica", **FREE_SINCE)
    ),
    # n1 owned the lock, and its PostgreSQL was killed; it has already been noted.
    "crashed primary": lambda: _base(
        "n1",
        "healthy",
        "crashed",
        "fresh",
        peers=(peer("n2"), peer("n3")),
        memory=Memory(announced_role="primary", wrote_on=3, primary_down_since=NOW - 2),
    ),
    # n1 was the primary, n2 leads on timeline 4; n1's PostgreSQL is down.
    "old primary": lambda: _base(
        "n1",
        "n2 leads",
        "clean",
        policy=Policy(use_pg_rewind=True),
        leader_timeline=Known(TOLD_BY_N2, NOW),
        memory=Memory(announced_role="primary", wrote_on=3),
    ),
    # n2 is down; n1 leads.
    "down replica": lambda: _base(
        "n2",
        "healthy",
        "clean standby",
        leader_timeline=Known(TOLD, NOW),
        memory=Memory(announced_role="replica"),
    ),
    # n2 has an empty data directory; n1 leads.
    "new replica": lambda: _base("n2", "healthy", "empty"),
    # n1 leads a standby cluster and streams from the remote primary.
    "standby leader": lambda: _base(
        *("n1", "standby cluster", "standby of the remote", "fresh"),
        policy=Policy(standby_cluster=FAR),
        memory=_told("standby_leader", status_at=NOW - 2),
    ),
    # n2 is down; nobody leads the standby cluster; the remote primary told its timeline.
    "down in a standby cluster": lambda: _base(
        "n2",
        "free",
        "clean standby",
        policy=Policy(standby_cluster=FAR, use_pg_rewind=True),
        leader_timeline=Known(TOLD_BY_FAR, NOW),
        memory=Memory(announced_role="replica"),
    ),
    # n1 has an empty data directory; there is no cluster.
    "new cluster": lambda: _base("n1", "no cluster", "empty", policy=Policy(may_bootstrap=True)),
}

PEERS: dict[str, tuple[PeerAnswer, ...]] = {
    "nobody": (),
    "others": (peer("n2"), peer("n3")),
    "n1 writes": (peer("n1", role="primary"), peer("n3")),
    "silent": (silent_peer("n2"), silent_peer("n3")),
}
TELLS: dict[str, Known[LeaderTimeline] | Unknown | None] = {
    "untold": None,
    "n1": Known(TOLD, NOW),
    "n1, same WAL": Known(replace(TOLD, same_wal=True), NOW),
    "n1, opened twice": Known(replace(TOLD, same_wal=False), NOW),
    "n1, opening 11": Known(replace(TOLD, same_wal=True, openings=(Opening(7, 3, 11),)), NOW),
    "n1, to be promoted": Known(replace(TOLD, in_recovery=True), NOW),
    "n2": Known(TOLD_BY_N2, NOW),
    "n3": Known(replace(TOLD_BY_N2, leader="n3"), NOW),
    "remote": Known(TOLD_BY_FAR, NOW),
    "remote, forked": Known(FAR_FORK, NOW),
    "foreign remote": Known(replace(TOLD_BY_FAR, system_identifier="7409999999999999999"), NOW),
    "silent": Unknown(NOW - 3, "no route to host"),
}
SLOTS_TOLD: dict[str, Known[LeaderSlots] | Unknown | None] = {
    "cdc": Known(TOLD_SLOTS, NOW),
    "cdc, no feedback": Known(replace(TOLD_SLOTS, feedback_xmin=None), NOW),
    "cdc, old WAL gone": Known(replace(TOLD_SLOTS, oldest_lsn_here=LSN), NOW),
    "silent": Unknown(NOW - 3, "no route to host"),
}
VANISHED: dict[str, tuple[Vanished, ...]] = {
    "n1": (Vanished(members()[0], NOW - 1),),
    "n1, long ago": (Vanished(members()[0], NOW - 31),),
    "n3": (Vanished(members()[2], NOW - 1),),
    "all": tuple(Vanished(member, NOW - 1, with_ours=True) for member in members()),
}
KEYS_LOST: dict[str, KeysLost] = {
    "seen": KeysLost(NOW - 5, seen=True),
    "seen, long ago": KeysLost(NOW - 31, seen=True),
    "found": KeysLost(NOW - 5, seen=False),
}
FENCES: dict[str, Fence] = {
    "idle": Fence(True),
    "armed": ARMED,
    "missing": Fence(False, "not started yet"),
}
PIECES: dict[str, dict[str, Any]] = {
    "lease": LEASES,
    "postgres": POSTGRES,
    "cluster": STORES,
    "peers": PEERS,
    "vanished": VANISHED,
    "keys_lost": KEYS_LOST,
    "leader_timeline": TELLS,
    "fence": FENCES,
    "leader_slots": SLOTS_TOLD,
    "policy.permanent_slots": {"cdc": (CDC,)},
    "postgres.server.slots": {"with cdc": (*STANDBY_SLOTS, CDC_SLOT)},
    "policy.standby_cluster": {"far": FAR, "an archive": RemotePrimary()},
    "failsafe_answers": AGREEMENTS,
    "watchdog": WATCHDOGS,
}


# --- laying differences over a base ---------------------------------------------------------------


def scene(base: str, changes: dict[str, Any]) -> Snapshot:
    """The base with the changes: a path such as `memory.retry_at` and its value.

    A path of one word takes the name of a piece (`lease = short`); others take JSON values in the
    recorder's form.  What is published is what would be published, unless a change says otherwise.
    """
    form: dict[str, Any] = encode(BASES[base]())
    for path, value in changes.items():
        if isinstance(value, str) and value in PIECES.get(path, {}):
            set_at(form, path, encode(PIECES[path][value]))
        else:
            set_at(form, path, value)
    return settled(decode(Snapshot, form), changes)


def settled(s: Snapshot, changes: dict[str, Any]) -> Snapshot:
    """Fill in what is carried along: the published document, our member key, who is listed."""
    if "published_at" not in changes:
        s = replace(s, published_at=s.now - 3)
    if "published" not in changes:
        s = replace(s, published=dict(member_document(s)))
        if not any(path.startswith(f"cluster.members.{s.me.name}.") for path in changes):
            s = shown_as_published(s)
    view = views.cluster(s)
    if view is not None and view.initialize and "memory.failsafe_listed" not in changes:
        s = replace(s, memory=replace(s.memory, failsafe_listed=view.failsafe or {}))
    return s


def shown_as_published(s: Snapshot) -> Snapshot:
    """The same snapshot, with our member key in the store as we published it, if it is there."""
    assert s.published is not None
    if not isinstance(s.cluster, Known):
        return s
    told = {name: s.published.get(name) for name in ("role", "state", "timeline")}
    return with_member(s, s.me.name, **told)


def with_member(s: Snapshot, name: str, **fields: Any) -> Snapshot:
    """The same snapshot, with other fields in that member's key."""
    assert isinstance(s.cluster, Known)
    view = s.cluster.value
    changed: tuple[Member, ...] = tuple(
        replace(m, **fields) if m.name == name else m for m in view.members
    )
    return replace(s, cluster=Known(replace(view, members=changed), s.cluster.when))
