"""The exhaustive search: small worlds hold, planted mistakes are found, nothing is left out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from engine import decide
from engine.actions import ReleaseLock
from engine.rule import Rule, Table
from engine.trees import tree_of_all
from proof.search import effects, moves, space, together
from proof.search.alike import alike
from proof.search.explore import Walk, explore, first_state
from proof.search.liveness import search
from proof.search.look import UNKEPT
from proof.search.model import Node, Op, Shared, World
from proof.search.rename import renamed_node, renamed_shared
from proof.search.space import Space
from proof.search.worlds import FAILSAFE, FREEZE, KEYS, NAMES, QUICK, UNFENCED

ENOUGH = 400_000


@pytest.mark.parametrize("world", QUICK, ids=lambda world: world.name)
def test_nothing_is_broken_in_a_small_world(world: World) -> None:
    """Every state of it keeps the invariants, and a leader can come from each."""
    result = search(world)
    assert not result.violations, "\n".join((*result.violations, *result.trace))
    assert result.complete
    assert result.stuck == (0 if world.heals else None)


# --- planted mistakes -----------------------------------------------------------------------------


def _tables(change: Callable[[Rule], Sequence[Rule]]) -> tuple[Table, ...]:
    """The engine's tables with some rules changed."""
    return tuple(
        replace(table, rules=tuple(x for rule in table.rules for x in change(rule)))
        for table in decide.TABLES
    )


def _without(name: str) -> tuple[Table, ...]:
    return _tables(lambda rule: () if rule.name == name else (rule,))


def _always(name: str, *facts: str) -> tuple[Table, ...]:
    """The tables with those facts taken out of that rule."""

    def change(rule: Rule) -> tuple[Rule, ...]:
        if rule.name != name:
            return (rule,)
        return (replace(rule, when=tuple(f for f in rule.when if f.name not in facts)),)

    return _tables(change)


def _plant(patch: pytest.MonkeyPatch, tables: tuple[Table, ...]) -> None:
    patch.setattr(decide, "TREES", tree_of_all(tables))


def _counted_from_the_answer(node: Node, op: Op, answer: bool, age: float) -> Node:
    return _ANSWERED(node, op, answer, 0.0)


_ANSWERED = effects.answered


def _no_time_left(patch: pytest.MonkeyPatch) -> World:
    _plant(patch, _without("write.no_time_left"))
    patch.setattr(space, "broken_by_decision", lambda *_: [])
    return UNFENCED


def _lease_from_the_answer(patch: pytest.MonkeyPatch) -> World:
    patch.setattr(effects, "answered", _counted_from_the_answer)
    return replace(FREEZE, faults={"slow": 1, "silent": 1}, budget=2)


def _promotion_without_the_lock(patch: pytest.MonkeyPatch) -> World:
    _plant(patch, _always("standby.promote", "i_own_the_lock"))
    patch.setattr(space, "broken_by_decision", lambda *_: [])
    return FREEZE


def _start_whenever(patch: pytest.MonkeyPatch) -> World:
    patch.setattr(effects, "_left", lambda _: None)
    return replace(FREEZE, faults={"postmaster": 1, "freeze": 1}, budget=2)


def _released_before_the_end(patch: pytest.MonkeyPatch) -> World:
    def change(rule: Rule) -> tuple[Rule, ...]:
        if rule.name != "primary.handover":
            return (rule,)
        then = rule.then
        too_early = ReleaseLock(None, "too early")
        return (replace(rule, then=lambda s: (*then(s), too_early)),)

    _plant(patch, _tables(change))
    return replace(FREEZE, faults={"switchover": 1})


def _fence_asleep(patch: pytest.MonkeyPatch) -> World:
    patch.setattr(effects, "fired", lambda node: node._replace(fence=None))
    return FREEZE


def _word_forgotten(patch: pytest.MonkeyPatch) -> World:
    patch.setattr(effects, "UNKEPT", UNKEPT | {"consented_until"})
    patch.setattr(space, "broken_by_decision", lambda *_: [])
    return FAILSAFE


MISTAKES = {
    "a primary goes on when no time is left": _no_time_left,
    "the lease is counted from the answer": _lease_from_the_answer,
    "a standby promotes without the lock": _promotion_without_the_lock,
    "a start begins whenever its turn comes": _start_whenever,
    "the lock is released before the shutdown": _released_before_the_end,
    "the fence does not act": _fence_asleep,
    "a member forgets that it let another go on": _word_forgotten,
}


@pytest.mark.parametrize("plant", MISTAKES.values(), ids=MISTAKES)
def test_a_planted_mistake_is_found(
    plant: Callable[[pytest.MonkeyPatch], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shortest way to what it breaks is told, step by step."""
    result, _ = explore(plant(monkeypatch), ENOUGH)
    assert result.violations
    assert len(result.trace) > 3


@pytest.mark.parametrize("compared", [True, False])
def test_twin_timelines_are_told_apart_by_their_wal(
    compared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """n1 was promoted and died before n2 received its timeline: n2 may open one of that number."""
    if not compared:
        monkeypatch.setattr(together, "same_bytes", lambda _wal, _of: None)
    world = replace(FREEZE, budget=0, records=0, twins=True)
    budget, shared, (first, second) = first_state(world)
    members = (None, shared.view.members[1])
    shared = shared._replace(
        view=shared.view._replace(leader=None, members=members), key_left=0.0, epochs=1
    )
    first = effects.dead(effects.crashed(first._replace(wal=(*first.wal, (1, 1)))))
    result, _ = explore(world, ENOUGH, begin=(budget, shared, [first, second]))
    assert result.complete is compared
    broken = [x.partition(":")[0] for x in result.violations]
    assert broken == ([] if compared else ["diverged_never_streams"])


# --- nothing is left out --------------------------------------------------------------------------

VARIED = replace(FREEZE, name="varied", faults={"freeze": 1, "slow": 1, "switchover": 1}, budget=2)
WORD = replace(FAILSAFE, faults={"silent": 1, "apart": 1, "freeze": 1}, budget=2)
NAMED = replace(
    NAMES, name="named", faults={"cut": 1, "slow": 1, "host": 1}, budget=2, promotions=1
)


def _some_states(world: World, most: int, count: int) -> tuple[Walk, list[int]]:
    _, walk = explore(world, most)
    states = list(walk.states)
    return walk, random.sample(states, min(count, len(states)))


def _outcomes(space: Space, n: int, node: Node, shared: Shared) -> set[object]:
    """Everything that can follow, alike ones as one; and the node a tick later."""
    found: set[object] = {
        (move.fault, space.number(move.node), move.shared)
        for move in space.own_moves(n, node, shared)
    }
    later = moves.older(space.world, node)
    return found | {None if later is None else space.number(later)}


@pytest.mark.parametrize("world", [VARIED, NAMED, KEYS, WORD], ids=lambda world: world.name)
def test_nodes_that_count_as_alike_go_on_alike(world: World) -> None:
    """What `alike` takes away changes no decision and nothing that follows."""
    walk, states = _some_states(world, 20_000, 10_000)
    space, differing = walk.space, 0
    for state in states:
        _budget, shared, nodes = space.read(state)
        for n, node in enumerate(nodes):
            for move in space.own_moves(n, node, shared):
                same = alike(world, move.node)
                if same != move.node:
                    differing += 1
                    expected = _outcomes(space, n, same, move.shared)
                    assert expected == _outcomes(space, n, move.node, move.shared), move
    assert differing > 100


@pytest.mark.parametrize("world", [VARIED, NAMED, KEYS, WORD], ids=lambda world: world.name)
@pytest.mark.parametrize("count", [2, 3])
def test_names_change_nothing(world: World, count: int) -> None:
    """What follows from a renamed state are the renamed followers."""
    walk, states = _some_states(replace(world, nodes=count), 5_000, 500)
    space = walk.space
    for state in states:
        budget, shared, nodes = space.read(state)
        order = tuple(random.sample(range(count), count))
        renamed = [renamed_node(nodes[n], order) for n in order]
        other = space.pack(budget, renamed_shared(shared, order), renamed)
        expected = {space.canonical(then) for then, _ in space.following(state)}
        assert space.canonical(other) == space.canonical(state) == state
        assert {space.canonical(then) for then, _ in space.following(other)} == expected


def test_packing_keeps_every_part() -> None:
    """A state that is unpacked and packed again is the same number."""
    for world in (VARIED, NAMED, KEYS, WORD):
        walk, states = _some_states(world, 2_000, 500)
        for state in states:
            assert walk.space.pack(*walk.space.read(state)) == state


def test_only_which_version_of_the_sync_key_is_there_counts() -> None:
    """Whoever refers to one that is gone refers to none, and decides the same."""
    walk, states = _some_states(NAMED, 20_000, 500)
    space, versions = walk.space, set()
    for state in states:
        budget, shared, nodes = space.read(state)
        key = shared.view.sync
        assert key is not None
        versions.add(key.revision)
        later = shared._replace(view=shared.view._replace(sync=key._replace(revision=7)))
        referring = [_with_version(node, 7) for node in nodes]
        assert space.canonical(space.pack(budget, later, referring)) == state
    assert versions == {1}


def _with_version(node: Node, revision: int) -> Node:
    """The node, where the version that is there has that number."""
    memory = tuple(
        (name, revision if name in {"sync_asked", "raced_on"} and value == 1 else value)
        for name, value in node.memory
    )
    pending = tuple(_op_with_version(op, revision) for op in node.pending)
    flight, late = node.flight, node.late
    return node._replace(
        memory=memory,
        pending=pending,
        late=late and _op_with_version(late, revision),
        flight=flight and flight._replace(op=_op_with_version(flight.op, revision)),
    )


def _op_with_version(op: Op, revision: int) -> Op:
    return (*op[:3], revision) if op[0] == "sync" and op[3] == 1 else op
