"""Once faults are over: whether every state can come to a leader that all stream from.

Asked of a world that was walked through completely.  Only steps that are no fault count: repairs
do, so this is "when what broke is mended".  It says that nobody is stuck for ever, not how soon.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence

from proof.invariants import A_LEADER
from proof.search.explore import Result, Walk, explore, trace
from proof.search.model import Node, Pg, Shared, World, is_beginning
from proof.search.space import Space


def search(world: World, tell: Callable[[str], None] = lambda _: None) -> Result:
    """Explore a world, and if that was complete ask whether each of its states can heal."""
    result, walk = explore(world, tell=tell)
    if not result.complete or not world.heals:
        return result
    tell(f"{world.name}: {result.states:,} states; can each of them heal?")
    began = time.monotonic()
    lost = stuck(walk)
    result.seconds += time.monotonic() - began
    result.stuck = len(lost)
    if lost:
        seen = explain_stuck(walk.space, lost[0])
        result.violations = (f"a_leader_comes: {A_LEADER} Here only this can happen: {seen}",)
        result.trace = tuple(trace(walk, lost[0]))
    return result


def stuck(walk: Walk) -> list[int]:
    """The states from which no healed one can be reached, in the order of their discovery."""
    space, states = walk.space, list(walk.came_from)
    number = {state: n for n, state in enumerate(states)}
    sources, targets = array("I"), array("I")
    fine = bytearray(len(states))
    for n, state in enumerate(states):
        _, shared, nodes = space.read(state)
        if space.is_cut(state) or healed(shared, nodes):
            fine[n] = 1
            continue
        for then, fault in space.following(state):
            if not fault:
                known = number.get(then)
                sources.append(n)
                targets.append(number[space.canonical(then)] if known is None else known)
    _spread(fine, sources, targets)
    return [state for n, state in enumerate(states) if not fine[n]]


def _spread(fine: bytearray, sources: Sequence[int], targets: Sequence[int]) -> None:
    """Mark every state that has a way to a marked one."""
    first, before = array("I", bytes(4 * (len(fine) + 1))), array("I", bytes(4 * len(targets)))
    for target in targets:
        first[target] += 1
    total = 0
    for n, count in enumerate(first):
        first[n], total = total, total + count
    at = array("I", first)
    for source, target in zip(sources, targets, strict=True):
        before[at[target]] = source
        at[target] += 1
    todo = [n for n, mark in enumerate(fine) if mark]
    while todo:
        n = todo.pop()
        for source in before[first[n] : first[n + 1]]:
            if not fine[source]:
                fine[source] = 1
                todo.append(source)


def healed(shared: Shared, nodes: Sequence[Node]) -> bool:
    """The owner of the lock is a primary, and everybody else streams from it."""
    leader = shared.view.leader
    if leader is None or not _leads(nodes[leader]):
        return False
    wal = nodes[leader].wal
    return all(
        n == leader
        or (node.pg is Pg.STANDBY and node.upstream == leader and is_beginning(node.wal, wal))
        for n, node in enumerate(nodes)
    )


def _leads(node: Node) -> bool:
    return node.up and not node.frozen and node.pg is Pg.PRIMARY and not node.halting


def explain_stuck(space: Space, state: int) -> str:
    """What can still happen in a state from which nothing leads to a leader."""
    steps = [step.text for step in space.explained(state) if not step.fault]
    return "; ".join(steps) or "nothing can happen any more"
