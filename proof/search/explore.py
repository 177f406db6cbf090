"""Breadth first through every state of a world, and the way back from the first violation.

Belongs here: the walk, its counts, the trace.  Does not belong here: what can happen.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from proof.search import lost, synchronous, word
from proof.search.model import NAMES, Budget, Node, Pg, Shared, View, World
from proof.search.space import BrokenPromiseError, Kind, Space, Step, Verdict

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
    """The states seen so far, by number in the order of their discovery, and the ways out of them.

    Those that were walked on from are the first ones, as many as `rests` has.
    """

    space: Space
    first: int  # the state that it began with, not renamed
    states: list[int] = field(default_factory=list)
    number: dict[int, int] = field(default_factory=dict)
    before: array[int] = field(
        default_factory=lambda: array("I")
    )  # where it was first reached from
    well: bytearray = field(default_factory=bytearray)  # all that was broken is mended
    rests: bytearray = field(default_factory=bytearray)  # no daemon has anything left to do
    ways: array[int] = field(default_factory=lambda: array("I"))  # where steps without a fault lead
    ends: array[int] = field(default_factory=lambda: array("I"))  # and where those of a state end
    transitions: int = 0
    depth: int = 0


State: TypeAlias = tuple[Budget, Shared, list[Node]]


def first_state(world: World) -> State:
    """n1 leads, its lease was just renewed, everybody else streams from it and has everything."""
    view = View(
        0,
        _documents(world),
        10,
        (),
        None,
        False,
        synchronous.first_key(world),
        failsafe=world.policy.failsafe_mode,
    )
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
        word=word.first(world),
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
    walk = Walk(space, space.pack(*(begin or first_state(world))))
    result = Result(world.name)
    _meet(walk, space.canonical(walk.first), 0)
    states, at, level = walk.states, 0, 1  # `level`: where the states of this depth end
    try:
        while at < len(states):
            bad = _go_on(walk, at)
            if bad is not None:
                result.violations = tuple(space.broken(states[bad]))
                result.trace = tuple(trace(walk, bad))
                break
            at += 1
            if at == level:
                walk.depth, level = walk.depth + 1, len(states)
            if most is not None and len(states) >= most:
                break
            if not at & 0xFFF and time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                tell(_progress(walk, time.process_time() - began))
        else:
            result.complete = True
    except BrokenPromiseError as broken:
        result.violations = (str(broken),)
        result.trace = tuple(trace(walk, at))
    return _counted(result, walk, began), walk


def _meet(walk: Walk, state: int, before: int) -> bool:
    """A state that was not seen before; whether it is sound."""
    verdict = walk.space.judged(state)
    walk.number[state] = len(walk.states)
    walk.states.append(state)
    walk.before.append(before)
    walk.well.append(verdict == Verdict.WELL)
    return verdict != Verdict.BROKEN


def _go_on(walk: Walk, at: int) -> int | None:
    """Meet everything that can follow that state; the number of the first that is broken."""
    state, space = walk.states[at], walk.space
    number, ways = walk.number, walk.ways
    steps = space.following(state)
    for then, kind in steps:
        known = number.get(then)
        if known is None:
            then = space.canonical(then)  # noqa: PLW2901 - one of its names
            known = number.get(then)
            if known is None:
                known = len(number)
                if not _meet(walk, then, at):
                    return known
        if kind != 1:  # a fault
            ways.append(known)
    if not steps and space.is_cut(state):
        walk.well[at] = 1
    walk.transitions += len(steps)
    walk.rests.append(steps[-1][1] == Kind.TIME if steps else walk.well[at])
    walk.ends.append(len(ways))
    return None


def _progress(walk: Walk, seconds: float) -> str:
    states = len(walk.states)
    rate = states / seconds
    return f"{walk.space.world.name}: {states:,} states, depth {walk.depth}, {rate:,.0f}/s"


def _counted(result: Result, walk: Walk, began: float) -> Result:
    result.states = len(walk.states)
    result.transitions = walk.transitions
    result.depth = walk.depth
    result.seconds = time.process_time() - began
    result.rules = frozenset(walk.space.rules)
    return result


# --- the way to a state ---------------------------------------------------------------------------


def path(walk: Walk, number: int) -> list[int]:
    """The states from the first one to that one."""
    numbers = [number]
    while numbers[-1]:
        numbers.append(walk.before[numbers[-1]])
    return [walk.states[n] for n in reversed(numbers)]


def trace(walk: Walk, number: int) -> list[str]:
    """How it came to the state of that number, one step a line, with the names of the first one."""
    lines: list[str] = []
    space, here = walk.space, walk.first
    for wanted in path(walk, number)[1:]:
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
