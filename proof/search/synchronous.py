"""Synchronous replication in the small world: names, who confirmed what, and who was told of it.

Belongs here: what PostgreSQL makes of `synchronous_standby_names`, the numbers of the `sync` key's
versions, and what must be true of it.  Must not: use the engine's arithmetic.

Client commits are WAL, so "acknowledged" is a beginning of a WAL.  PostgreSQL tells a client as
soon as it may: a later answer would only ask for less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine import quorum
from proof.search.model import (
    NAMES,
    NOBODY,
    Node,
    Op,
    Pg,
    Setting,
    Shared,
    Sync,
    SyncKey,
    View,
    Wal,
    World,
    is_beginning,
    lsn,
)

# What refers to a version of the key that is not there any more, and never comes back.
OUTDATED = -1
_REFERRING = frozenset({"sync_asked", "raced_on"})
_PLACEHOLDER = -1  # in the place of a member: a name that nobody has


# --- the setting as text --------------------------------------------------------------------------


def text_of(names: Setting) -> str:
    """The setting as PostgreSQL has it."""
    told = (quorum.PLACEHOLDER if k == _PLACEHOLDER else NAMES[k] for k in names[1])
    return quorum.text_of(quorum.Names(names[0], frozenset(told)))


def read(text: str) -> Setting:
    """The setting that this text means."""
    names = quorum.names_of(text)
    known = {name: k for k, name in enumerate(NAMES)}
    return names.needed, tuple(sorted(known.get(name, _PLACEHOLDER) for name in names.members))


# --- one server -----------------------------------------------------------------------------------


def first_key(world: World) -> SyncKey | None:
    """n1 leads; one other, or with a quorum every other, is synchronous and has everything."""
    if not world.synchronous:
        return None
    if world.policy.synchronous_mode == "quorum":
        return SyncKey(0, tuple(range(1, world.nodes)), world.nodes - 2)
    return SyncKey(0, (1,), 0)


def first(world: World, n: int) -> Sync:
    """What that key and its names make of the node."""
    key = first_key(world)
    assert key is not None
    leads = n == 0
    names = (1, key.standbys) if leads else NOBODY
    rows = tuple(10 if leads and k else None for k in range(world.nodes))
    return Sync(names, names, (), None, rows, ((0, 10),) if leads else ())


def begun(node: Node) -> Node:
    """A server starts with what is written, and nobody streams from it yet."""
    sync = node.sync
    if sync is None:
        return node
    alone = (None,) * len(sync.rows)
    return node._replace(sync=sync._replace(force=sync.written or NOBODY, obeyed=(), rows=alone))


def ended(node: Node) -> Node:
    """The server is gone; it told its clients what it told them."""
    sync = node.sync
    if sync is None:
        return node
    alone = (None,) * len(sync.rows)
    return node._replace(sync=sync._replace(force=NOBODY, obeyed=(), rows=alone))


def settled(node: Node) -> Node:
    """A primary acknowledges whatever any process of it may acknowledge."""
    sync = node.sync
    if sync is None or node.pg is not Pg.PRIMARY:
        return node
    told = beginning(node.wal, max(_confirmed(node, sync, x) for x in (sync.force, *sync.obeyed)))
    if told == sync.acknowledged or not is_beginning(sync.acknowledged, told):
        return node
    return node._replace(sync=sync._replace(acknowledged=told))


def _confirmed(node: Node, sync: Sync, names: Setting) -> int:
    """Up to where commits are acknowledged under these names."""
    needed, members = names
    if needed == 0:
        return lsn(node.wal)
    have = sorted((sync.rows[k] or 0 for k in members if k >= 0), reverse=True)
    return have[needed - 1] if len(have) >= needed else 0


def beginning(wal: Wal, position: int) -> Wal:
    """The part of a WAL up to a position."""
    out, total = [], 0
    for epoch, records in wal:
        part = min(records, position - total)
        if part > 0:
            out.append((epoch, part))
        total += records
    return tuple(out)


def setting_moves(node: Node) -> Iterator[tuple[str, Node]]:
    """Names that were decided on are written, and then loaded; each takes as long as it likes."""
    sync = node.sync
    if sync is None or sync.setting is None or node.frozen:
        return
    phase, names = sync.setting
    if phase == "write":
        written = sync._replace(written=names, setting=("load", names))
        yield (
            f"synchronous_standby_names is written: '{text_of(names or NOBODY)}'",
            node._replace(sync=written),
        )
        return
    loaded = sync._replace(setting=None)
    if node.pg is not Pg.DOWN and (sync.written or NOBODY) != sync.force:
        obeyed = tuple(sorted({*sync.obeyed, sync.force}))
        loaded = loaded._replace(force=sync.written or NOBODY, obeyed=obeyed)
    yield "PostgreSQL reads its configuration", node._replace(sync=loaded)


def older(sync: Sync | None) -> Sync | None:
    """A tick later every process has read the names."""
    return sync._replace(obeyed=()) if sync is not None and sync.obeyed else sync


# --- the versions of the key ----------------------------------------------------------------------


def written(n: int, op: Op, view: View) -> View | None:
    """What the store holds after that write; None when it meant another version."""
    _, standbys, needed, revision = op
    now = 0 if view.sync is None else view.sync.revision
    if revision != now:
        return None
    return view._replace(sync=SyncKey(n, standbys, needed, now + 1))


def renumbered_view(view: View) -> View:
    """The version that is there is number one."""
    return view if view.sync is None else view._replace(sync=view.sync._replace(revision=1))


def renumbered_node(node: Node, revision: int) -> Node:
    """The node, where `revision` is the version that is there."""
    flight = node.flight
    return node._replace(
        memory=_renumbered_memory(node.memory, revision),
        kept=_renumbered_memory(node.kept, revision),
        pending=tuple(_renumbered_op(op, revision) for op in node.pending),
        late=None if node.late is None else _renumbered_op(node.late, revision),
        flight=None if flight is None else flight._replace(op=_renumbered_op(flight.op, revision)),
    )


def _renumbered_memory(
    memory: tuple[tuple[str, Any], ...], now: int
) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, _renumbered(value, now) if name in _REFERRING else value) for name, value in memory
    )


def _renumbered(revision: Any, now: int) -> Any:
    if revision is None:
        return None
    return 1 if revision == now else OUTDATED


def _renumbered_op(op: Op, now: int) -> Op:
    if op[0] == "sync":
        return (*op[:3], _renumbered(op[3], now))
    if op[0] == "remember":
        return ("remember", _renumbered_memory(op[1], now))
    return op


# --- what must hold -------------------------------------------------------------------------------


def lacking(key: SyncKey, quorum_mode: bool, wals: Sequence[Wal], told: Sequence[Wal]) -> list[str]:
    """Who may lead by the key, and lacks what a client was told; who answers is anybody's guess."""
    return [
        f"{NAMES[k]} may lead by `sync` and lacks what clients were told"
        for k, wal in enumerate(wals)
        if not all(is_beginning(x, wal) for x in told) and _may_win(key, quorum_mode, k, wals)
    ]


def _may_win(key: SyncKey, quorum_mode: bool, k: int, wals: Sequence[Wal]) -> bool:
    named = {key.leader, *key.standbys}
    if k == key.leader:
        return True
    if k not in named and not quorum_mode:
        return False
    at = [(len(wal), lsn(wal)) for wal in wals]
    votes = sum(at[other] <= at[k] for other in named - {k})
    return votes - (k not in named) >= key.quorum


def renamed(node: Node, place: dict[Any, Any], order: tuple[int, ...]) -> Sync | None:
    """The node's part of it, with the nodes in another order."""
    sync = node.sync
    if sync is None:
        return None
    setting = sync.setting
    return sync._replace(
        written=None if sync.written is None else renamed_names(sync.written, place),
        force=renamed_names(sync.force, place),
        obeyed=tuple(sorted(renamed_names(x, place) for x in sync.obeyed)),
        setting=None if setting is None else (setting[0], _maybe(setting[1], place)),
        rows=tuple(sync.rows[n] for n in order),
    )


def _maybe(names: Setting | None, place: dict[Any, Any]) -> Setting | None:
    return None if names is None else renamed_names(names, place)


def renamed_names(names: Setting, place: dict[Any, Any]) -> Setting:
    """The setting, with the nodes in other places."""
    return names[0], tuple(sorted(place.get(k, k) for k in names[1]))


def renamed_memory(
    memory: tuple[tuple[str, Any], ...], place: dict[Any, Any]
) -> tuple[tuple[str, Any], ...]:
    """What is remembered, with the nodes in other places."""
    return tuple(
        (name, renamed_names(value, place) if name == "sync_names" and value else value)
        for name, value in memory
    )


def renamed_key(key: SyncKey | None, place: dict[Any, Any]) -> SyncKey | None:
    """The key, with the nodes in other places."""
    if key is None:
        return None
    standbys = tuple(sorted(place[k] for k in key.standbys))
    return key._replace(leader=place[key.leader], standbys=standbys)


def renumbered_shared(shared: Shared) -> Shared:
    """The store, where the version of the key that is there is number one."""
    return shared._replace(view=renumbered_view(shared.view))
