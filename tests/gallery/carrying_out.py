"""Mistakes in what carries decisions out: requests, their answers, the order of effects, the fence.

Belongs here: bugs that the shell could have, made in the search's picture of it.
"""

from __future__ import annotations

from typing import Any

from engine import asking
from engine.actions import ReleaseLock
from engine.decide import RULES
from proof.search import effects, synchronous
from proof.search.model import Node, Op, Shared, View, World
from tests.gallery import breaking, catching
from tests.gallery.breaking import Breaking
from tests.gallery.mistake import Mistake
from tests.gallery.small_worlds import (
    FROZEN,
    KEYS_LOST,
    LATE_KEY,
    NO_FAULT,
    RELEASED_LATE,
    RESTART_WHILE_FROZEN,
    SLOW_AND_SILENT,
    SWITCHOVER,
    two_standbys,
)


def _from_the_answer(right: Any) -> Any:
    def answered(node: Node, op: Op, answer: bool, _age: float) -> Any:
        return right(node, op, answer, 0.0)

    return answered


def _taken_from_anybody(right: Any) -> Any:
    def handled(world: World, n: int, op: Op, shared: Shared) -> Any:
        if op[0] == "acquire":
            shared = shared._replace(view=shared.view._replace(leader=None))
        return right(world, n, op, shared)

    return handled


def _whatever_the_store_holds(right: Any) -> Any:
    def handled(world: World, n: int, op: Op, shared: Shared) -> Any:
        return right(world, n, ("acquire", False) if op[0] == "acquire" else op, shared)

    return handled


def _sent_is_done(right: Any) -> Any:
    def slow_request(node: Node) -> Any:
        op = node.pending[0]
        return effects.answered(right(node), op, True, 0.0)

    return slow_request


def _over_whatever_is_there(right: Any) -> Any:
    def written(n: int, op: Op, view: View) -> Any:
        revision = 0 if view.sync is None else view.sync.revision
        return right(n, (*op[:3], revision), view)

    return written


def _handover_before_the_stop() -> Breaking:
    then = RULES["primary.handover"].then
    too_early = ReleaseLock(None, "too early")
    return breaking.rule_gives("primary.handover", lambda s: (*then(s), too_early))


CARRYING_OUT: tuple[Mistake, ...] = (
    Mistake(
        "age-of-the-request-forgotten",
        "A renewal that took long counts from when its answer came",
        "two primaries for as long as the answer took",
        breaking.function_is(effects, "answered", _from_the_answer),
        (catching.search(SLOW_AND_SILENT),),
    ),
    Mistake(
        "taken-whoever-owns-it-by-then",
        "The leader key is written, not created only if it is absent",
        "both members that race become primary",
        breaking.function_is(effects, "handled", _taken_from_anybody),
        (catching.search(NO_FAULT, two_standbys(NO_FAULT)),),
    ),
    Mistake(
        "taken-in-a-store-that-lost-its-keys",
        "The leader key is created whether or not the store still holds the cluster",
        "who decided to take the lock takes it beside one that had it when the keys were lost",
        breaking.function_is(effects, "handled", _whatever_the_store_holds),
        (catching.search(KEYS_LOST, two_standbys(KEYS_LOST)),),
    ),
    Mistake(
        "asked-for-however-late",
        "A candidate asks for the lock however long after its race",
        "a daemon that was frozen leads with old positions, past those who led meanwhile",
        breaking.function_is(asking, "race_ends_at", lambda _: lambda s: s.now + 3600.0),
        (catching.promises_of_the_race,),
    ),
    Mistake(
        "a-lost-answer-is-a-yes",
        "A request whose answer does not come counts as done",
        "a lease that the store never gave, and a second primary after it",
        breaking.function_is(effects, "slow_request", _sent_is_done),
        (catching.search(SLOW_AND_SILENT),),
    ),
    Mistake(
        "a-late-release-hits-the-next-lease",
        "A release deletes the leader key whatever became of it since it was sent",
        "the lock is free while its owner writes",
        breaking.function_is(effects, "overtaken", lambda _: lambda node, *_seen: node),
        (catching.search(RELEASED_LATE),),
    ),
    Mistake(
        "begun-whenever-its-turn-comes",
        "A start as primary begins however late its turn comes",
        "it comes up writable after another member has taken over",
        breaking.function_is(effects, "_left", lambda _: lambda _moment: None),
        (catching.search(RESTART_WHILE_FROZEN),),
    ),
    Mistake(
        "released-before-the-stop-has-ended",
        "A switchover releases the lock when the stop begins, not when it has ended",
        "the next primary is promoted while the old one still answers clients",
        _handover_before_the_stop(),
        (catching.promises, catching.search(SWITCHOVER)),
    ),
    Mistake(
        "the-fence-sleeps",
        "The fence's deadline passes and it ends nothing",
        "a daemon that hangs leaves a second primary behind",
        breaking.function_is(effects, "fired", lambda _: lambda node: node._replace(fence=None)),
        (catching.search(FROZEN),),
    ),
    Mistake(
        "written-over-whatever-is-there",
        "The `sync` key is written whatever its version is by then",
        "a write that comes late names a standby that has lost its place, and a commit with it",
        breaking.function_is(synchronous, "written", _over_whatever_is_there),
        (catching.search(LATE_KEY),),
    ),
)
