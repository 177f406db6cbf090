"""Who can win a race besides us: who gets the votes, who is not too far, and who is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.decide import run
from engine.facts.race import a_peer_is_ahead, a_peer_is_preferred, somebody_else_can_lead
from engine.facts.sync import gets_votes, named_candidate_gets_votes
from engine.state import FailoverRequest, Snapshot, SyncState
from shell.recorder.codec import encode
from tests.support.scenes import peer, scene, silent_peer
from tests.support.snapshots import LSN, NOW, WALL

ALLOWED = 1048576  # maximum_lag_on_failover
N1_AND_N2 = SyncState("n1", ("n2",), 0, 3)
UNKNOWN = {"postgres.server.receive_lsn": None, "postgres.server.replay_lsn": None}


def race(n3: dict[str, Any], n1: dict[str, Any] | None = None, **changes: Any) -> Snapshot:
    """n2 races in mode `quorum`: n1 led, n2 and n3 are the voters, one of whom must be seen.

    n3 answered like this, and n1 too, if anything is given for it.
    """
    former = silent_peer("n1") if n1 is None else peer("n1", **n1)
    quorum = {"policy.synchronous_mode": "quorum", "cluster": "quorum, free"}
    s = scene("race", quorum | {k.replace("__", "."): v for k, v in changes.items()})
    return replace(s, peers=(former, peer("n3", **n3)))


# --- votes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "lsn", "votes"),
    [
        ({}, LSN, True),  # ours
        ({}, LSN + 1, True),
        ({}, LSN - 1, False),
        (UNKNOWN, LSN, False),
        ({"postgres": "silent standby"}, LSN, False),
        ({"policy.synchronous_mode": "on"}, LSN - 1, True),
        ({"policy.synchronous_mode": "off"}, LSN - 1, True),
        ({"memory.lock_free_since": None}, LSN, True),
        ({"cluster": "free"}, LSN - 1, True),
        ({"cluster": "silent"}, LSN - 1, True),
    ],
)
def test_a_candidate_gets_the_votes_of_who_has_no_more(
    changes: dict[str, Any], lsn: int, votes: bool
) -> None:
    """Only in mode `quorum`, and by a `sync` key, they are needed at all."""
    s = race({"lsn": lsn}, **changes)
    assert gets_votes(s, s.peers[1]) is votes


@pytest.mark.parametrize(
    ("quorum", "n1", "votes"), [(1, None, True), (2, None, False), (2, {}, True)]
)
def test_silence_is_no_vote(quorum: int, n1: dict[str, Any] | None, votes: bool) -> None:
    """As many as the key says must be seen; the former leader, back as a standby, is one."""
    s = race({}, n1, cluster__sync=encode(SyncState("n1", ("n2", "n3"), quorum, 3)))
    assert gets_votes(s, s.peers[1]) is votes


def test_the_leader_that_sync_names_needs_no_votes() -> None:
    """It has all that was acknowledged, however little that is."""
    s = race({}, {"lsn": LSN - 1})
    assert gets_votes(s, s.peers[0])
    led_by_n3 = replace(N1_AND_N2, leader="n3", standbys=("n1", "n2"), quorum=1)
    other = race({}, {"lsn": LSN - 1}, cluster__sync=encode(led_by_n3))
    assert not gets_votes(other, other.peers[0])


@pytest.mark.parametrize(
    ("quorum", "n1", "votes"), [(0, None, True), (1, None, False), (1, {}, True), (2, {}, False)]
)
def test_a_candidate_that_is_not_named_needs_one_vote_more(
    quorum: int, n1: dict[str, Any] | None, votes: bool
) -> None:
    """It does not count as one of those who have what was acknowledged."""
    s = race({}, n1, cluster__sync=encode(replace(N1_AND_N2, quorum=quorum)))
    assert gets_votes(s, s.peers[1]) is votes


@pytest.mark.parametrize(
    ("candidate", "lsn", "votes"),
    [
        (None, LSN - 1, True),
        ("n3", LSN, True),
        ("n3", LSN - 1, False),
        ("n9", LSN - 1, True),
    ],
)
def test_the_named_candidate_is_measured_by_its_answer(
    candidate: str | None, lsn: int, votes: bool
) -> None:
    """Nothing speaks against who is not named, or gave no answer."""
    request = encode(FailoverRequest("n1", candidate, None, 7))
    assert named_candidate_gets_votes.holds(race({"lsn": lsn}, cluster__failover=request)) is votes
    assert named_candidate_gets_votes.holds(race({"lsn": lsn}))


# --- rivals ---------------------------------------------------------------------------------------

ALL = encode(SyncState("n1", ("n2", "n3"), 2, 3))  # whoever wins has to see both of the others


@pytest.mark.parametrize(
    ("changes", "n1", "can_win"),
    [
        ({}, None, True),
        ({"cluster__sync": ALL}, None, False),
        ({"cluster__sync": ALL}, {"lsn": LSN - 1}, True),
        ({"cluster__sync": ALL, "policy__synchronous_mode": "on"}, None, True),
    ],
)
def test_who_gets_too_few_votes_is_not_waited_for(
    changes: dict[str, Any], n1: dict[str, Any] | None, can_win: bool
) -> None:
    """It can't win, whatever it has, and however much it is preferred."""
    assert a_peer_is_ahead.holds(race({"lsn": LSN + 1}, n1, **changes)) is can_win
    preferred = race({"failover_priority": 2}, n1, **changes)
    assert a_peer_is_preferred.holds(preferred) is can_win
    assert somebody_else_can_lead.holds(preferred) is can_win


@pytest.mark.parametrize(
    ("changes", "behind", "can_win"),
    [
        ({}, ALLOWED, True),
        ({}, ALLOWED + 1, False),
        ({"cluster.optime": None}, ALLOWED + 1, True),
        ({"policy.maximum_lag_on_failover_bytes": ALLOWED + 1}, ALLOWED + 1, True),
    ],
)
def test_who_lags_too_far_is_not_waited_for(
    changes: dict[str, Any], behind: int, can_win: bool
) -> None:
    """Nor is it on a newer timeline; where no leader has told how far it was, nobody lags."""
    s = scene("race", changes)
    newer = peer("n3", timeline=4, lsn=LSN - behind)
    assert a_peer_is_ahead.holds(replace(s, peers=(newer,))) is can_win


def test_who_tells_no_position_is_no_rival() -> None:
    """Nobody knows that it lags, and nobody knows that it does not."""
    unknown = peer("n3", timeline=4, lsn=None, failover_priority=2)
    s = replace(scene("race", {}), peers=(unknown,))
    assert not a_peer_is_ahead.holds(s)
    assert not a_peer_is_preferred.holds(s)


# --- the candidate of a scheduled switchover ------------------------------------------------------


def switchover(candidate: str, due_for: float | None, free_for: float) -> dict[str, Any]:
    """One from n1, that is due, and the lock free, for so long."""
    epoch = None if due_for is None else WALL - due_for
    return {
        "cluster.failover": encode(FailoverRequest("n1", candidate, epoch, 7)),
        "memory.lock_free_since": NOW - free_for,
    }


def race_rule(changes: dict[str, Any], n3_has: int, wall: float = WALL) -> str:
    """What n2 decides in the race by this clock, after n1 was lost, when n3 has so much WAL."""
    peers = (silent_peer("n1"), peer("n3", lsn=n3_has))
    s = replace(scene("race", changes), peers=peers, wall=wall)
    return next(rule for rule in run(s).fired if rule.startswith("race."))


@pytest.mark.parametrize(
    ("due_for", "free_for", "decided"),
    [
        (29.9, 29.9, "race.give_way_to_named"),
        (29.9, 300.0, "race.give_way_to_named"),
        (300.0, 29.9, "race.give_way_to_named"),
        (30.0, 30.0, "race.acquire"),
        (-1.0, 300.0, "race.acquire"),
        (None, 300.0, "race.give_way_to_named"),
    ],
)
def test_the_candidate_of_a_scheduled_switchover_is_preferred_for_one_ttl(
    due_for: float | None, free_for: float, decided: str
) -> None:
    """Then somebody leads that has more, whatever the candidate's clock says."""
    assert race_rule(switchover("n3", due_for, free_for), LSN - 1) == decided


@pytest.mark.parametrize("free_for", [1.0, 30.0, 3900.0])
def test_a_candidate_with_less_wal_waits_until_its_own_clock_says_so(free_for: float) -> None:
    """So nobody may wait for it without an end."""
    due = switchover("n2", free_for, free_for)
    assert race_rule(due, LSN + 1, WALL - 4000) == "race.peer_ahead"
    assert race_rule(due, LSN + 1) == "race.named"
