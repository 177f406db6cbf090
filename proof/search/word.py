"""Failsafe mode in the small world: questions to the members, and their word.

Belongs here: the questions on their way, who waits for an answer, what was answered.  Does not
belong here: who asks, and who agrees, which is the engine's.  A question is known by whom it is
from and how old it is: nobody is asked twice in one tick.  Who is neither frozen nor apart answers
before the next one; an answer that does not come by then is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from engine.state import FailsafeAnswer, FailsafeCall
from proof.search.model import NAMES, Node, Op, Shared, Word, World

ACCEPTED, LEADS = 200, 500
# Of the memory: what only counts while something else does.
_PROLONGED = ("failsafe_until", "failsafe_lease")
_PROMISED = ("consented_until", "consented_to")


class Mouth(NamedTuple):
    """What other nodes can hear of a node that they reach."""

    questions: tuple[tuple[int, float], ...]
    replies: tuple[tuple[int, float, int], ...]


def first(world: World) -> Word | None:
    """A daemon that nobody has asked, and that has run for long."""
    return Word(world.policy.ttl_seconds) if world.policy.failsafe_mode else None


def mouth(node: Node) -> Mouth | None:
    """What others can hear of that node; None if nobody can, nor can it hear others."""
    word = node.word
    if word is None or not node.up or node.frozen or node.cut:
        return None
    return Mouth(word.asked, word.replies)


def is_awaited(mouths: Sequence[Mouth | None]) -> bool:
    """Whether a member asked another, and both can go on: then its answer comes in time."""
    return any(
        mouths[to] is not None for heard in mouths if heard is not None for to, _ in heard.questions
    )


# --- what happens ---------------------------------------------------------------------------------


def asks(node: Node, op: Op) -> Node:
    """It asks the members from whom it does not await an answer already."""
    assert node.word is not None
    awaited = {to for to, _ in node.word.asked}
    asked = (*node.word.asked, *((to, 0.0) for to in op[1] if to not in awaited))
    return node._replace(word=node.word._replace(asked=tuple(sorted(asked))))


def answers(node: Node, op: Op) -> Node:
    """It answers the oldest question that waits here; nobody hears an answer after the tick."""
    assert node.word is not None
    if not node.word.calls:
        return node
    (caller, age), *others = node.word.calls
    replies = tuple(sorted((*node.word.replies, (caller, age, op[1]))))
    return node._replace(word=node.word._replace(calls=tuple(others), replies=replies))


def steps(n: int, node: Node, mouths: Sequence[Mouth | None]) -> Iterator[tuple[str, Node]]:
    """A question arrives here, or an answer does."""
    word = node.word
    if word is None or not node.up or node.frozen or node.cut:
        return
    answering = any(op[0] == "answer" for op in node.pending)  # it is one of an earlier question
    for k, heard in enumerate(mouths):
        for to, age in heard.questions if heard else ():
            known = (k, age) in word.calls or any(x[:2] == (k, age) for x in word.replies)
            if to == n and not known and not answering:
                calls = (*word.calls, (k, age))
                yield f"{NAMES[k]}'s question arrives", _with(node, calls=calls)
        for caller, age, status in heard.replies if heard else ():
            if caller == n and (k, age) in word.asked:
                asked = tuple(x for x in word.asked if x[0] != k)
                said = _newest(word, k, age, status)
                yield f"{NAMES[k]} answers {status}", _with(node, asked=asked, heard=said)


def _newest(word: Word, k: int, age: float, status: int) -> tuple[tuple[int, float, int], ...]:
    return tuple(sorted((*(x for x in word.heard if x[0] != k), (k, age, status))))


def _with(node: Node, **changes: Any) -> Node:
    assert node.word is not None
    return node._replace(word=node.word._replace(**changes))


def older(world: World, node: Node) -> Word | None:
    """A tick later nobody waits for an answer, and whoever was asked answers to nobody."""
    word = node.word
    if word is None:
        return None
    ttl, tick = world.policy.ttl_seconds, world.tick
    heard = {n: (age, status) for n, age, status in word.heard}
    heard |= {n: (age, 0) for n, age in word.asked}
    return Word(
        min(word.born + tick, ttl) if node.up else 0.0,
        heard=tuple(
            (n, min(age + tick, ttl), status) for n, (age, status) in sorted(heard.items())
        ),
    )


# --- what the engine sees -------------------------------------------------------------------------


def calls(world: World, node: Node, now: float) -> tuple[FailsafeCall, ...]:
    """The questions that wait here."""
    waiting = () if node.word is None else node.word.calls
    ttl = world.policy.ttl_seconds
    return tuple(FailsafeCall(n, NAMES[k], now, ttl) for n, (k, _) in enumerate(waiting))


def heard(world: World, node: Node, asked_now: float) -> tuple[FailsafeAnswer, ...]:
    """What the members answered; `asked_now` is a hair before this instant."""
    said = () if node.word is None else node.word.heard
    ttl = world.policy.ttl_seconds
    return tuple(
        FailsafeAnswer(
            NAMES[n], asked_now - age, ttl, status == ACCEPTED, status == LEADS, str(status)
        )
        for n, age, status in said
    )


def prolonged(memory: dict[str, Any]) -> float:
    """For how long, by the members' word, the present lease lasts at least."""
    return float(memory.get("failsafe_until", 0.0)) if "failsafe_lease" in memory else 0.0


def alike(world: World, node: Node) -> Word | None:
    """What was heard, without what counts no more.

    A refusal counts for a moment: then it is asked again.  An agreement counts while it may prolong
    the lease; that a member leads, until the next renewal; and both until a hand-over is due.
    """
    word = node.word
    if word is None or not word.heard or "switchover" in world.faults:
        return word
    ttl = world.policy.ttl_seconds
    sent = ttl if node.sent is None else node.sent
    ends_in = max(ttl - sent, prolonged(dict(node.memory)))
    kept = tuple(
        (n, age, status)
        for n, age, status in word.heard
        if age == 0
        or (status == ACCEPTED and ttl - age > ends_in)
        or (status == LEADS and node.sent is not None and age < sent)
    )
    return word._replace(heard=kept)


def alike_memory(memory: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """The memory without halves of what needs both: a promise and to whom, a time and its lease."""
    names = {name for name, _ in memory}
    gone = {name for pair in (_PROLONGED, _PROMISED) if not names.issuperset(pair) for name in pair}
    return tuple(item for item in memory if item[0] not in gone) if gone & names else memory


# --- names ----------------------------------------------------------------------------------------


def renamed(word: Word, order: Sequence[int]) -> Word:
    """The same, with the nodes in another order; questions that wait keep theirs."""
    place = {n: k for k, n in enumerate(order)}
    return word._replace(
        asked=tuple(sorted((place[n], age) for n, age in word.asked)),
        calls=tuple((place[n], age) for n, age in word.calls),
        replies=tuple(sorted((place[n], age, status) for n, age, status in word.replies)),
        heard=tuple(sorted((place[n], age, status) for n, age, status in word.heard)),
    )


def renamed_memory(
    memory: tuple[tuple[str, Any], ...], place: dict[Any, Any]
) -> tuple[tuple[str, Any], ...]:
    """What is remembered, with the nodes in other places."""
    out = []
    for name, value in memory:
        if name == "failsafe_members":
            out.append((name, tuple(sorted(place[n] for n in value))))
        else:
            out.append((name, place[value] if name == "consented_to" and value != "" else value))
    return tuple(out)


def is_out(node: Node, shared: Shared) -> bool:
    """Whether the store is silent to that node."""
    return node.silent or shared.silent
