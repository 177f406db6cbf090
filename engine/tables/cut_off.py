"""Whom a standby follows while it is cut off from the store: rules that three tables share.

Of a standby that runs, of one that gives no answer, and of one that is being started.
"""

from collections.abc import Callable

from engine import former, lineage, views
from engine.actions import Action, AskLeader, Follow, Hold, Remember
from engine.facts.former import (
    follows_a_server,
    former_upstream_has_our_wal,
    former_upstream_is_known,
    former_upstream_was_asked,
)
from engine.facts.lease import store_answers
from engine.facts.standby_cluster import in_standby_cluster
from engine.rule import Fact, Rule
from engine.state import Snapshot


def _ask(s: Snapshot) -> tuple[Action, ...]:
    of = former.upstream(s)
    asked = () if of is None else (AskLeader(of, lineage.end_of_wal(s)),)
    soon = s.now + views.ASK_AGAIN_SECONDS
    return (*asked, Hold("the store, or our upstream to tell its timeline", soon))


def _turn_away(s: Snapshot) -> tuple[Action, ...]:
    at = former.address(s)
    noted = () if at == s.memory.former_upstream else (Remember({"former_upstream": at}),)
    return (*noted, Follow(None), *_ask(s))


def _follow_again(s: Snapshot) -> tuple[Action, ...]:
    return (Follow(former.upstream(s)), Hold("the store to answer", s.now + 1.0))


def cut_off_rules(
    table: str,
    who: str,
    when: tuple[Fact, ...],
    lost: tuple[Fact, ...] = (),
    waits: Callable[[Snapshot], tuple[Action, ...]] = lambda _: (),
) -> tuple[Rule, ...]:
    """How such a standby streams from nobody unasked; `lost`: when it is time to turn away."""
    alone = (~store_answers, *when, ~in_standby_cluster)
    return (
        Rule(
            f"{table}.cut_off",
            f"{who}, the store is silent, and our upstream has not shown our WAL: follow nobody",
            when=(*alone, follows_a_server, *lost, ~former_upstream_has_our_wal),
            then=lambda s: (*_turn_away(s), *waits(s)),
            why="Somebody else may lead by now, and that server be copied anew from it: it would "
            "come back with other WAL on a timeline of our number, and PostgreSQL stream from it.",
        ),
        Rule(
            f"{table}.cut_off_follow",
            f"{who}, the store is silent, and the server that we followed has our WAL: follow it",
            when=(*alone, ~follows_a_server, former_upstream_is_known, former_upstream_has_our_wal),
            then=lambda s: (*_follow_again(s), *waits(s)),
            why="A primary that goes on without the store keeps its standbys, also when it or the "
            "connection was gone for a moment.",
        ),
        Rule(
            f"{table}.cut_off_ask",
            f"{who}, and the store is silent: ask the server that we follow, or did",
            when=(*alone, former_upstream_is_known, ~former_upstream_was_asked),
            then=lambda s: (*_ask(s), *waits(s)),
            why="Only the WAL itself tells whether it still is the server that we followed.",
        ),
    )
