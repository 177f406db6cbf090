"""A decision in words: whole, on one line, and what would have to be otherwise."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from engine.actions import Action, ArmFence, Hold, Remember, RenewLock, StopPostgres
from engine.decide import RULES, TABLES, Decision, explain, run
from engine.rendering import (
    _first_match,
    action_text,
    is_routine,
    render,
    render_short,
    shares,
    what_would_change,
)
from engine.tables.slots import BUDGET
from shell.recorder.codec import decode, encode
from tests.support.scenarios import all_scenarios
from tests.support.scenes import scene

AHEAD = {"peers.n3.lsn": 0x5000100}


def test_a_decision_tells_who_won_why_and_what_ruled_the_others_out() -> None:
    """The rule with title, reason and facts; the rules above with the fact that failed."""
    s = scene("primary", {"cluster": "n2 leads"})
    text = render(s, explain(s))
    assert "write.lock_taken: Another member owns the lock: stop at once" in text
    assert "  why: Two primaries would diverge; the one without the lock gives way." in text
    assert "  because another_owns_the_lock (lock_owner=n2)" in text
    assert "    write.refused: not renewal_was_refused (refused=False)" in text
    assert "  does: stop PostgreSQL (immediate): n2 owns the leader lock" in text
    assert "  2. stop PostgreSQL (immediate): n2 owns the leader lock" in text


def test_tables_that_do_not_apply_take_one_line_each() -> None:
    """A table that is passed over is named with the fact that it lacks."""
    s = scene("replica", {})
    text = render(s, explain(s))
    assert "  job: not a_job_runs (no job)" in text
    assert "job.runs" not in text


def test_a_fact_that_must_not_hold_is_told_as_it_was_seen() -> None:
    """`not x` that failed is told as `x`."""
    s = scene("replica", {"cluster": "silent"})
    assert "standby.store_silent: The store does not answer" in render(s, explain(s))
    s = scene("primary", {})
    assert "    write.unproven: store_answers (lock_owner=n1)" in render(s, explain(s))


def test_a_decision_that_went_through_json_reads_the_same() -> None:
    """What a node sends over REST can be rendered where it arrives."""
    s = scene("race", AHEAD)
    sent = explain(s)
    assert render(s, decode(Decision, encode(sent))) == render(s, sent)


def test_the_explanation_tells_every_rule_that_was_tried_and_no_other() -> None:
    """It fires the rules of the decision, passes over tables, and ends where the cycle ends."""
    for scenario in all_scenarios():
        decision = explain(scenario.snapshot)
        assert tuple(step.rule for step in decision.trace if step.fired) == decision.fired
        assert not [step for step in decision.trace if step.fired and not step.rule]
        if RULES[decision.fired[-1]].ends:
            assert decision.trace[-1].rule == decision.fired[-1]
        else:
            assert decision.trace[-1].table == TABLES[-1].name


def test_one_line_leaves_out_what_is_as_ever() -> None:
    """A log line names the rules that act; rules that leave everything alone are not in it."""
    assert render_short(run(scene("replica", {}))) == "standby.follows: wait for a change"
    line = render_short(run(scene("primary", {"fence": "idle"})))
    assert line == "truce.over: arm the fence for process 4711, 3.5s before the lease ends"
    waits = Decision((RenewLock(), Hold("a change"), Hold("the store to answer")), ())
    assert render_short(waits) == "nothing: renew the leader lock; wait for the store to answer"


def test_a_decision_without_actions_says_so() -> None:
    """Nothing to do is told, also of a decision that holds no rules at all."""
    assert render(scene("replica", {}), Decision((), ())).endswith(
        "actions, in this order:\n  none"
    )


@pytest.mark.parametrize(
    ("actions", "routine"),
    [
        ((), True),
        ((RenewLock(), Hold("a change")), True),
        ((Hold("the clone to end"),), True),
        ((Hold("the store to answer"),), False),
        ((RenewLock(), StopPostgres("fast", "hand-over to n2")), False),
    ],
)
def test_routine_is_what_only_keeps_up_what_is(actions: tuple[Action, ...], routine: bool) -> None:
    """Heartbeats and patience are routine; whatever waits for somebody, or acts, is news."""
    assert is_routine(Decision(actions, ())) is routine


def test_what_would_change_names_single_facts_with_their_values() -> None:
    """The rule that would be reached, the fact, and what it saw."""
    s = scene("race", AHEAD)
    assert (
        "race.acquire would be reached if a_peer_is_ahead were no longer true "
        "(mine 0/5000000; n1 silent, n3 replica 0/5000100 timeline 3)"
    ) in what_would_change(s, explain(s))


def test_what_would_change_looks_at_rules_above_too() -> None:
    """A rule above that failed on one fact only is an outcome that was near."""
    s = scene("race", {})
    said = what_would_change(s, explain(s))
    assert any(line.startswith("race.peer_preferred would be reached if") for line in said)
    down = scene("crashed primary", {})
    told = [line.partition(" ")[0] for line in what_would_change(down, explain(down))]
    nearest = ["down.start", "down.failover", "down.not_primary", "down.handover_failed"]
    assert told == nearest, "each outcome once, though more facts lead to it"


def test_what_would_change_names_the_nearest_few() -> None:
    """Four of each table, eight in all: who reads it looks for one."""
    call = {"@": "FailsafeCall", "id": 7, "name": "n2", "since": 999.9, "ttl_seconds": 30}
    s = scene("cut off", {"failsafe_calls": [call]})
    tables = Counter(line.partition(".")[0] for line in what_would_change(s, explain(s)))
    assert tables == {"consent": 2, "failsafe": 4, "primary": 2}


def test_the_last_rule_with_a_condition_is_an_outcome_too() -> None:
    """Of a table's rules only the very last asks for nothing."""
    s = scene("replica with cdc", {})
    assert _first_match(s, BUDGET, "a_logical_slot_is_unsafe").name == "budget.unsafe"
    assert _first_match(s, BUDGET, "paused").name == "budget.fine"


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda x: x.rule)
def test_what_would_change_never_promises_what_happens_anyway(scenario: object) -> None:
    """No sentence names a rule that fired, and none is said twice."""
    s = scenario.snapshot  # type: ignore[attr-defined]
    decision = explain(s)
    said = what_would_change(s, decision)
    assert len(said) == len(set(said)) <= 8
    assert not {line.split(" ")[0] for line in said} & set(decision.fired)


def test_shares_together_are_the_decision() -> None:
    """The actions told rule by rule are the decision's, in its order."""
    for scenario in all_scenarios():
        s = scenario.snapshot
        decision = run(s)
        told = [action for _, actions in shares(s, decision.fired) for action in actions]
        assert tuple(told) == decision.actions


def test_a_rule_of_another_version_is_passed_over() -> None:
    """A record of an older release may name rules that are gone."""
    s = scene("replica", {})
    assert shares(s, ("gone.rule", "standby.follows"))[0][0] == "standby.follows"
    assert what_would_change(s, Decision((), ("gone.rule",))) == []
    assert "gone.rule" in render_short(Decision((), ("gone.rule",)))


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Hold("the store", 3.0), "wait for the store"),
        (
            StopPostgres("fast", "hand-over to n2", checkpoint_first=True),
            "stop PostgreSQL (fast, after a checkpoint): hand-over to n2",
        ),
        (
            ArmFence(0, 0, 3.5, 1.75, False),
            "arm the fence for whatever runs in the data directory, 3.5s before the lease ends",
        ),
        (Remember({"b": "x", "a": 1.25}), "remember a=1.2, b='x'"),
    ],
)
def test_actions_read_as_sentences(action: Action, text: str) -> None:
    """One line, the parameters that matter included."""
    assert action_text(action) == text


def test_every_action_appears_in_a_scenario() -> None:
    """No action is without a rule that gives it."""
    given = {type(x) for scenario in all_scenarios() for x in run(scenario.snapshot).actions}
    assert set(get_args(Action)) == given
