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
from collections.abc import Callable

from proof.invariants import A_LEADER, AT_REST
from proof.search.explore import Result, Walk, explore, trace
from proof.search.model import World
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
    for sentence, numbers in lost.items():
        if numbers and not result.violations:
            seen = explain_stuck(walk.space, walk.states[numbers[0]])
            result.violations = (f"{sentence} Here only this can happen: {seen}",)
            result.trace = tuple(trace(walk, numbers[0]))


def stuck(walk: Walk) -> dict[str, list[int]]:
    """By broken sentence: the numbers of the states from which there is no way."""
    backwards = _backwards(walk)
    found = {}
    for sentence, marks in ((A_LEADER, walk.well), (AT_REST, walk.rests)):
        reached = _spread(marks, *backwards)
        found[sentence] = [n for n, mark in enumerate(reached) if not mark]
    return found


def _backwards(walk: Walk) -> tuple[array[int], array[int]]:
    """The walk's ways the other way round: those to state n are from `first[n]` to `first[n + 1]`.

    Ways out of states that are as they should be are left out: nobody asks for them.
    """
    first = array("I", bytes(4 * (len(walk.states) + 1)))
    needed = array("I")  # a state and where its ways begin and end, in turns
    begin = 0
    for n, end in enumerate(walk.ends):
        if not (walk.well[n] and walk.rests[n]):
            needed.extend((n, begin, end))
            for target in walk.ways[begin:end]:
                first[target] += 1
        begin = end
    total = 0
    for n, count in enumerate(first):
        first[n], total = total, total + count
    sources, at = array("I", bytes(4 * total)), array("I", first)
    for k in range(0, len(needed), 3):
        n, begin, end = needed[k : k + 3]
        for target in walk.ways[begin:end]:
            sources[at[target]] = n
            at[target] += 1
    return first, sources


def _spread(marks: bytearray, first: array[int], sources: array[int]) -> bytearray:
    """The marks, and every state that has a way to a marked one."""
    reached = bytearray(marks)
    todo = [n for n, mark in enumerate(reached) if mark]
    while todo:
        n = todo.pop()
        for source in sources[first[n] : first[n + 1]]:
            if not reached[source]:
                reached[source] = 1
                todo.append(source)
    return reached


def explain_stuck(space: Space, state: int) -> str:
    """What can still happen in a state from which nothing leads to a leader."""
    steps = [step.text for step in space.explained(state) if not step.fault]
    return "; ".join(steps) or "nothing can happen any more"
