"""A store that loses all its keys, and what daemons make of it.

Belongs here: the empty store, and whose keys a daemon has seen to be gone.  Does not belong here:
what follows from it, which is the engine's.  Of a member whose key is gone rules ask for its role,
whether it ran, and whether its key went a ttl ago at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from engine import vanished
from engine.state import Cluster, Member, Vanished
from proof.search.model import NAMES, Gone, Node, Seen, Shared, View, World

Document: TypeAlias = tuple[tuple[str, Any], ...] | None


def emptied(shared: Shared) -> Shared:
    """The store when it has lost everything."""
    nobody = (None,) * len(shared.view.members)
    view = View(None, nobody, None, None, None, False, initialized=False, configured=False)
    return shared._replace(view=view, key_left=0.0, emptied=True)


def seen_in(members: Sequence[Document]) -> tuple[Seen | None, ...]:
    """Of each member key, as far as it counts once it is gone."""
    said = (None if document is None else dict(document) for document in members)
    return tuple(None if x is None else Seen(x["role"], x["state"] == "running") for x in said)


def noticed(n: int, node: Node, view: View, now: float) -> Node:
    """The node whose daemon has compared what it sees with what it saw before."""
    seen = seen_in(view.members)
    if seen == node.seen:
        return node
    if node.seen is None:
        return node._replace(seen=seen)
    before, after = (Cluster(members=_members(x)) for x in (node.seen, seen))
    known = records(node, now)
    gone = vanished.after(known, before, after, NAMES[n], now)
    return node._replace(seen=seen, gone=tuple(_gone(x, now) for x in gone))


def _members(seen: Sequence[Seen | None]) -> tuple[Member, ...]:
    return tuple(member(n, one) for n, one in enumerate(seen) if one is not None)


def member(n: int, seen: Seen) -> Member:
    """The member key that said so."""
    state = "running" if seen.runs else "stopped"
    return Member(NAMES[n], api_url=f"http://{NAMES[n]}/patroni", role=seen.role, state=state)


def _gone(x: Vanished, now: float) -> Gone:
    seen = Seen(x.member.role, x.member.state == "running")
    return Gone(NAMES.index(x.member.name), seen, now - x.at, x.with_ours)


def records(node: Node, now: float) -> tuple[Vanished, ...]:
    """The same as the engine's records."""
    return tuple(Vanished(member(x.n, x.seen), now - x.age, x.with_ours) for x in node.gone)


def older(world: World, node: Node) -> tuple[Gone, ...]:
    """A tick later; beyond a ttl it only counts who was lost together with this node."""
    longest = world.policy.ttl_seconds + world.tick
    aged = (x._replace(age=min(x.age + world.tick, longest)) for x in node.gone)
    return tuple(x for x in aged if x.with_ours or x.age < longest)


def renamed(node: Node, order: Sequence[int]) -> Node:
    """The node, with the nodes in another order."""
    place = {n: k for k, n in enumerate(order)}
    return node._replace(
        seen=None if node.seen is None else tuple(node.seen[n] for n in order),
        gone=tuple(sorted(x._replace(n=place[x.n]) for x in node.gone)),
    )
