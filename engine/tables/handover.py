"""What a leader does with the `failover` key before it stands down: the same for every leader."""

from engine import agreement, asking, candidates, views
from engine import synchronous as sync
from engine.actions import Action, ClearFailover, Hold, Remember, Report
from engine.facts.failsafe import members_keep_from_leading
from engine.facts.lease import i_own_the_lock
from engine.facts.work import (
    a_wanted_candidate_can_get_the_votes,
    a_wanted_candidate_is_fit,
    handover_has_begun,
    handover_has_waited,
    handover_is_due,
    handover_is_from_another,
    handover_is_late,
    handover_is_scheduled,
    handover_is_to_me,
    paused,
    peers_answered,
)
from engine.rule import Fact, Rule
from engine.state import Snapshot
from engine.tables.steps import ask


def _clear(s: Snapshot, why: str) -> tuple[Action, ...]:
    request = views.failover_request(s)
    assert request is not None
    return (Report("info", f"failover key cleared: {why}"), ClearFailover(request.revision, why))


def _begin_handover(s: Snapshot) -> tuple[Action, ...]:
    request = views.failover_request(s)
    assert request is not None
    return (Remember({"handover_revision": request.revision, "handover_since": s.now}),)


def _nobody_fits(s: Snapshot) -> str:
    request = views.failover_request(s)
    named = request.candidate if request else None
    by_name = sorted(asking.answers(s), key=views.BY_NAME)
    reasons = [candidates.refusal(s, a) for a in by_name if named in {None, a.name}]
    reasons = [reason for reason in reasons if reason]
    if named and not reasons:
        return f"the candidate {named} has no member key"
    return "; ".join(reasons) or "there is no other member"


def _too_few_votes(s: Snapshot) -> str:
    now, names = sync.key(s), ", ".join(a.name for a in candidates.wanted(s))
    assert now is not None
    return f"{names}: too few of those that `sync` names answer, {now.quorum} other votes needed"


def request_rules(table: str, *also: Fact) -> tuple[Rule, ...]:
    """The rules up to the moment at which a fit candidate is known; named after that table.

    Each holds only if the facts `also` do.
    """
    return (*_drop(table, also), *_find_candidate(table, also))


def _drop(table: str, also: tuple[Fact, ...]) -> tuple[Rule, ...]:
    """The request has done its work, or its time has passed."""
    return (
        Rule(
            f"{table}.handover_done",
            "The failover key is for another leader, or names us: its work is done",
            when=(*also, handover_is_from_another),
            then=lambda s: _clear(s, "the leader has changed"),
            why="A request is kept only until the lock has changed.",
        ),
        Rule(
            f"{table}.handover_reached",
            "The failover key names us as the candidate, and we lead: its work is done",
            when=(*also, handover_is_to_me),
            then=lambda s: _clear(s, "the candidate leads"),
            why="A request is kept only until the lock has changed.",
        ),
        Rule(
            f"{table}.handover_paused",
            "Maintenance mode: a scheduled hand-over is dropped",
            when=(*also, handover_is_scheduled, handover_is_due, paused),
            then=lambda s: _clear(s, "scheduled hand-overs are not done in maintenance mode"),
            why="In pause nothing happens by itself.",
        ),
        Rule(
            f"{table}.handover_late",
            "The scheduled hand-over is late by more than one and a half loops: drop it",
            when=(*also, handover_is_late),
            then=lambda s: _clear(s, "its time passed while nobody could act"),
            why="An operator chose that time; another time may do harm.",
        ),
    )


def _find_candidate(table: str, also: tuple[Fact, ...]) -> tuple[Rule, ...]:
    """The request is due: find a member that can take over."""
    return (
        Rule(
            f"{table}.handover_promised",
            "A hand-over is due, but members promised not to lead while we had no store: wait",
            when=(*also, handover_is_due, members_keep_from_leading),
            then=lambda s: (Hold("the end of the members' promise", agreement.promised_until(s)),),
            why="They keep it for one ttl: nobody could lead until then, so we go on.",
        ),
        Rule(
            f"{table}.handover_begin",
            "A hand-over has become due: remember when",
            when=(*also, handover_is_due, ~handover_has_begun),
            then=_begin_handover,
            why="Answers of peers count only if they were given after the request.",
        ),
        Rule(
            f"{table}.handover_ask",
            "A hand-over is due: ask who could take over",
            when=(*also, handover_is_due, ~peers_answered),
            then=ask,
            why="PostgreSQL is stopped only when somebody can take its place.",
        ),
        Rule(
            f"{table}.handover_refused",
            "A hand-over is due, but nobody fits: drop it and say why",
            when=(*also, handover_is_due, ~a_wanted_candidate_is_fit),
            then=lambda s: _clear(s, _nobody_fits(s)),
            why="A switchover without a successor would be an outage.",
        ),
    )


VOTE_RULES = (
    Rule(
        "primary.handover_votes",
        "A hand-over is due, but no candidate could get enough votes: wait for loop_wait at most",
        when=(
            i_own_the_lock,
            handover_is_due,
            ~a_wanted_candidate_can_get_the_votes,
            ~handover_has_waited,
        ),
        then=lambda s: (Hold("enough votes for a candidate", s.now + 1.0),),
        why="While the voters change, `sync` asks for more votes than before or after; that takes "
        "moments.",
    ),
    Rule(
        "primary.handover_outvoted",
        "A hand-over is due, but no candidate can get enough votes: drop it and say why",
        when=(i_own_the_lock, handover_is_due, ~a_wanted_candidate_can_get_the_votes),
        then=lambda s: _clear(s, _too_few_votes(s)),
        why="Nobody could lead after us until we do it again: that would be an outage.",
    ),
)
