"""Who may take over: in synchronous mode, by an operator's word, and with what it has."""

from __future__ import annotations

from engine import candidates, synchronous
from engine.facts.race import has_diverged
from tests.support.scenes import scene


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
