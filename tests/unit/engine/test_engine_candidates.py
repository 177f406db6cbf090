"""Who may take over: in synchronous mode, by an operator's word, and with what it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import candidates, synchronous
from engine.facts.following import has_diverged
from engine.state import SyncState
from shell.recorder.codec import encode
from tests.support.scenes import peer, scene
from tests.support.snapshots import LSN, standby_server


def test_only_a_failover_by_hand_may_name_an_asynchronous_member() -> None:
    """A switchover keeps every acknowledged commit; in quorum mode the votes see to that."""
    by_hand = {"leader": None, "candidate": "n3", "scheduled_epoch": None, "revision": 9}

    failover = scene("sync race", {"cluster.failover": {"@": "FailoverRequest", **by_hand}})
    planned = {"@": "FailoverRequest", **by_hand, "leader": "n1"}
    switchover = scene("sync race", {"cluster.failover": planned})
    voted = scene("sync race", {"cluster.failover": planned, "policy.synchronous_mode": "quorum"})

    assert candidates.is_chosen_by_hand(failover, "n3")
    assert not candidates.is_chosen_by_hand(failover, "n2")
    assert not candidates.is_chosen_by_hand(switchover, "n3")
    assert candidates.is_chosen_by_hand(voted, "n3")


def test_without_slots_a_connection_is_known_by_its_name_alone() -> None:
    """With use_slots off there is no slot by which a borrowed name would show."""
    with_slots = scene("sync primary", {"postgres.server.slots": []})
    without = scene("sync primary", {"postgres.server.slots": [], "policy.use_slots": False})

    assert not synchronous.fit(with_slots)
    assert {x.name for x in synchronous.fit(without)} == {"n2", "n3"}


def test_what_was_found_diverged_while_it_ran_stays_diverged() -> None:
    """The control file of a standby that went down may tell less than the running one knew."""
    assert not has_diverged.holds(scene("old primary", {}))
    assert has_diverged.holds(scene("old primary", {"memory.diverged_from": 4}))
    assert not has_diverged.holds(scene("old primary", {"memory.diverged_from": 3}))


# --- who has more ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "more"),
    [
        ({}, {}, 0),
        ({}, {"lsn": LSN + 1}, 1),
        ({}, {"lsn": LSN - 1}, -1),
        ({}, {"lsn": None}, -1),
        ({"receive_lsn": None, "replay_lsn": None}, {}, 1),
        ({"receive_lsn": None, "replay_lsn": None}, {"lsn": None}, 1),
        ({}, {"timeline": 4, "lsn": LSN - 1}, 1),
        ({}, {"timeline": 2, "lsn": LSN + 1}, -1),
        ({}, {"timeline": None, "lsn": LSN + 1}, 1),
        ({"timeline": None}, {"timeline": 2, "lsn": LSN + 1}, 1),
        ({"receive_lsn": LSN - 5}, {}, 0),
        ({"replay_lsn": LSN + 5}, {}, -1),
    ],
)
def test_a_newer_timeline_outweighs_a_position(
    ours: dict[str, Any], theirs: dict[str, Any], more: int
) -> None:
    """Positions count where the timelines are the same, or one is unknown; unknown is least."""
    assert candidates.compare(standby_server(**ours), peer("n3", **theirs)) == more


def test_a_server_that_gives_no_answer_has_less_than_any() -> None:
    """Unknown is never good news about ourselves."""
    assert candidates.compare(None, peer("n3")) == 1
    assert candidates.compare(None, peer("n3", lsn=None)) == 1


# --- who is refused -------------------------------------------------------------------------------

CHECKED = {"policy.check_timeline": True}


@pytest.mark.parametrize(
    ("changes", "fields", "fit"),
    [
        (CHECKED, {"timeline": 3}, True),
        (CHECKED, {"timeline": 4}, True),
        (CHECKED, {"timeline": 2}, False),
        (CHECKED, {"timeline": None}, False),
        (CHECKED | {"cluster.history": None}, {"timeline": None}, True),
        (CHECKED | {"cluster.history": []}, {"timeline": 1}, True),
        (CHECKED | {"cluster.history": []}, {"timeline": None}, False),
        ({"postgres": "silent primary"}, {"lsn": LSN - 1048576}, True),
        ({"postgres": "silent primary"}, {"lsn": LSN - 1048577}, False),
        ({"postgres": "silent primary", "cluster": "silent"}, {"lsn": 1}, True),
        ({"postgres": "silent primary", "cluster.optime": None}, {"lsn": 1}, True),
    ],
)
def test_a_candidate_is_measured_by_what_is_known(
    changes: dict[str, Any], fields: dict[str, Any], fit: bool
) -> None:
    """Our own position, else the last published one; the cluster's timeline, if it is told."""
    assert (candidates.refusal(scene("primary", changes), peer("n2", **fields)) == "") is fit


@pytest.mark.parametrize(
    ("changes", "name", "lag", "held_back"),
    [
        ({}, "n2", 1048577, True),
        ({}, "n2", 1048576, False),
        ({}, "n2", None, False),
        ({}, "n1", 1048577, False),
        ({"policy.synchronous_mode": "quorum"}, "n1", 1048577, False),
        ({"policy.synchronous_mode": "quorum"}, "n2", 1048577, True),
        ({"policy.synchronous_mode": "off"}, "n1", 1048577, True),
        (
            {"policy.standby_cluster": {"@": "RemotePrimary", "host": "10.9.0.1"}},
            "n1",
            1048577,
            True,
        ),
        ({"cluster.sync": None}, "n1", 1048577, True),
        ({"cluster": "silent"}, "n1", 1048577, True),
    ],
)
def test_no_lag_holds_back_the_leader_that_sync_names(
    changes: dict[str, Any], name: str, lag: int | None, *, held_back: bool
) -> None:
    """It lacks nothing that was acknowledged; a synchronous standby is measured like any other."""
    assert candidates.lags_too_far(scene("sync race", changes), name, lag) is held_back


def test_the_leader_that_sync_names_is_not_refused_for_its_lag() -> None:
    """Who races and who is asked to lead are measured alike."""
    claimed = SyncState("n2", (), 0, 3)
    s = scene("sync primary", {"cluster.sync": encode(claimed)})
    assert candidates.refusal(s, peer("n2", lsn=LSN - 1048577)) == ""
    other = scene("sync primary", {})
    assert "1048577 bytes behind" in candidates.refusal(other, peer("n2", lsn=LSN - 1048577))


def test_an_operators_word_lets_an_asynchronous_member_lead() -> None:
    """A failover by hand names it; without the name, or in a switchover, it is refused."""
    by_hand = {"leader": None, "candidate": "n3", "scheduled_epoch": None, "revision": 9}
    s = scene("sync primary", {"cluster.failover": {"@": "FailoverRequest", **by_hand}})
    assert candidates.refusal(s, peer("n3")) == ""
    assert candidates.refusal(scene("sync primary", {}), peer("n3")) != ""
    assert [a.name for a in candidates.wanted(replace(s, peers=(peer("n2"), peer("n3"))))] == ["n3"]
    free = replace(scene("primary", {}), peers=(peer("n3"), peer("n2")))
    assert [a.name for a in candidates.wanted(free)] == ["n2", "n3"]


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, False),
        ({"policy.synchronous_mode": "off"}, True),
        ({"policy.standby_cluster": "far"}, True),
        ({"cluster": "silent"}, True),
        ({"cluster": "healthy"}, True),
    ],
)
def test_sync_binds_only_where_it_is_in_use(changes: dict[str, Any], may: bool) -> None:
    """With the mode off, in a standby cluster, or without a key, whoever is up to date may lead."""
    assert candidates.may_lead_in_sync_mode(scene("sync race", changes), "n3") is may
