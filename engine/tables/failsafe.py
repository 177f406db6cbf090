"""Failsafe mode: a primary that goes on without the store, and the members that let it.

One number says how long PostgreSQL may stay writable, `views.lease_ends`; here it is prolonged by
the members' word, and here that word is given.  docs/safety.md has the argument.
"""

from engine import agreement, slots, views
from engine.actions import Action, Answer, AskFailsafe, Hold, Remember, Report
from engine.facts.failsafe import (
    a_member_is_to_be_asked,
    asks_for_more_than_ttl,
    consent_is_asked,
    consented,
    every_member_agreed,
    failsafe_is_on,
    failsafe_members_are_known,
    failsafe_members_differ,
    first_call,
    lease_is_certain,
    longest_word_seconds,
    may_become_writable,
    promised_to_another,
    renewal_is_overdue,
    the_caller_does_not_lead,
)
from engine.facts.lease import i_own_the_lock, store_names_me
from engine.facts.postgres import may_accept_writes
from engine.facts.work import bootstrapping, paused
from engine.rule import Rule, Table, nothing
from engine.state import Snapshot


def _answer(s: Snapshot, status: int, text: str) -> tuple[Action, ...]:
    call = first_call(s)
    assert call is not None
    more = len(s.failsafe_calls) > 1
    next_one = (Hold("the next caller", s.now + views.LOOK_AGAIN_SECONDS),) if more else ()
    return (Answer(call.id, status, text), *next_one)


def _agree(s: Snapshot) -> tuple[Action, ...]:
    call = first_call(s)
    assert call is not None
    until = max(s.now, call.since) + s.policy.ttl_seconds
    return (
        Report("warning", f"{call.name} has lost the store and goes on as primary by our word"),
        Remember({"consented_until": until, "consented_to": call.name}),
        *_answer(s, 200, "Accepted"),
    )


CONSENT = Table(
    "consent",
    "A primary without the store asks to go on: do we let it?",
    applies=(consent_is_asked,),
    rules=(
        Rule(
            "consent.off",
            "Failsafe mode is not enabled",
            when=(~failsafe_is_on, ~consented),
            then=lambda s: _answer(s, 502, "failsafe mode is not enabled"),
            why="Without failsafe mode nobody counts on our word.",
        ),
        Rule(
            "consent.writable",
            "We are, or may be, primary ourselves: refuse",
            when=(may_accept_writes,),
            then=lambda s: _answer(s, 500, f"{s.me.name} is running as the primary itself"),
            why="The caller must stop: there must never be two primaries.",
        ),
        Rule(
            "consent.becoming",
            "A server that may become writable is being started here: refuse",
            when=(may_become_writable,),
            then=lambda s: _answer(s, 503, f"{s.me.name} is starting PostgreSQL"),
            why="Whoever agrees must be sure not to write.",
        ),
        Rule(
            "consent.founding",
            "A cluster is being created here: refuse",
            when=(bootstrapping,),
            then=lambda s: _answer(s, 503, f"{s.me.name} is creating a cluster"),
            why="The store has lost what it knew of the caller's; this one takes the lock soon.",
        ),
        Rule(
            "consent.leads",
            "The leader lock is ours: refuse",
            when=(lease_is_certain,),
            then=lambda s: _answer(s, 500, f"{s.me.name} owns the leader lock"),
            why="A promise given after we took the lead would be broken already.",
        ),
        Rule(
            "consent.led",
            "Another member than the caller owns the leader lock: refuse",
            when=(the_caller_does_not_lead,),
            then=lambda s: _answer(s, 503, f"{views.leader_name(s)} owns the leader lock"),
            why="The caller has lost the lock, and somebody else leads.",
        ),
        Rule(
            "consent.promised",
            "We let another primary go on: refuse",
            when=(promised_to_another,),
            then=lambda s: _answer(s, 503, f"promised to {s.memory.consented_to}"),
            why="Two primaries must not both live by our word.",
        ),
        Rule(
            "consent.too_long",
            "The caller counts on our word for longer than the ttl that we know: refuse",
            when=(asks_for_more_than_ttl,),
            then=lambda s: _answer(s, 503, f"ttl is {longest_word_seconds(s):g}s here"),
            why="It would still write when we race; we learn a longer ttl from the store.",
        ),
        Rule(
            "consent.given",
            "Agree, and do not lead for one ttl",
            when=(),
            then=_agree,
            why="The caller counts on it from before it asked, so our promise ends later.",
        ),
    ),
)


def _forget(_: Snapshot) -> tuple[Action, ...]:
    return (Remember({"failsafe_members": {}, "failsafe_sent": {}, "failsafe_sent_over": -1}),)


def _prolong(s: Snapshot) -> tuple[Action, ...]:
    until = agreement.agreed_until(s)
    assert until is not None
    return (
        Report("warning", "the store is silent; the members let this primary go on"),
        Remember({"failsafe_until": until, "failsafe_lease": s.lease.sent_at}),
    )


def _ask(s: Snapshot) -> tuple[Action, ...]:
    ends = views.lease_ends(s)
    assert ends is not None
    left = ends - 2 * views.stop_margin_seconds(s) - s.now
    question = AskFailsafe(
        agreement.to_ask(s), agreement.promise_seconds(s), max(left, 0.1), slots.positions(s)
    )
    return (question, *_wait(s))


def _wait(s: Snapshot) -> tuple[Action, ...]:
    return (Hold("the members to let us go on", s.now + views.ASK_AGAIN_SECONDS),)


FAILSAFE = Table(
    "failsafe",
    "Does this primary need the members' word to go on?",
    applies=(),
    rules=(
        Rule(
            "failsafe.forget",
            "Our lease is over: forget who had to agree",
            when=(failsafe_members_are_known, ~lease_is_certain),
            then=_forget,
            why="Another leader may have changed the list since.",
        ),
        Rule(
            "failsafe.founding",
            "A cluster is being founded here: nobody is asked",
            when=(bootstrapping,),
            then=nothing,
            why="Nobody is served yet, and who has older data may lead as well as this founder.",
        ),
        Rule(
            "failsafe.note",
            "The members that must agree have changed: remember them",
            when=(failsafe_is_on, i_own_the_lock, store_names_me, failsafe_members_differ),
            then=lambda s: (Remember({"failsafe_members": agreement.electorate(s)}),),
            why="When the store falls silent it can't be asked who could race.",
        ),
        Rule(
            "failsafe.off",
            "Failsafe mode is off",
            when=(~failsafe_is_on,),
            then=nothing,
            why="Only the store's word counts.",
        ),
        Rule(
            "failsafe.paused",
            "Maintenance mode: nobody is asked",
            when=(paused,),
            then=nothing,
            why="In pause a silent store demotes nobody, and nobody races.",
        ),
        Rule(
            "failsafe.prolong",
            "The lease was not renewed, and every member agreed that we go on: remember until when",
            when=(renewal_is_overdue, every_member_agreed),
            then=_prolong,
            why="Nobody that could take the lock will, for one ttl from before it was asked.",
        ),
        Rule(
            "failsafe.ask",
            "The lease was not renewed: ask every member to let us go on",
            when=(
                may_accept_writes,
                renewal_is_overdue,
                a_member_is_to_be_asked,
            ),
            then=_ask,
            why="An answer may take as long as there is time before PostgreSQL must stop.",
        ),
        Rule(
            "failsafe.nothing",
            "Nothing to ask",
            when=(),
            then=nothing,
            why="The lease is young, or the answers are under way.",
        ),
    ),
)
