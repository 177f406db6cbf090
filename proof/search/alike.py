"""Which nodes are alike: differences that no rule can see are taken away.

Belongs here: each such difference, with the reason why nobody sees it; tests/proof checks the
reasons against the engine.  States that only differ in these count, and are searched, once.
"""

from __future__ import annotations

from typing import Any

from engine.asking import ANSWER_SECONDS
from engine.synchronous import SETTLE_SECONDS
from proof.search import word
from proof.search.model import Node, Peer, Pg, Told, World

# Moments of which only the order with the peers' answers counts, while no timeout is near.
_NEEDS = ("handover_since", "lock_free_since", "primary_down_since", "standing_down_since")
_ONLY_ORDER = ("handover_since", "lock_free_since", "primary_down_since")


def alike(world: World, node: Node) -> Node:
    """The node that stands for all that are like this one."""
    memory = dict(node.memory)
    changes: dict[str, Any] = {
        "peers": tuple(_peer(peer, memory) for peer in node.peers),
        "told": _told(world, node.told),
        "last": None if node.last is not None and node.last[2] else node.last,
    }
    if memory:
        changes["memory"] = _memory(world, node.memory, changes["peers"])
        if node.word is not None:
            changes["memory"] = word.alike_memory(changes["memory"])
    if node.word is not None:
        changes["word"] = word.alike(world, node)
    if node.refused or "lease_void" in memory or _is_over(world, node, memory):
        changes |= _lease_without_use(node, changes.get("memory", node.memory))
    if all(getattr(node, name) == value for name, value in changes.items()):
        return node
    return node._replace(**changes)


def _is_over(world: World, node: Node, memory: dict[str, Any]) -> bool:
    over = node.sent is not None and node.sent >= world.policy.ttl_seconds
    return over and word.prolonged(memory) == 0


def _lease_without_use(node: Node, memory: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """A lease that is over, void, or was refused, is no lease.

    A server that is, or may become, writable is ended because of it; for any other server it is as
    if there never had been one.
    """
    job = node.job
    work = [] if job is None else [(job[0], *job[3])]
    becomes_writable = ("promoting", True) in memory or any(
        op[0] in {"arm", "promote"} or (op[0] == "start" and op[1:2] != ("standby",))
        for op in (*work, *node.pending)
    )
    if node.pg in {Pg.DOWN, Pg.STANDBY} and not becomes_writable:
        kept = tuple(item for item in memory if item[0] != "lease_void")
        return {"sent": None, "refused": False, "memory": kept}
    return {"sent": None} if node.refused else {}


def _peer(peer: Peer | None, memory: dict[str, Any]) -> Peer | None:
    """An answer counts for a while, and for a need that arose before it; else it is asked again.

    A member that does not run says no more than one that does not answer: neither is writable,
    neither may lead.
    """
    if peer is None or peer.age > ANSWER_SECONDS:
        return None
    if all(-memory.get(need, 1.0) < peer.age for need in _NEEDS):
        return None
    if peer.reachable and peer.state != "running":
        return Peer(peer.age, False)
    return peer


def _told(world: World, told: Told | None) -> Told | None:
    """What the leader said longer than a loop ago counts as not said."""
    return None if told is None or told.age > world.policy.loop_wait_seconds else told


def _memory(
    world: World, memory: tuple[tuple[str, Any], ...], peers: tuple[Peer | None, ...]
) -> tuple[tuple[str, Any], ...]:
    """A moment that no answer is older than is as good as long ago: only their order counts."""
    if any(name == "sync_names_since" for name, _ in memory):
        memory = _names_in_force(memory)
    oldest_answer = max((peer.age for peer in peers if peer is not None), default=0.0)
    return tuple(
        (name, -world.oldest)
        if name in _ONLY_ORDER and -value >= oldest_answer and not _times_out(world, name)
        else (name, value)
        for name, value in memory
    )


def _names_in_force(memory: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """Since when the names are in force counts until the position is known, or may be read."""
    known = any(name == "sync_names_lsn" for name, _ in memory)
    return tuple(
        (name, value)
        for name, value in memory
        if name != "sync_names_since" or not (known or value <= -SETTLE_SECONDS)
    )


def _times_out(world: World, name: str) -> bool:
    limit = world.policy.primary_start_timeout_seconds
    return name == "primary_down_since" and limit <= world.oldest


def said_of_itself(document: dict[str, Any]) -> dict[str, Any]:
    """A member document without what no other member decides by.

    The state counts only as running or not, and the rest only while it runs.
    """
    if document.get("state") != "running":
        return {"state": "stopped", "role": "replica"}
    return document
