"""A primary whose required fence is gone and does not come back: it hands the lead over, if it can.

To stop at once would turn a lost helper into an outage; to go on for ever would break the promise
that `required` makes.  So it gets one ttl to come back, then a fit member takes over cleanly.
"""

from engine import asking, candidates, views
from engine.actions import Action, Remember, Report, StopPostgres
from engine.facts.lease import (
    fence_is_missing,
    fence_loss_is_noted,
    fence_missing_for_ttl,
    i_own_the_lock,
)
from engine.facts.work import paused, peers_answered, somebody_can_take_over
from engine.rule import Rule
from engine.state import Snapshot
from engine.tables.steps import ask


def _hand_over(s: Snapshot) -> tuple[Action, ...]:
    names = ", ".join(a.name for a in candidates.fit(s))
    return (
        Report("warning", f"no fence for a whole ttl ({s.fence.why}): handing over to {names}"),
        Remember({"standing_down_since": s.now, "fence_missing_since": None}),
        StopPostgres("fast", f"no fence, hand-over to {names}", checkpoint_first=True),
    )


def _go_on(s: Snapshot) -> tuple[Action, ...]:
    by_name = sorted(asking.answers(s), key=views.BY_NAME)
    why = "; ".join(filter(None, (candidates.refusal(s, a) for a in by_name))) or "no other member"
    return (
        Report(
            "error",
            f"this primary runs without the fence that fence.mode requires ({s.fence.why}), and "
            f"nobody can take over: {why}. Start the fence again, or set fence.mode to automatic",
        ),
    )


RULES = (
    Rule(
        "primary.fence_back",
        "The fence is there again",
        when=(fence_loss_is_noted, ~fence_is_missing),
        then=lambda _: (Remember({"fence_missing_since": None}),),
        why="The next loss begins anew.",
    ),
    Rule(
        "primary.fence_lost",
        "The fence that the configuration requires is gone: remember since when",
        when=(i_own_the_lock, fence_is_missing, ~fence_loss_is_noted, ~paused),
        then=lambda s: (Remember({"fence_missing_since": s.now}),),
        why="It is started again at once; only one that stays away is a reason to hand over.",
    ),
    Rule(
        "primary.fence_ask",
        "No fence for a whole ttl: ask who could take over",
        when=(i_own_the_lock, fence_missing_for_ttl, ~peers_answered, ~paused),
        then=ask,
        why="PostgreSQL is stopped only when somebody can take its place.",
    ),
    Rule(
        "primary.fence_handover",
        "No fence for a whole ttl, and a member can take over: checkpoint, then stop",
        when=(i_own_the_lock, fence_missing_for_ttl, somebody_can_take_over, ~paused),
        then=_hand_over,
        why="The configuration wants no primary without a fence; a clean hand-over loses nothing.",
    ),
    Rule(
        "primary.fence_alone",
        "No fence for a whole ttl, and nobody can take over: go on, and say so",
        when=(i_own_the_lock, fence_missing_for_ttl, ~paused),
        then=_go_on,
        why="Without a successor a stop would be an outage, and nobody else could lead wrongly.",
    ),
)
