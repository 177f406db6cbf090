"""The list of invariants: each catches what it names, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proof.invariants import (
    INVARIANTS,
    Ending,
    Invariant,
    Node,
    Toleration,
    World,
    broken,
    unfinished,
)

LEADER = Node("n1", acknowledges=True)
REPLICA = Node("n2", streams=True)
GOOD = World((LEADER, REPLICA), lock_owner="n1")

BROKEN = {
    "one_writer": replace(GOOD, nodes=(LEADER, Node("n2", acknowledges=True))),
    "promoted_with_the_lock": replace(
        GOOD, nodes=(replace(LEADER, promoted_now=True, kept_the_lock=False), REPLICA)
    ),
    "no_lost_commit": replace(GOOD, nodes=(replace(LEADER, missing=(7,)), REPLICA)),
    "diverged_never_streams": replace(GOOD, nodes=(LEADER, replace(REPLICA, diverged=True))),
    "half_made_never_starts": replace(
        GOOD, nodes=(LEADER, Node("n2", starts=True, half_made=True))
    ),
    "pause_is_quiet": replace(
        GOOD, paused=True, nodes=(LEADER, replace(REPLICA, acted_unasked="a stop by the fence"))
    ),
}


def test_a_healthy_world_breaks_nothing() -> None:
    """One leader with the lock and a streaming replica is what everybody wants."""
    assert not broken(GOOD)
    assert not unfinished(Ending(GOOD.nodes, GOOD.lock_owner))


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda x: x.name)
def test_each_invariant_catches_its_own_world_unless_that_is_tolerated(
    invariant: Invariant,
) -> None:
    """A world that breaks one sentence is reported under that name, and only named excuses help."""
    world = BROKEN[invariant.name]
    assert [violation.invariant for violation in broken(world)] == [invariant.name]
    for toleration in Toleration:
        excused = replace(world, tolerated=frozenset({toleration}))
        assert bool(broken(excused)) == (toleration not in invariant.tolerations)


@pytest.mark.parametrize(
    ("ending", "names"),
    [
        (Ending((REPLICA,), None), ["a_leader_comes"]),
        (Ending((LEADER, REPLICA), "n2"), ["a_leader_comes"]),
        (Ending((LEADER, Node("n2")), "n1"), ["everybody_streams"]),
        (Ending((LEADER, replace(REPLICA, diverged=True)), "n1"), ["everybody_streams"]),
        (Ending((LEADER, REPLICA), "n1", stirring=("n2: Follow",)), ["decisions_settle"]),
        (Ending((LEADER, Node("n2")), "n1", expected_down=frozenset({"n2"})), []),
        (Ending((), None, tolerated=frozenset({Toleration.PAUSED})), []),
    ],
)
def test_what_has_not_healed_is_named(ending: Ending, names: list[str]) -> None:
    """Without a leader, with a member that does not stream, or restless, the end is not reached."""
    assert [violation.invariant for violation in unfinished(ending)] == names
