"""Whom to ask over REST, and which answers count: readings that several facts and rules share.

Nothing here decides.
"""

from collections.abc import Iterable

from engine.state import PeerAnswer, Snapshot, Vanished
from engine.views import cluster, other_members

# Answers of peers are good for this long; the race asks again after that.
ANSWER_SECONDS = 3.0
PEER_TIMEOUT_SECONDS = 2.0


def peers_to_ask(s: Snapshot) -> tuple[str, ...]:
    """Members that can be asked over REST.

    For one ttl also those whose keys vanished together with ours: the store lost its content, and
    a primary among them may be alive.  So may one that lost the store, if the members named in
    `failsafe` let it.  Else a member whose own key expired is not waited for.
    """
    members = {v.member.name: v.member for v in _lately_vanished(s) if v.with_ours}
    members |= {m.name: m for m in other_members(s)}
    names = {name for name in members if members[name].api_url}
    view = cluster(s)
    if s.policy.failsafe_mode and view is not None and view.failsafe is not None:
        names |= set(view.failsafe) - {s.me.name}
    return tuple(sorted(names))


def listed_before(s: Snapshot) -> tuple[str, ...]:
    """Whom `failsafe` named, beside us, when the store was last seen to hold the cluster."""
    return tuple(sorted(name for name in s.memory.failsafe_listed if name != s.me.name))


def peers_in_a_race(s: Snapshot) -> tuple[str, ...]:
    """Whom a candidate asks: all that can be asked, and a primary whose own key has gone.

    The lease of the lock carries that key, so where it ended early (a store that breaks its word, a
    key that was deleted) the primary may be alive and writable.
    """
    gone = {
        v.member.name
        for v in _lately_vanished(s)
        if v.member.role == "primary" and v.member.api_url
    }
    return tuple(sorted(gone.union(peers_to_ask(s))))


def _lately_vanished(s: Snapshot) -> list[Vanished]:
    return [
        v for v in s.vanished if v.member.name != s.me.name and s.now - v.at <= s.policy.ttl_seconds
    ]


def answers_since(s: Snapshot, moment: float, names: Iterable[str]) -> bool:
    """Whether every one of these members was asked after `moment`, and not long ago."""
    asked = {a.name: a.asked_at for a in s.peers}
    oldest = max(moment, s.now - ANSWER_SECONDS)
    return all(asked.get(name, -1.0) >= oldest for name in names)


def answers(s: Snapshot) -> tuple[PeerAnswer, ...]:
    """What members said a moment ago, and in a race since the lock is free.

    An older answer says nothing of now, and may be of a member that is not asked any more.
    """
    since = max(s.memory.lock_free_since or 0.0, s.now - ANSWER_SECONDS)
    return tuple(answer for answer in s.peers if answer.asked_at >= since)


def has_not_looked(answer: PeerAnswer) -> bool:
    """Whether a member answers, and does not know its PostgreSQL: its daemon has just started."""
    return answer.reachable and answer.state == "unknown" and answer.role == "uninitialized"


def told_of(answer: PeerAnswer) -> float:
    """From when the position is that it tells, at the earliest."""
    return answer.asked_at if answer.looked_at is None else answer.looked_at


def race_ends_at(s: Snapshot) -> float:
    """When the first answer of those who are asked in a race does not count any more."""
    asked = peers_in_a_race(s)
    return min((s.now, *(a.asked_at for a in answers(s) if a.name in asked))) + ANSWER_SECONDS


def answer_of(s: Snapshot, name: str | None) -> PeerAnswer | None:
    """The answer of that member, if it was asked a moment ago."""
    for answer in answers(s):
        if answer.name == name:
            return answer
    return None
