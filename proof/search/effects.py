"""A decision as small operations, and what each of them does to the node and the store.

Belongs here: what the executors of `shell/effects/` do, in this small world.  Does not belong
here: whether it should be done.  Operations of one decision run in order up to the first that was
not done; between any two of them the world may change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine import actions as a
from engine.actions import Action
from engine.decide import Decision
from engine.document import role_text, state_text
from engine.memory import after_restart
from engine.state import Memory, Snapshot
from engine.views import position, server
from proof.search import moments, synchronous, word
from proof.search.look import NOW, UNKEPT, UNTIL, index, number_at, packed
from proof.search.model import NAMES, Flight, Node, Op, Pg, Shared, Word, World, extended

_UNSEEN = frozenset({"remember", "checkpoint", "follow", "names"})
JOBS = frozenset({"start", "promote", "crash recovery", "rewind", "clone", "remove data directory"})
_HEARTBEATS = frozenset({"renew", "publish", "status", "history"})
STORE = frozenset(
    {"renew", "acquire", "release", "publish", "status", "history", "clear", "withdraw", "sync"}
    | {"initialize", "config"}
)


def _memory_with(name: str) -> Memory:
    values: dict[str, Any] = {name: "kept"}
    return Memory(**values)


# The third and later failures in a row wait as long as the second for the next try.
MOST_FAILURES = 1
LASTING = frozenset(
    name
    for name in Memory.__dataclass_fields__
    if getattr(after_restart(_memory_with(name)), name) == "kept"
)


class NotInThisWorldError(Exception):
    """The engine asked for something that the small world has no meaning for."""


# --- a decision as operations ---------------------------------------------------------------------


def _remember(x: Any) -> Op | None:
    kept: list[tuple[str, Any]] = []
    for name, value in sorted(x.changes.items()):
        if name in {"job_seen", "lease_void", "failsafe_lease"}:  # the last job, the present lease
            kept.append((name, True))
        elif isinstance(value, Mapping):
            kept.append((name, tuple(sorted(NAMES.index(member) for member in value))))
        elif name == "consented_to":
            kept.append((name, NAMES.index(value)))
        elif name == "former_upstream":
            kept.append((name, number_at(value) if value else ""))
        elif name == "sync_names":
            kept.append((name, None if value is None else synchronous.read(value)))
        elif name not in UNKEPT:
            timed = isinstance(value, float) and value != 0.0
            kept.append((name, float(round(value - NOW)) if timed else value))
    return ("remember", tuple(kept)) if kept else None


def _upstream(x: a.Upstream | None) -> int | None:
    return None if x is None else number_at(f"{x.host}:{x.port}")


def _ask_leader(x: a.AskLeader) -> Op:
    return ("ask leader", _upstream(x.leader), x.ours and x.ours[0], x.leader.name in NAMES)


def _sync(x: a.WriteSync) -> Op:
    standbys = tuple(sorted(NAMES.index(name) for name in x.standbys))
    return ("sync", standbys, x.quorum, x.revision)


def _left(moment: float | None) -> float | None:
    return None if moment is None else float(round(moment - NOW))


_OPS: dict[type, Callable[[Any], Op | None]] = {
    a.Hold: lambda _: None,
    a.Report: lambda _: None,
    a.RunCallback: lambda _: None,
    a.Remember: _remember,
    a.RenewLock: lambda x: ("renew", x.create, _left(x.begin_before)),
    a.AcquireLock: lambda x: ("acquire", x.initialize is not None, _left(x.begin_before)),
    a.ReleaseLock: lambda x: ("release", x.final_lsn),
    a.PublishMember: lambda x: ("publish", packed(x.document)),
    a.WithdrawMember: lambda _: ("withdraw",),
    a.WriteStatus: lambda x: ("status", x.optime),
    a.WriteHistory: lambda x: ("history", tuple(line.lsn for line in x.lines)),
    a.ClearFailover: lambda _: ("clear",),
    a.CreateInitialize: lambda x: ("initialize", x.leader_revision is not None),
    a.WriteConfig: lambda _: ("config",),
    a.WriteSync: _sync,
    a.SetSyncNames: lambda x: ("names", None if x.text is None else synchronous.read(x.text)),
    a.ArmFence: lambda x: ("arm", "process" if x.pid else "directory", _left(x.asked_ends_at)),
    a.DisarmFence: lambda _: ("disarm",),
    a.AskPeers: lambda x: ("ask", tuple(index(name) for name in x.members)),
    a.AskLeader: _ask_leader,
    a.StartPostgres: lambda x: ("start", x.role, _upstream(x.upstream), _left(x.begin_before)),
    a.StopPostgres: lambda x: ("stop", x.mode),
    a.Promote: lambda _: ("promote",),
    a.RecoverFromCrash: lambda _: ("crash recovery",),
    a.Rewind: lambda x: ("rewind", _upstream(x.source)),
    a.RemoveDataDirectory: lambda _: ("remove data directory",),
    a.Clone: lambda x: ("clone", _upstream(x.source)),
    a.Follow: lambda x: ("follow", _upstream(x.upstream)),
    a.RunCheckpoint: lambda _: ("checkpoint",),
    a.AskFailsafe: lambda x: ("ask failsafe", tuple(index(name) for name in sorted(x.members))),
    a.Answer: lambda x: ("answer", x.status),
    a.Exit: lambda x: ("exit", x.code),
}


def _operation(action: Action) -> Op | None:
    make = _OPS.get(type(action))
    if make is None:
        raise NotInThisWorldError(f"{action}")
    return make(action)


def operations(decision: Decision) -> tuple[Op, ...]:
    """The decision's effects in order; what only says something is left out."""
    return tuple(op for op in map(_operation, decision.actions) if op is not None)


def shown(s: Snapshot) -> tuple[str, str, int | None, int | None]:
    """What REST shows after this snapshot: state, role, position, timeline."""
    here, state = server(s), state_text(s)
    if here is None or s.postgres.postmaster is None or state != "running":
        return ("", "", None, None)
    return (state, role_text(s), position(here), here.timeline)


# --- the store ------------------------------------------------------------------------------------


def handled(world: World, n: int, op: Op, shared: Shared) -> tuple[bool, Shared]:
    """The store handles a request of node `n`: its answer, and what it holds afterwards."""
    view, ttl = shared.view, world.policy.ttl_seconds
    match op[0]:
        case "renew":
            if view.leader == n or (view.leader is None and op[1]):
                return True, shared._replace(view=view._replace(leader=n), key_left=ttl)
            return False, shared
        case "acquire":
            if view.leader == n or (view.leader is None and (view.initialized or not op[1])):
                return True, shared._replace(view=view._replace(leader=n), key_left=ttl)
            return False, shared
        case "release":
            told = view if op[1] is None else view._replace(optime=op[1])
            if view.leader == n:
                return True, shared._replace(view=told._replace(leader=None), key_left=0.0)
            return True, shared._replace(view=told)
        case "publish" | "withdraw":
            document = op[1] if op[0] == "publish" else None
            members = tuple(document if k == n else x for k, x in enumerate(view.members))
            return True, shared._replace(view=view._replace(members=members))
        case "status":
            return True, shared._replace(view=view._replace(optime=op[1]))
        case "history":
            return True, shared._replace(view=view._replace(forks=op[1]))
        case "sync":
            then = synchronous.written(n, op, view)
            return then is not None, shared._replace(view=then or view)
        case "clear":
            return True, shared._replace(view=view._replace(failover=None))
        case "initialize":
            if view.initialized or (op[1] and view.leader != n):
                return False, shared
            return True, shared._replace(view=view._replace(initialized=True))
        case "config":
            return True, shared._replace(view=view._replace(configured=True))
    raise NotInThisWorldError(str(op))


def answered(node: Node, op: Op, answer: bool, age: float) -> Node:
    """The node learns of the store's answer to a request that it sent `age` seconds ago."""
    match op[0]:
        case "renew" | "acquire" if answer:
            return leased(node, age)
        case "renew":
            return node._replace(refused=True)
        case "publish":
            return node._replace(published=op[1])
        case "withdraw":
            return node._replace(published=None)
    return node


def overtaken(node: Node, op: Op, answer: bool) -> Node:
    """A release meant the key as it was: after a renewal the late one finds another key."""
    renewed = answer and op[0] in {"renew", "acquire"}
    if renewed and node.late is not None and node.late[0] == "release":
        return node._replace(late=None)
    return node


def sent_off(node: Node, op: Op) -> tuple[Node, Op]:
    """What the node itself does before it sends the request, and what it sends."""
    if op[0] in {"renew", "acquire"}:
        return node, op[:2]
    return (leased(node, None) if op[0] == "release" else node), op


def leased(node: Node, sent: float | None) -> Node:
    """The node with another lease, or none: what made the former one void says nothing of it."""
    memory = tuple(x for x in node.memory if x[0] not in {"lease_void", "failsafe_lease"})
    return node._replace(sent=sent, refused=False, memory=memory)


def _see_own_change(node: Node, op: Op) -> Node:
    return node if op[0] == "renew" or node.old_view is None else node._replace(old_view=None)


# --- carrying out one after another ---------------------------------------------------------------


def after(node: Node, op: Op, done: bool) -> Node:
    """Go on with what is pending, or drop it where the executor ends the list."""
    rest = node.pending[1:] if done or (op[0] in _HEARTBEATS and not node.refused) else ()
    node = node._replace(pending=rest)
    return eager(node)


def eager(node: Node) -> Node:
    """Carry out what nobody else can see, up to the next effect that somebody can.

    A job only begins here: its first effect is a step of its own, and may come any time later.
    """
    while node.pending:
        op = node.pending[0]
        if op[0] in _UNSEEN or (op[0] == "stop" and node.job is None):
            node = _unseen(node, op)
        elif op[0] in JOBS:
            begun = begin(node, op)
            rest = node.pending[1:] if begun is not None else ()
            node = (begun or node)._replace(pending=rest)
        else:
            return node
    kept = tuple(item for item in node.memory if item[0] in LASTING)
    return node if kept == node.kept else node._replace(kept=kept)


def _unseen(node: Node, op: Op) -> Node:
    node = node._replace(pending=node.pending[1:])
    match op[0]:
        case "remember":
            return _remembered(node, op)
        case "checkpoint":
            return node._replace(checkpointed=node.pg is Pg.PRIMARY or node.checkpointed)
        case "follow":
            return node._replace(upstream=op[1])
        case "names":
            return _sets_names(node, op)
    return stopping(node, op)


def _sets_names(node: Node, op: Op) -> Node:
    """Names are on their way; while they are, others are not taken."""
    if node.sync is None or node.sync.setting is not None:
        return node
    return node._replace(sync=node.sync._replace(setting=("write", op[1])))


def _remembered(node: Node, op: Op) -> Node:
    memory, last = dict(node.memory), node.last
    for name, value in op[1]:
        if name == "job_seen":
            assert last is not None
            last = (last[0], last[1], True)
        elif name == "failures" and value:
            memory[name] = min(value, MOST_FAILURES)
        elif name == "sync_names_since":
            memory[name] = value
        elif value in ((), getattr(Memory(), name)) or (name in UNTIL and value <= 0):
            memory.pop(name, None)
        else:
            memory[name] = value
    return node._replace(memory=tuple(sorted(memory.items())), last=last)


def store_outcomes(
    world: World, n: int, node: Node, shared: Shared
) -> list[tuple[str, Node, Shared]]:
    """The pending request to the store: answered at once, or not done.

    A slow or lost one is a fault, see `moves.py`.
    """
    op = node.pending[0]
    if moments.is_too_late(op):
        return [(f"{op[0]}: too late", after(node, op, False), shared)]
    if node.flight is not None:
        return [(f"{op[0]}: the store is busy", after(node, op, False), shared)]
    node, op = sent_off(node, op)
    if word.is_out(node, shared):
        return [(f"{op[0]}: the store is silent", after(node, op, False), shared)]
    answer, then = handled(world, n, op, shared)
    node = overtaken(node, op, answer)
    learned = _see_own_change(answered(node, op, answer, 0.0), op)
    said = "done" if answer else "refused"
    return [(f"{op[0]}: {said}", after(learned, op, answer), then)]


def slow_request(node: Node) -> Node:
    """The pending request is sent, and its answer does not come in time."""
    node, op = sent_off(node, node.pending[0])
    return after(node._replace(flight=Flight(op, 0.0)), op, False)


def late_answer(node: Node) -> Node:
    """The answer of a slow request arrives."""
    flight = node.flight
    assert flight is not None
    assert flight.answer is not None
    node = answered(node, flight.op, flight.answer, flight.age)._replace(flight=None)
    return _see_own_change(node, flight.op)


def local_outcomes(world: World, node: Node) -> list[tuple[str, Node]]:
    """The pending effect on the own host that needs nobody else."""
    op = node.pending[0]
    match op[0]:
        case "arm":
            return [_armed(world, node, op)]
        case "disarm":
            free = node._replace(fence=None, unguarded=node.paused and node.pg is not Pg.DOWN)
            return [("the fence is disarmed", after(free, op, True))]
        case "stop":
            return [(f"{op[1]} stop begins", after(stopping(node, op), op, True))]
        case "exit":
            return [("the daemon ends", dead(node))]
        case "ask failsafe":
            return [("the members are asked", after(word.asks(node, op), op, True))]
        case "answer":
            return [(f"it answers {op[1]}", after(word.answers(node, op), op, True))]
    raise NotInThisWorldError(str(op))


def begin(node: Node, op: Op) -> Node | None:
    """Begin a job; None while another one runs."""
    if node.job is not None:
        return None
    node = node._replace(job=(op[0], "", False, op[1:]))
    return node._replace(half=True) if op[0] == "rewind" else node


def stopping(node: Node, op: Op) -> Node:
    """A stop begins, in the place of whatever ran."""
    node = node._replace(job=("stop", op[1], True, ()))
    if op[1] == "fast" and node.pg not in {Pg.DOWN, Pg.CLOSING}:
        return node._replace(halting=True)
    return node


def _armed(world: World, node: Node, op: Op) -> tuple[str, Node]:
    ends_in = _lease_ends_in(world, node, op[2])
    if not world.fence or ends_in is None:
        return "the fence cannot be armed", after(node, op, not world.policy.fence_required)
    if op[1] == "process" and node.pg is Pg.DOWN:
        return "nothing runs that the fence could guard", after(node, op, True)
    if ends_in - 0.7 * world.margin <= 0:
        return "the fence is armed and acts at once", after(fired(node), op, True)
    return f"the fence is armed for the {op[1]}", after(
        node._replace(fence=(op[1], ends_in), unguarded=False), op, True
    )


def _lease_ends_in(world: World, node: Node, asked: float | None) -> float | None:
    if node.sent is None or node.refused or ("lease_void", True) in node.memory:
        return asked
    return max(world.policy.ttl_seconds - node.sent, word.prolonged(dict(node.memory)))


# --- ends -----------------------------------------------------------------------------------------


def crashed(node: Node) -> Node:
    """PostgreSQL ends without a shutdown."""
    if node.pg is Pg.DOWN:
        return node
    writable = node.pg in {Pg.PRIMARY, Pg.CLOSING, Pg.STARTING}
    return down(node, "in production" if writable else "in archive recovery")


def down(node: Node, control: str) -> Node:
    """PostgreSQL is gone, and so is the guard of its process."""
    guard = None if node.fence is not None and node.fence[0] == "process" else node.fence
    ended = synchronous.ended(node)
    return ended._replace(pg=Pg.DOWN, halting=False, control=control, fence=guard, unguarded=False)


def fired(node: Node) -> Node:
    """The fence has ended whatever ran."""
    return crashed(node)._replace(fence=None)


def dead(node: Node) -> Node:
    """The daemon has ended; what it did in threads of its own ended with it.

    A request that was sent may still reach the store.
    """
    flight = node.flight
    late = flight.op if flight is not None and flight.answer is None else node.late
    return node._replace(
        late=late,
        up=False,
        frozen=False,
        pending=(),
        memory=node.kept,
        sent=None,
        refused=False,
        job=None,
        last=None,
        peers=tuple(None for _ in node.peers),
        told=None,
        published=None,
        rest=("", "", None, None),
        stopping=False,
        flight=None,
        old_view=None,
        seen=None,
        gone=(),
        word=None if node.word is None else Word(0.0),
        sync=None if node.sync is None else node.sync._replace(setting=None),
    )


def shutdown_record(node: Node, shared: Shared) -> tuple[Node, Shared]:
    """A shutdown or recovery writes a record, while the world has some left."""
    if shared.records == 0:
        return node, shared
    return node._replace(wal=extended(node.wal)), shared._replace(records=shared.records - 1)
