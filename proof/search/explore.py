"""Breadth first through every state of a world, and the way back from the first violation.

Belongs here: the walk, its counts, the trace.  Does not belong here: what can happen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from proof.search import lost, synchronous
from proof.search.model import NAMES, Budget, Node, Pg, Shared, View, World
from proof.search.space import BrokenPromiseError, Space, Step

PROGRESS_SECONDS = 20.0


@dataclass(slots=True)
class Result:
    """What a walk through a world has found."""

    world: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0  # of the processor
    complete: bool = False
    violations: tuple[str, ...] = ()
    trace: tuple[str, ...] = ()
    rules: frozenset[str] = frozenset()
    stuck: int | None = None  # states from which no leader can be reached; None: not asked
    peak_mib: int = 0  # memory of the process that walked


@dataclass(slots=True)
class Walk:
    """The states seen so far, each with the one that it was first reached from."""

    space: Space
    first: int  # the state that it began with, not renamed
    came_from: dict[int, int] = field(default_factory=dict)
    transitions: int = 0
    depth: int = 0


State: TypeAlias = tuple[Budget, Shared, list[Node]]


def first_state(world: World) -> State:
    """n1 leads, its lease was just renewed, everybody else streams from it and has everything."""
    view = View(0, _documents(world), 10, (), None, False, synchronous.first_key(world))
    shared = Shared(view, world.policy.ttl_seconds, 0, world.records)
    budget = Budget(tuple(world.faults.values()), world.budget)
    return budget, shared, [_node(world, n) for n in range(world.nodes)]


def _documents(world: World) -> tuple[tuple[tuple[str, object], ...], ...]:
    return tuple(_document("primary" if n == 0 else "replica") for n in range(world.nodes))


def _document(role: str) -> tuple[tuple[str, object], ...]:
    return (("role", role), ("state", "running"), ("timeline", 1), ("version", ""))


def _node(world: World, n: int) -> Node:
    leads = n == 0
    role = "primary" if leads else "replica"
    return Node(
        up=True,
        frozen=False,
        pending=(),
        memory=(),
        kept=(),
        sent=0.0 if leads else None,
        refused=False,
        job=None,
        last=None,
        peers=(None,) * world.nodes,
        told=None,
        published=_document(role),
        rest=("running", role, 10, 1),
        paused=False,
        stopping=False,
        silent=False,
        flight=None,
        late=None,
        old_view=None,
        pg=Pg.PRIMARY if leads else Pg.STANDBY,
        halting=False,
        signal=not leads,
        control="",
        checkpointed=leads,
        upstream=None if leads else 0,
        wal=((0, 10),),
        half=False,
        unguarded=False,
        fence=("process", world.policy.ttl_seconds) if leads and world.fence else None,
        sync=synchronous.first(world, n) if world.synchronous else None,
        seen=lost.seen_in(_documents(world)) if world.loses_keys else None,
    )


def explore(
    world: World,
    most: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
    begin: State | None = None,
) -> tuple[Result, Walk]:
    """Walk until nothing is new, something is broken, or `most` states were seen."""
    space = Space(world)
    began, told = time.process_time(), time.monotonic()
    first = space.pack(*(begin or first_state(world)))
    start = space.canonical(first)
    walk = Walk(space, first, {start: start})
    result = Result(world.name)
    frontier = [start]
    came_from, following, canonical, holds = (
        walk.came_from,
        space.following,
        space.canonical,
        space.holds,
    )
    try:
        while frontier and not result.violations:
            new: list[int] = []
            for state in frontier:
                for then, _ in following(state):
                    walk.transitions += 1
                    if then in came_from:
                        continue
                    then = canonical(then)  # noqa: PLW2901 - one of its names
                    if then not in came_from:
                        came_from[then] = state
                        new.append(then)
                        if not holds(then):
                            result.violations = tuple(space.broken(then))
                            result.trace = tuple(trace(walk, then))
                            return _counted(result, walk, began), walk
                if time.monotonic() - told > PROGRESS_SECONDS:
                    told = time.monotonic()
                    tell(_progress(walk, time.process_time() - began))
                if most is not None and len(came_from) >= most:
                    return _counted(result, walk, began), walk
            frontier = new
            walk.depth += 1
    except BrokenPromiseError as broken:
        result.violations = (str(broken),)
        result.trace = tuple(trace(walk, state))
        return _counted(result, walk, began), walk
    result.complete = True
    return _counted(result, walk, began), walk


def _progress(walk: Walk, seconds: float) -> str:
    states = len(walk.came_from)
    rate = states / seconds
    return f"{walk.space.world.name}: {states:,} states, depth {walk.depth}, {rate:,.0f}/s"


def _counted(result: Result, walk: Walk, began: float) -> Result:
    result.states = len(walk.came_from)
    result.transitions = walk.transitions
    result.depth = walk.depth
    result.seconds = time.process_time() - began
    result.rules = frozenset(walk.space.rules)
    return result


# --- the way to a state ---------------------------------------------------------------------------


def path(walk: Walk, state: int) -> list[int]:
    """The states from the first one to this one."""
    states = [state]
    while walk.came_from[states[-1]] != states[-1]:
        states.append(walk.came_from[states[-1]])
    states.reverse()
    return states


def trace(walk: Walk, state: int) -> list[str]:
    """How it came to that state, one step a line, with the names of the first state."""
    lines: list[str] = []
    space = walk.space
    states = path(walk, state)
    here = walk.first
    for wanted in states[1:]:
        step = _towards(space, here, wanted)
        lines.append(f"{len(lines) + 1:3} {'!' if step.fault else ' '} {step.text}")
        here = step.state
    return lines + [f"    = {line}" for line in described(space, here)]


def _towards(space: Space, here: int, wanted: int) -> Step:
    for step in space.explained(here):
        if step.state == wanted or space.canonical(step.state) == wanted:
            return step
    raise AssertionError("a step of the walk cannot be found again")


def described(space: Space, state: int) -> list[str]:
    """A state in words, a line for the store and one for each node."""
    _, shared, nodes = space.read(state)
    owner = "nobody" if shared.view.leader is None else NAMES[shared.view.leader]
    lines = [f"store: {owner} owns the lock, the key ends in {shared.key_left:g}s"]
    for n, node in enumerate(nodes):
        lease = "no lease" if node.sent is None else f"renewed {node.sent:g}s ago"
        daemon = f"daemon up, {lease}" if node.up else "daemon dead"
        lines.append(
            f"{NAMES[n]}: {daemon}, PostgreSQL {node.pg.name.lower()}, WAL {node.wal}, "
            f"job {node.job and node.job[:2]}, fence {node.fence}, pending {node.pending}"
        )
    return lines
