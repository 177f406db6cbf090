"""Once faults are over: whether every state can come to a leader that all stream from.

And whether every state can come to one where all daemons have done what they have to do at that
moment: else they would decide for ever while no time passes.

Asked of a world that was walked through completely.  Only steps that are no fault count: repairs
do, so this is "when what broke is mended".  It says that nobody is stuck for ever, not how soon.
"""

from __future__ import annotations

import resource
import time
from array import array
from collections.abc import Callable, Sequence

from proof.invariants import A_LEADER, AT_REST
from proof.search import lost
from proof.search.explore import Result, Walk, explore, trace
from proof.search.model import Node, Pg, Shared, World, is_beginning
from proof.search.space import Space


def search(world: World, tell: Callable[[str], None] = lambda _: None) -> Result:
    """Explore a world, and if that was complete ask whether each of its states can go on well."""
    result, walk = explore(world, tell=tell)
    if result.complete and world.heals:
        _ask_to_heal(world, result, walk, tell)
    result.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def _ask_to_heal(world: World, result: Result, walk: Walk, tell: Callable[[str], None]) -> None:
    tell(f"{world.name}: {result.states:,} states; can each of them heal?")
    began = time.process_time()
    lost = stuck(walk)
    result.seconds += time.process_time() - began
    result.stuck = sum(map(len, lost.values()))
    for sentence, states in lost.items():
        if states and not result.violations:
            seen = explain_stuck(walk.space, states[0])
            result.violations = (f"{sentence} Here only this can happen: {seen}",)
            result.trace = tuple(trace(walk, states[0]))


def stuck(walk: Walk) -> dict[str, list[int]]:
    """By broken sentence: the states from which there is no way, in the order of discovery."""
    states = list(walk.came_from)
    before = _numbered(walk, states)
    sources, targets = array("I"), array("I")
    fine, rests = bytearray(len(states)), bytearray(len(states))
    _look_at_all(walk, states, (fine, rests), (sources, targets))
    for n, state in enumerate(states):
        walk.came_from[state] = states[before[n]]
    for marks in (fine, rests):
        _spread(marks, sources, targets)
    return {
        A_LEADER: [state for n, state in enumerate(states) if not fine[n]],
        AT_REST: [state for n, state in enumerate(states) if not rests[n]],
    }


def _numbered(walk: Walk, states: list[int]) -> array[int]:
    """Put the number of each state where its predecessor was; give the predecessors' numbers.

    A second dictionary of all states would take as much memory as the walk itself.
    """
    came_from, before = walk.came_from, array("I")
    for n, state in enumerate(states):
        earlier = came_from[state]
        before.append(n if earlier == state else came_from[earlier])
        came_from[state] = n
    return before


def _look_at_all(
    walk: Walk,
    states: list[int],
    marks: tuple[bytearray, bytearray],
    ways: tuple[array[int], array[int]],
) -> None:
    """Mark the states that are as they should be, and note the ways out of all others."""
    space, number = walk.space, walk.came_from
    (fine, rests), (sources, targets) = marks, ways
    for n, state in enumerate(states):
        if space.is_cut(state):
            fine[n] = rests[n] = 1
            continue
        _, shared, nodes = space.read(state)
        well = healed(shared, nodes) or lost.without_a_primary(shared, nodes)
        fine[n], rests[n] = well, space.time_passes(state)
        if fine[n] and rests[n]:
            continue
        for then, fault in space.following(state):
            if not fault:
                known = number.get(then)
                sources.append(n)
                targets.append(number[space.canonical(then)] if known is None else known)


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
