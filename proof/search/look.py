"""The engine's snapshot of a state: what the daemon of one node sees when it looks now.

Belongs here: turning tuples into the engine's records.  Does not belong here: any conclusion.
Everything seen "now" is a hair older or newer than the tick, so that what happened first also
compares as earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from engine.document import member_document, role_text
from engine.state import (
    Cluster,
    ControlData,
    DataDirectory,
    DirectoryKind,
    FailoverRequest,
    Fence,
    HistoryLine,
    Job,
    JobKind,
    JobResult,
    Known,
    LeaderTimeline,
    Lease,
    Member,
    Memory,
    PeerAnswer,
    Postgres,
    Postmaster,
    ReplicationRow,
    Server,
    Snapshot,
    SyncState,
    Unknown,
)
from proof.search import lost, synchronous, word
from proof.search.alike import said_of_itself
from proof.search.model import NAMES, Node, Peer, Pg, Shared, SyncKey, Told, View, World, forks, lsn

NOW = 1000.0
WALL = 1_790_000_000.0
HAIR = 0.002
SYSTEM = "7401234567890123456"
# Never past for the rules that do something every loop: they are done whenever there is cause.
LONG_AGO = -1e6

# Moments of the memory that count down; all others count up from when something began.
UNTIL = frozenset(
    name for name in Memory.__dataclass_fields__ if name == "retry_at" or name.endswith("_until")
)
# Told to nobody in this world, or kept in a field of its own.
_MOVING = frozenset({"xlog_location", "receive_lsn", "replay_lsn"})
_DECIDING = ("role", "state", "timeline")  # of a member key: what others decide by
UNKEPT = frozenset(
    {"announced_role", "announced_up", "status_at", "job_seen", "unclaimed_since"}
    | {"failsafe_sent_over", "failsafe_listed"}  # no world writes that key
)


def address(n: int) -> str:
    """Where that node's PostgreSQL listens."""
    return f"10.0.0.{n + 1}"


def index(name: str | None) -> int | None:
    """The number of the member of that name."""
    return None if name is None else NAMES.index(name)


def server_at(n: int) -> str:
    """host:port of that node's PostgreSQL."""
    return f"{address(n)}:5432"


def number_at(server: str) -> int:
    """The number of the node whose PostgreSQL that is."""
    return next(n for n in range(len(NAMES)) if server_at(n) == server)


def _name(n: int | None) -> str | None:
    return None if n is None else NAMES[n]


def _lines(ends: tuple[int, ...]) -> tuple[HistoryLine, ...]:
    return tuple(HistoryLine(n + 1, end) for n, end in enumerate(ends))


@cache
def cluster(view: View) -> Cluster:
    """What the store holds, as the engine's record."""
    members = []
    for n, document in enumerate(view.members):
        if document is not None:
            said = dict(document)
            members.append(
                Member(
                    NAMES[n],
                    address(n),
                    api_url=_url(n),
                    state=said["state"],
                    role=said["role"],
                    timeline=said.get("timeline"),
                )
            )
    request = view.failover
    asked = None
    if request is not None:
        asked = FailoverRequest(_name(request[0]), _name(request[1]), None, 1)
    return Cluster(
        initialize=SYSTEM if view.initialized else None,
        leader=_name(view.leader),
        leader_revision=1,
        members=tuple(members),
        config_present=view.configured,
        optime=view.optime,
        failover=asked,
        history=None if view.forks is None else _lines(view.forks),
        sync=None if view.sync is None else _sync_key(view.sync),
        failsafe=_urls(range(len(view.members))) if view.failsafe else None,
        failsafe_revision=1 if view.failsafe else 0,
    )


def _urls(members: Iterable[int]) -> dict[str, str]:
    return {NAMES[n]: _url(n) for n in members}


def _url(n: int) -> str:
    return f"http://{address(n)}:8008/patroni"


def _sync_key(key: SyncKey) -> SyncState:
    standbys = tuple(NAMES[n] for n in key.standbys)
    return SyncState(NAMES[key.leader], standbys, key.quorum, key.revision)


@cache
def _known(view: View, age: float) -> Known[Cluster]:
    return Known(cluster(view), NOW - age - HAIR / 2)


def _server(node: Node) -> Known[Server] | Unknown:
    if node.pg is Pg.DOWN:
        return Unknown(NOW, "PostgreSQL is not running")
    if node.pg is Pg.STARTING:
        return Unknown(NOW, "the database system is starting up")
    if node.pg is Pg.CLOSING:
        return Unknown(NOW, "the database system is shutting down")
    at, timeline = lsn(node.wal), len(node.wal)
    if node.pg is Pg.PRIMARY:
        value = Server(
            in_recovery=False,
            timeline=timeline,
            system_identifier=SYSTEM,
            write_lsn=at,
            checkpoint_timeline=timeline if node.checkpointed else timeline - 1,
            timeline_history=_lines(forks(node.wal)),
            replication=_rows(node),
        )
    else:
        value = Server(
            in_recovery=True,
            timeline=timeline,
            system_identifier=SYSTEM,
            receive_lsn=at,
            replay_lsn=at,
        )
    if node.sync is not None:
        names = synchronous.text_of(node.sync.force)
        value = replace(value, sync_names=names, checkpointer_listens=True)
    return Known(value, NOW)


def _rows(node: Node) -> tuple[ReplicationRow, ...]:
    if node.sync is None:
        return ()
    needed, members = node.sync.force
    kind = "quorum" if needed < len(members) else "sync"
    return tuple(
        ReplicationRow(NAMES[k], "streaming", kind if k in members else "async", flush_lsn=at)
        for k, at in enumerate(node.sync.rows)
        if at is not None
    )


def _directory(node: Node) -> DataDirectory:
    if node.control == "empty":
        return DataDirectory(DirectoryKind.EMPTY)
    if node.pg is not Pg.DOWN:
        return DataDirectory(DirectoryKind.VALID, "", SYSTEM, None, node.signal)
    at, timeline = lsn(node.wal), len(node.wal)
    if node.control == "shut down":
        control = ControlData(node.control, at - 1, timeline, rewindable=True)
    elif node.control == "in production":
        control = ControlData(node.control, 0, timeline, rewindable=True)
    else:
        control = ControlData(node.control, 0, timeline, at, timeline, rewindable=True)
    return DataDirectory(DirectoryKind.VALID, "", SYSTEM, control, node.signal)


def _postgres(node: Node) -> Postgres:
    upstream = None if node.upstream is None else server_at(node.upstream)
    written, being_set = None, False
    if node.sync is not None:
        names = node.sync.written
        written = None if names is None else synchronous.text_of(names)
        being_set = node.sync.setting is not None
    return Postgres(
        directory=_directory(node),
        postmaster=None if node.pg is Pg.DOWN else Postmaster(4711, 1),
        server=_server(node),
        starting=node.pg is Pg.STARTING,
        configured_upstream=upstream,
        written_sync_names=written,
        setting_sync_names=being_set,
    )


def _peer(n: int, peer: Peer) -> PeerAnswer:
    return PeerAnswer(
        NAMES[n],
        NOW - peer.age + HAIR / 4,
        peer.reachable,
        "" if peer.reachable else "timed out",
        peer.role,
        peer.state,
        peer.lsn,
        peer.timeline,
    )


def _told(told: Told) -> Known[LeaderTimeline]:
    asked_at = NOW - told.age + HAIR / 4
    value = LeaderTimeline(
        NAMES[told.leader] if told.by_name else server_at(told.leader),
        asked_at,
        told.timeline,
        told.in_recovery,
        told.checkpointed,
        _lines(told.forks),
        same_wal=told.same_wal,
        asked_on=told.asked_on,
    )
    return Known(value, asked_at)


def _fence(world: World, node: Node) -> Fence:
    if not world.fence:
        return Fence(False, "fence.mode is off")
    if node.fence is None:
        return Fence(True)
    target, ends_in = node.fence
    kill_at = NOW + ends_in - HAIR - 0.7 * world.margin
    return Fence(True, "", 4711 if target == "process" else None, kill_at)


def moment(name: str, relative: float) -> float:
    """A moment of the memory on the engine's clock."""
    return NOW + relative if name in UNTIL else NOW + relative - HAIR


def sent_at(node: Node) -> float | None:
    """When the lease that it knows was asked for."""
    return None if node.sent is None else NOW - node.sent - HAIR


def memory(world: World, node: Node) -> Memory:
    """The engine's memory, as this node has it.  The ttl never changes here, so it is noted."""
    fields: dict[str, Any] = {}
    for name, value in node.memory:
        fields[name] = moment(name, value) if isinstance(value, float) else value
    if fields.get("sync_names") is not None:
        fields["sync_names"] = synchronous.text_of(fields["sync_names"])
    fields |= {name: sent_at(node) for name in ("lease_void", "failsafe_lease") if name in fields}
    if "failsafe_members" in fields:
        fields["failsafe_members"] = _urls(fields["failsafe_members"])
    if "consented_to" in fields:
        fields["consented_to"] = NAMES[fields["consented_to"]]
    if "former_upstream" in fields:
        fields["former_upstream"] = server_at(fields["former_upstream"])
    noted = node.last is None or node.last[2]
    ttl = world.policy.ttl_seconds
    fields |= {"ttl_seconds": ttl, "longest_ttl_seconds": ttl, "failsafe_sent_over": 0}
    listed = _urls(range(world.nodes)) if world.policy.failsafe_mode else {}
    return Memory(
        failsafe_listed=listed, status_at=LONG_AGO, job_seen=NOW if noted else 0.0, **fields
    )


def _me(n: int) -> Member:
    return Member(NAMES[n], address(n), api_url=_url(n))


def _published_at(
    world: World, n: int, node: Node, store: Known[Cluster] | Unknown
) -> float | None:
    """Before this look, so what it shows of our key is newer; long before it where that is gone."""
    if node.published is None:
        return None
    gone = isinstance(store, Known) and store.value.member(NAMES[n]) is None
    return NOW - (world.policy.ttl_seconds if gone else HAIR)


def snapshot(world: World, n: int, node: Node, shared: Shared) -> Snapshot:
    """What the daemon of node `n` sees now."""
    store: Known[Cluster] | Unknown
    if word.is_out(node, shared):
        store = Unknown(NOW, "connection refused")
    elif node.old_view is not None:
        store = _known(*node.old_view)
    else:
        store = _known(shared.view, 0.0)
    policy = world.paused_policy if node.paused else world.policy
    last = None
    if node.last is not None:
        why = "" if node.last[1] else "it failed"
        last = JobResult(JobKind(node.last[0]), node.last[1], NOW - HAIR, why)
    told = None if node.told is None else _told(node.told)
    s = Snapshot(
        now=NOW,
        wall=WALL,
        me=_me(n),
        policy=policy,
        cluster=store,
        lease=Lease(sent_at(node), policy.ttl_seconds, node.refused),
        postgres=_postgres(node),
        fence=_fence(world, node),
        memory=memory(world, node),
        job=None if node.job is None else Job(JobKind(node.job[0]), NOW, node.job[1]),
        last_job=last,
        store_busy_since=None if node.flight is None else NOW,
        published=None,
        published_at=_published_at(world, n, node, store),
        vanished=lost.records(node, NOW),
        peers=tuple(_peer(k, peer) for k, peer in enumerate(node.peers) if peer is not None),
        leader_timeline=told,
        failsafe_calls=word.calls(world, node, NOW),
        failsafe_answers=word.heard(world, node, NOW - HAIR),
        started_at=0.0 if node.word is None else NOW - node.word.born - HAIR,
        stopping=node.stopping,
    )
    return _told_to_others(s, node)


def _told_to_others(s: Snapshot, node: Node) -> Snapshot:
    """Callbacks know what there is to know; the member key is outdated if others would see it.

    And the store shows another one than was written if others would see the difference.
    """
    told = replace(
        s.memory, announced_role=role_text(s), announced_up=s.postgres.postmaster is not None
    )
    now = member_document(s)
    same = node.published == packed(now)
    published = now if same else None if node.published is None else dict(node.published)
    s = replace(s, memory=told, published=published)
    shown = s.cluster.value.member(s.me.name) if isinstance(s.cluster, Known) else None
    if not same or shown is None or not _says(shown, dict(node.published or ())):
        return s
    mine = replace(shown, role=now["role"], state=now["state"], timeline=now.get("timeline"))
    return _with_member(s, mine)


def _says(member: Member, document: Mapping[str, Any]) -> bool:
    return all(getattr(member, name) == document.get(name) for name in _DECIDING)


def _with_member(s: Snapshot, member: Member) -> Snapshot:
    assert isinstance(s.cluster, Known)
    view = s.cluster.value
    if view.member(member.name) == member:
        return s
    members = tuple(member if x.name == member.name else x for x in view.members)
    return replace(s, cluster=replace(s.cluster, value=replace(view, members=members)))


def packed(document: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """A member document as far as others decide by it."""
    said = said_of_itself({k: v for k, v in document.items() if k not in _MOVING})
    return tuple(sorted(said.items()))
