"""What can happen next to one node besides its own decisions: work, faults, time.

Belongs here: each move as a pure function of the node and the store.  What needs a look at another
node is in `together.py`.  A move that names a fault happens while the world's budget for it lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from proof.search import effects, lost, moments, synchronous, word
from proof.search.look import UNTIL
from proof.search.model import Budget, Node, Op, Peer, Pg, Shared, Told, View, World, extended


class Move(NamedTuple):
    """One possible next step: what happens, and the node and the store after it."""

    text: str
    node: Node
    shared: Shared
    fault: str = ""


# --- PostgreSQL and the work on it ----------------------------------------------------------------


def work(world: World, node: Node, shared: Shared) -> Iterator[Move]:
    """What goes on by itself: the server, and the job."""
    for text, changed, then in server_moves(world, node, shared):
        yield Move(text, changed, then)
    if node.job is not None and not node.frozen:
        for text, changed, then in _job(node, shared):
            yield Move(text, changed, then)
    for text, changed in synchronous.setting_moves(node):
        yield Move(text, changed, shared)


def alone(world: World, node: Node) -> Iterator[tuple[str, Node, str]]:
    """What happens to the node without a look at the store; the last part names the fault."""
    for text, changed in _fence(world, node):
        yield text, changed, ""
    for text, changed in _repairs(node):
        yield text, changed, ""
    for kind, text, changed in _breakages(node):
        if kind in world.faults:
            yield text, changed, kind


def server_moves(world: World, node: Node, shared: Shared) -> Iterator[tuple[str, Node, Shared]]:
    """The server's own next steps."""
    match node.pg:
        case Pg.STARTING if node.halting:
            yield "PostgreSQL is down", effects.down(node, "in production"), shared
        case Pg.STARTING:
            ready = node._replace(pg=Pg.PRIMARY, checkpointed=True)
            yield "PostgreSQL accepts writes", ready, shared
        case Pg.PROMOTING:
            if shared.epochs < world.promotions:
                yield "PostgreSQL is promoted", *_promoted(node, shared)
            if node.halting:
                yield "PostgreSQL is down", effects.down(node, "in archive recovery"), shared
        case Pg.PRIMARY:
            if shared.records:
                less = shared._replace(records=shared.records - 1)
                yield "a client commits", node._replace(wal=extended(node.wal)), less
            if node.halting:
                closing, then = effects.shutdown_record(node, shared)
                closing = synchronous.ended(closing)._replace(pg=Pg.CLOSING)
                yield "PostgreSQL shuts down", closing, then
        case Pg.CLOSING:
            yield "PostgreSQL is down", effects.down(node, "shut down"), shared
        case Pg.STANDBY if node.halting:
            yield "PostgreSQL is down", effects.down(node, "shut down in recovery"), shared


def _promoted(node: Node, shared: Shared) -> tuple[Node, Shared]:
    epoch = shared.epochs + 1
    node = node._replace(
        pg=Pg.PRIMARY,
        signal=False,
        checkpointed=False,
        upstream=None,
        wal=(*node.wal, (epoch, 1)),
    )
    return node, shared._replace(epochs=epoch)


def ended(node: Node, well: bool) -> Node:
    """The job has ended."""
    assert node.job is not None
    return node._replace(job=None, last=(node.job[0], well, False))


def _job(node: Node, shared: Shared) -> Iterator[tuple[str, Node, Shared]]:
    assert node.job is not None
    kind, detail, begun, more = node.job
    match kind:
        case "start" if not begun:
            yield (*_spawned(node, more), shared)
        case "start":
            if node.pg is Pg.PRIMARY:
                yield "the start has ended", ended(node, True), shared
            elif node.pg is Pg.DOWN:
                yield "the start has failed", ended(node, False), shared
        case "stop" if detail == "immediate":
            yield "the immediate stop has ended", ended(effects.crashed(node), True), shared
        case "stop":
            if node.pg is Pg.DOWN:
                yield "the stop has ended", ended(node, True), shared
        case "promote":
            yield from _promotion(node, shared, begun)
        case "crash recovery":
            if node.pg is Pg.DOWN:
                recovered, then = effects.shutdown_record(node, shared)
                recovered = recovered._replace(control="shut down")
                yield "crash recovery has ended", ended(recovered, True), then
        case "remove data directory":
            empty = node._replace(control="empty", wal=(), signal=False, half=False, upstream=None)
            yield "the data directory is empty", ended(empty, True), shared


def _spawned(node: Node, more: tuple[Any, ...]) -> tuple[str, Node]:
    role, upstream, left = more
    if node.pg is not Pg.DOWN:
        return "PostgreSQL runs already", ended(node, True)
    node = synchronous.begun(node)
    assert node.job is not None
    if left is not None and left < 0:
        return "it is too late to start", ended(node, False)
    if role == "primary":
        job = (node.job[0], node.job[1], True, ())
        primary = node._replace(pg=Pg.STARTING, signal=False, control="", upstream=None)
        return "the postmaster starts", primary._replace(job=job)
    standby = node._replace(pg=Pg.STANDBY, signal=True, control="", upstream=upstream)
    return "PostgreSQL starts as a standby", ended(standby, True)


def _promotion(node: Node, shared: Shared, begun: bool) -> Iterator[tuple[str, Node, Shared]]:
    assert node.job is not None
    if node.pg is Pg.DOWN:
        yield "the promotion has failed", ended(node, False), shared
    elif node.pg is Pg.PRIMARY:
        yield "the promotion has ended", ended(node, True), shared
    elif not begun and node.pg is Pg.STANDBY:
        job = (node.job[0], node.job[1], True, node.job[3])
        yield "the promotion is signalled", node._replace(job=job, pg=Pg.PROMOTING), shared


def _fence(world: World, node: Node) -> Iterator[tuple[str, Node]]:
    """The fence acts somewhere between this tick and the next, or finds nothing to guard."""
    if node.fence is None:
        return
    _, ends_in = node.fence
    if ends_in - 0.7 * world.margin >= world.tick:
        return
    if node.pg is not Pg.DOWN:
        yield "the fence ends PostgreSQL", effects.fired(node)
    else:
        yield "the fence finds nothing to end", _too_late(node)


def _too_late(node: Node) -> Node:
    """The fence acts later than the last moment for a start under the same lease."""
    job = node.job
    if job is not None and job[0] == "start" and job[3] and job[3][2] == 0:
        job = (*job[:3], (*job[3][:2], moments.TOO_LATE))
    pending = tuple(
        (*op[:3], moments.TOO_LATE) if op[0] == "start" and op[3] == 0 else op
        for op in node.pending
    )
    return node._replace(fence=None, job=job, pending=pending)


# --- requests that take long ----------------------------------------------------------------------


def requests(world: World, n: int, node: Node, shared: Shared) -> Iterator[Move]:
    """A slow request is handled, answered, given up; a given up one is handled after all."""
    flight = node.flight
    if flight is not None:
        if flight.answer is None:
            answer, then = effects.handled(world, n, flight.op, shared)
            waiting = effects.overtaken(node, flight.op, answer)
            waiting = waiting._replace(flight=flight._replace(answer=answer))
            yield Move(f"the store handles {flight.op[0]}", waiting, then)
        elif not node.frozen:
            text = f"the answer to {flight.op[0]} arrives"
            yield Move(text, effects.late_answer(node), shared)
        gone = node._replace(flight=None)
        yield Move(f"{flight.op[0]} is given up", gone, shared)
        if flight.answer is None and node.late is None:
            late = gone._replace(late=flight.op)
            yield Move(f"{flight.op[0]} is given up, and under way", late, shared, "late")
    if node.late is not None:
        _, then = effects.handled(world, n, node.late, shared)
        yield Move(f"the store handles the late {node.late[0]}", node._replace(late=None), then)
        yield Move(f"the late {node.late[0]} is lost", node._replace(late=None), shared)


# --- faults ---------------------------------------------------------------------------------------


def pay(world: World, budget: Budget, kind: str) -> Budget | None:
    """What is left after one more fault of that kind; None when it is one too many."""
    if kind not in world.faults or budget.together == 0:
        return None
    at = list(world.faults).index(kind)
    if budget.kinds[at] == 0:
        return None
    left = tuple(x - 1 if k == at else x for k, x in enumerate(budget.kinds))
    return Budget(left, budget.together - 1)


def stands_still(world: World, node: Node, shared: Shared) -> Iterator[Move]:
    """The node's copy of the store's keys is not brought up to date any more."""
    if "stale" in world.faults and node.old_view is None and not node.silent and node.up:
        still = node._replace(old_view=(shared.view, 0.0))
        yield Move("its view stands still", still, shared, "stale")


def _breakages(node: Node) -> Iterator[tuple[str, str, Node]]:
    if node.pg is not Pg.DOWN:
        yield "postmaster", "the postmaster is killed", effects.crashed(node)
    if node.up:
        yield "daemon", "the daemon is killed", effects.dead(node)
        if not node.silent:
            yield (
                "silent",
                "the store answers it no more",
                node._replace(silent=True, old_view=None),
            )
        if not node.frozen:
            yield "freeze", "the daemon is frozen", node._replace(frozen=True)
        if not node.stopping:
            yield "sigterm", "the daemon is told to end", node._replace(stopping=True)
        if node.pending and _can_be_sent(node.pending[0]) and _free(node):
            text = f"{node.pending[0][0]} is sent and takes long"
            yield "slow", text, effects.slow_request(node)
    if node.up or node.pg is not Pg.DOWN or node.fence is not None:
        gone = effects.crashed(effects.dead(node))._replace(fence=None, silent=False)
        yield "host", "the host crashes", gone
    if node.pg is Pg.STANDBY and not node.cut:
        yield "cut", "its connection to other servers is cut", node._replace(cut=True)
    if not node.cut:
        yield "apart", "it reaches no other node", node._replace(cut=True)
    if node.job is not None and not node.frozen and _may_fail(node):
        yield "job", f"{node.job[0]} fails", ended(node, False)


def _can_be_sent(op: Op) -> bool:
    return op[0] in effects.STORE and not moments.is_too_late(op)


def _free(node: Node) -> bool:
    return node.flight is None and not node.silent and not node.frozen


def _may_fail(node: Node) -> bool:
    """A job that can end badly while its effect goes on, or never began."""
    assert node.job is not None
    kind, detail, begun, _ = node.job
    return not (kind == "start" and begun) and detail != "immediate"


def _repairs(node: Node) -> Iterator[tuple[str, Node]]:
    if not node.up:
        yield "the daemon starts", node._replace(up=True)
    if node.frozen:
        yield "the daemon goes on", node._replace(frozen=False)
    if node.silent:
        yield "the store answers it again", node._replace(silent=False)
    if node.old_view is not None:
        yield "its view moves on", node._replace(old_view=None)
    if node.cut:
        yield "it reaches other servers again", node._replace(cut=False)


# --- the store and its operators ------------------------------------------------------------------


def of_the_store(world: World, shared: Shared) -> Iterator[tuple[str, Shared, str]]:
    """The lease ends, keys are lost, operators write one; the last part names the fault."""
    view = shared.view
    if view.leader is not None and shared.key_left <= 0 and not shared.silent:
        yield "the leader key ends", shared._replace(view=view._replace(leader=None)), ""
    if view.pause:
        yield "the operator resumes", shared._replace(view=view._replace(pause=False)), ""
    for kind, text, then in _operators(world, view):
        if kind in world.faults:
            yield text, shared._replace(view=then), kind
    if shared.silent:
        yield "it answers again", shared._replace(silent=False), ""
    else:
        yield from _falls_silent(world, shared)
    if world.loses_keys and not shared.emptied:
        yield "all keys are lost", lost.emptied(shared), "keys"


def _falls_silent(world: World, shared: Shared) -> Iterator[tuple[str, Shared, str]]:
    if "outage" in world.faults:
        yield "it answers nobody", shared._replace(silent=True), "outage"


def _operators(world: World, view: View) -> Iterator[tuple[str, str, View]]:
    if not view.pause:
        yield "pause", "the operator pauses the cluster", view._replace(pause=True)
    if view.failover is None and view.leader is not None:
        leader = view.leader
        wanted = [None, *(k for k in range(world.nodes) if k != leader)]
        for candidate in wanted:
            text = f"the operator asks for a switchover to {candidate}"
            yield "switchover", text, view._replace(failover=(leader, candidate))


# --- time -----------------------------------------------------------------------------------------


def older(world: World, node: Node) -> Node | None:
    """The node one tick later; None while something must happen before that."""
    tick = world.tick
    flight, fence = node.flight, node.fence
    if flight is not None:
        late = flight.age + tick > world.policy.retry_timeout_seconds
        if late and not node.frozen:
            return None
        flight = flight._replace(age=min(flight.age + tick, world.policy.ttl_seconds))
    if fence is not None:
        ends_in = fence[1] - tick
        if ends_in <= 0 and node.pg is not Pg.DOWN:
            return None
        fence = None if ends_in <= 0 else (fence[0], ends_in)
    sent = node.sent
    if sent is not None:
        longest = world.policy.ttl_seconds + (0.0 if node.word is None else tick)
        sent = min(sent + tick, longest)
    if not world.fence and node.pg is not Pg.DOWN and _stops_at_once(node):
        return None
    return node._replace(
        flight=flight,
        fence=fence,
        sent=sent,
        job=_older_job(world, node.job),
        memory=_older_memory(world, node.memory),
        pending=tuple(_older_op(world, op) for op in node.pending) if node.pending else (),
        peers=tuple(_older_peer(world, peer) for peer in node.peers),
        told=_older_told(world, node.told),
        old_view=_older_view(world, node.old_view),
        sync=synchronous.older(node.sync),
        gone=lost.older(world, node) if node.gone else (),
        word=word.older(world, node),
    )


def _stops_at_once(node: Node) -> bool:
    """Where no fence stands behind it, an immediate stop is taken to end within a tick."""
    return node.job is not None and node.job[:2] == ("stop", "immediate")


def _older_memory(
    world: World, memory: tuple[tuple[str, object], ...]
) -> tuple[tuple[str, object], ...]:
    out = []
    for name, value in memory:
        if not isinstance(value, float):
            out.append((name, value))
        elif name in UNTIL:
            if value - world.tick > 0:
                out.append((name, value - world.tick))
        else:
            out.append((name, max(value - world.tick, -world.oldest)))
    return tuple(out)


def _older_job(world: World, job: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if job is None or job[0] != "start" or not job[3]:
        return job
    return (*job[:3], moments.older_op(world, ("start", *job[3]))[1:])


def _older_op(world: World, op: Op) -> Op:
    if moments.begin_before(op) is not None:
        return moments.older_op(world, op)
    if op[0] == "arm" and op[2] is not None:
        assert isinstance(op[2], float)
        return (*op[:2], max(op[2] - world.tick, 0.0))
    if op[0] != "remember":
        return op
    assert isinstance(op[1], tuple)
    aged = []
    for name, value in op[1]:
        timed = name.endswith("_since") or (isinstance(value, float) and value != 0.0)
        if timed and value is not None:
            aged.append((name, max(value - world.tick, -world.oldest)))
        else:
            aged.append((name, value))
    return ("remember", tuple(aged))


def _older_peer(world: World, peer: Peer | None) -> Peer | None:
    return None if peer is None else peer._replace(age=min(peer.age + world.tick, world.oldest))


def _older_told(world: World, told: Told | None) -> Told | None:
    return None if told is None else told._replace(age=min(told.age + world.tick, world.oldest))


def _older_view(world: World, old: tuple[View, float] | None) -> tuple[View, float] | None:
    return None if old is None else (old[0], min(old[1] + world.tick, world.oldest))


def store_later(world: World, shared: Shared) -> Shared:
    """The store one tick later."""
    return shared._replace(key_left=max(0.0, shared.key_left - world.tick))
