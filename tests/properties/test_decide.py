"""What must hold for every snapshot: decide() is a function, and a sane one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.decide import TABLES, decide, explain, run
from engine.rendering import action_text, render, render_short, what_would_change
from engine.schedule import wake_at
from engine.state import Cluster, Known, Snapshot
from proof.promises import every_decision_says_why
from tests.properties.strategies import snapshots


@given(snapshots())
def test_decide_is_total_and_deterministic(s: Snapshot) -> None:
    """Every snapshot gets a decision, twice the same, and none of it raises."""
    assert decide(s) == decide(s)


FACTS = {
    fact.name: fact
    for table in TABLES
    for facts in (table.applies, *(rule.when for rule in table.rules))
    for fact in facts
}


@given(snapshots())
def test_every_fact_answers_every_snapshot(s: Snapshot) -> None:
    """A fact is total, says yes or no, and shows what it saw on one line: nothing goes unasked."""
    for fact in FACTS.values():
        assert isinstance(fact.holds(s), bool), fact.name
        assert fact.shows(s), fact.name
        assert "\n" not in fact.shows(s), fact.name


@given(snapshots())
def test_explain_tells_of_the_decision_that_is_carried_out(s: Snapshot) -> None:
    """explain() gives decide()'s actions, and its trace fires the very rules."""
    told = explain(s)
    assert list(told.actions) == decide(s)
    assert told.fired == run(s).fired
    assert tuple(step.rule for step in told.trace if step.fired) == told.fired


@given(snapshots())
def test_every_decision_can_be_put_into_words(s: Snapshot) -> None:
    """Rendering is total, names every rule that fired and every action, each on one line."""
    decision = explain(s)
    text = render(s, decision)
    for name in decision.fired:
        assert name in text
    for action in decision.actions:
        assert action_text(action) in text
        assert "\n" not in action_text(action)
    assert "\n" not in render_short(decision)
    assert len(what_would_change(s, decision)) <= 8


@given(snapshots(), st.randoms(use_true_random=False))
def test_the_order_of_members_peers_and_slots_changes_nothing(s: Snapshot, random: object) -> None:
    """Names are sorted where it matters, so no order decides who leads or whom to copy."""
    assert decide(_shuffled(s)) == decide(s)


def _shuffled(s: Snapshot) -> Snapshot:
    turned = replace(s, peers=s.peers[::-1])
    if isinstance(s.cluster, Known):
        view: Cluster = s.cluster.value
        turned = replace(
            turned, cluster=replace(s.cluster, value=replace(view, members=view.members[::-1]))
        )
    if isinstance(s.postgres.server, Known):
        server = s.postgres.server.value
        answers = replace(s.postgres.server, value=replace(server, slots=server.slots[::-1]))
        turned = replace(turned, postgres=replace(s.postgres, server=answers))
    return turned


@given(snapshots())
def test_every_decision_says_what_it_does_or_waits_for(s: Snapshot) -> None:
    """One of the tables about the node's course acts or holds in every cycle; silence is a bug."""
    every_decision_says_why(s, run(s))


@given(snapshots())
def test_the_next_look_is_neither_past_nor_late(s: Snapshot) -> None:
    """The loop wakes between now and one loop_wait from now."""
    at = wake_at(s, tuple(decide(s)))
    assert s.now <= at <= s.now + s.policy.loop_wait_seconds
