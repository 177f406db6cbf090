"""The same node and the same store, with the nodes in another order."""

from __future__ import annotations

from typing import Any

from proof.search import lost, synchronous, word
from proof.search.model import Node, Op, Shared, View, Word

# Operations that name a node, and where.
_NAMING = {"ask leader": 1, "rewind": 1, "clone": 1, "follow": 1, "start": 2}


def renamed_shared(shared: Shared, order: tuple[int, ...]) -> Shared:
    """The store, with node `order[k]` at place `k`."""
    return shared._replace(view=renamed_view(shared.view, order))


def renamed_view(view: View, order: tuple[int, ...]) -> View:
    """What the store holds, with node `order[k]` at place `k`."""
    place = _places(order)
    asked = view.failover
    return view._replace(
        leader=place[view.leader],
        members=tuple(view.members[n] for n in order),
        failover=None if asked is None else (place[asked[0]], place[asked[1]]),
        sync=synchronous.renamed_key(view.sync, place),
    )


def renamed_node(node: Node, order: tuple[int, ...]) -> Node:
    """A node that refers to the others by their new places."""
    place = _places(order)
    job, told, old = node.job, node.told, node.old_view
    if node.sync is not None:
        node = _renamed_names(node, place, order)
    if node.word is not None:
        node = _renamed_word(node, node.word, order)
    if node.seen is not None or node.gone:
        node = lost.renamed(node, order)
    return node._replace(
        pending=tuple(_op(op, place) for op in node.pending) if node.pending else (),
        job=None if job is None else (*job[:3], _op((job[0], *job[3]), place)[1:]),
        peers=tuple(node.peers[n] for n in order),
        told=None if told is None else told._replace(leader=place[told.leader]),
        old_view=None if old is None else (renamed_view(old[0], order), old[1]),
        upstream=place[node.upstream],
        memory=_renamed_upstream(node.memory, place),
        kept=_renamed_upstream(node.kept, place),
    )


def _renamed_upstream(
    memory: tuple[tuple[str, Any], ...], place: dict[Any, Any]
) -> tuple[tuple[str, Any], ...]:
    if not any(name == "former_upstream" for name, _ in memory):
        return memory
    return tuple((k, place[v] if k == "former_upstream" and v != "" else v) for k, v in memory)


def _renamed_word(node: Node, said: Word, order: tuple[int, ...]) -> Node:
    return node._replace(
        word=word.renamed(said, order),
        memory=word.renamed_memory(node.memory, _places(order)),
    )


def _renamed_names(node: Node, place: dict[Any, Any], order: tuple[int, ...]) -> Node:
    flight = node.flight
    return node._replace(
        sync=synchronous.renamed(node, place, order),
        memory=synchronous.renamed_memory(node.memory, place),
        kept=synchronous.renamed_memory(node.kept, place),
        late=None if node.late is None else _op(node.late, place),
        flight=None if flight is None else flight._replace(op=_op(flight.op, place)),
    )


def _places(order: tuple[int, ...]) -> dict[Any, Any]:
    return {None: None} | {n: k for k, n in enumerate(order)}


def _op(op: Op, place: dict[Any, Any]) -> Op:
    if op[0] in {"ask", "ask failsafe"}:
        return (op[0], tuple(sorted(place[n] for n in op[1])))
    if op[0] == "sync":
        return ("sync", tuple(sorted(place[n] for n in op[1])), *op[2:])
    if op[0] == "names":
        return op if op[1] is None else ("names", synchronous.renamed_names(op[1], place))
    if op[0] == "remember":
        changes = word.renamed_memory(synchronous.renamed_memory(op[1], place), place)
        return ("remember", _renamed_upstream(changes, place))
    at = _NAMING.get(op[0])
    if at is None or len(op) <= at:
        return op
    return (*op[:at], place[op[at]], *op[at + 1 :])
