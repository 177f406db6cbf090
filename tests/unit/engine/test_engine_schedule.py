"""When the loop looks again: in time for every deadline, and never in a spin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.actions import Action, Hold, PublishMember, RenewLock
from engine.decide import run
from engine.schedule import wake_at
from engine.state import Lease
from tests.support.scenes import scene
from tests.support.snapshots import NOW, WALL


def due(base: str, changes: dict[str, Any]) -> float:
    """Seconds until the next look."""
    s = scene(base, changes)
    return wake_at(s, run(s).actions) - NOW


@pytest.mark.parametrize(
    ("base", "changes", "seconds"),
    [
        ("replica", {"published_at": NOW}, 10.0),
        ("replica", {"published_at": NOW - 3}, 7.0),
        ("primary", {"published_at": NOW}, 8.0),  # the lease was renewed 2 s ago
        ("down replica", {"memory.retry_at": NOW + 2}, 2.0),
        ("primary", {"cluster": "silent"}, 1.0),
        (
            "replica",
            {"memory.scheduled_restart": {"scheduled_epoch": 1_790_000_004}, "published_at": NOW},
            4.0,
        ),
    ],
)
def test_the_next_deadline_decides(base: str, changes: dict[str, Any], seconds: float) -> None:
    """Renewal, retries, schedules: the earliest of them, at most one loop_wait."""
    assert due(base, changes) == pytest.approx(seconds)


def test_the_loop_wakes_for_both_stops_before_the_lease_ends() -> None:
    """The orderly stop and the immediate one begin on time, whatever else is waited for."""
    s = scene("primary", {"store_busy_since": NOW - 9, "published_at": NOW})
    early = replace(s, lease=Lease(NOW - 14))
    assert wake_at(early, run(early).actions) - NOW == pytest.approx(6.0)
    late = replace(s, lease=Lease(NOW - 22))
    assert wake_at(late, ()) - NOW == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ("down replica", {"cluster": "silent", "published_at": NOW - 60}),
        ("crashed primary", {"cluster": "silent", "lease": "over", "published_at": NOW - 60}),
        ("primary", {"cluster": "silent", "lease": "over", "published_at": NOW - 60}),
    ],
)
def test_a_store_outage_does_not_make_the_loop_spin(base: str, changes: dict[str, Any]) -> None:
    """What is overdue because the store is silent is tried again once a second."""
    assert due(base, changes) >= 1.0


def test_a_decision_that_ends_early_does_not_make_the_loop_spin() -> None:
    """A member key that is overdue because other rules come first is looked at once a second."""
    changes = {"cluster": "foreign", "policy.pause": True, "published_at": NOW - 60}
    assert due("replica", changes) == pytest.approx(1.0)


def test_an_ended_lease_wakes_nobody() -> None:
    """A lease that is over, or is another's by now, has no renewal to be woken for."""
    assert due("old primary", {"lease": "over", "published_at": NOW}) >= 1.0


def test_a_request_under_way_is_waited_for_by_its_end() -> None:
    """While the store is busy nothing that would have to queue behind it is looked at again."""
    changes = {"store_busy_since": NOW - 2, "published_at": NOW - 60}
    assert due("replica", changes) == pytest.approx(10.0)


# --- one moment at a time -------------------------------------------------------------------------

QUIET = {"published_at": None, "store_busy_since": NOW - 1}


def woken(base: str, changes: dict[str, Any], *actions: Action) -> float:
    """Seconds until the next look after these actions, with nothing else due."""
    return wake_at(scene(base, QUIET | changes), actions) - NOW


@pytest.mark.parametrize(
    ("base", "changes", "seconds"),
    [
        ("replica", {}, 10.0),
        ("replica", {"cluster": "silent"}, 1.0),
        ("primary", {"lease.sent_at": NOW - 14}, 6.0),
        ("primary", {"lease.sent_at": NOW - 20}, 5.0),
        ("primary", {"lease.sent_at": NOW - 25}, 10.0),
        ("crashed primary", {"lease.sent_at": NOW - 14}, 10.0),
        (
            "crashed primary",
            {"lease.sent_at": NOW - 14, "job": {"kind": "start", "since": NOW}},
            6.0,
        ),
        ("primary", {"policy.failsafe_mode": True, "lease.sent_at": NOW - 3}, 8.0),
        ("primary", {"policy.failsafe_mode": False, "lease.sent_at": NOW - 3}, 10.0),
        ("primary", {"policy.failsafe_mode": True, "lease.sent_at": NOW - 11}, 9.0),
        ("primary", {"policy.failsafe_mode": True, "lease": "none"}, 10.0),
        ("replica", {"memory.scheduled_restart": {"scheduled_epoch": WALL + 0.5}}, 0.5),
        ("replica", {"memory.scheduled_restart": {"scheduled_epoch": WALL}}, 10.0),
        ("replica", {"memory.scheduled_restart": {"scheduled_epoch": WALL - 5}}, 10.0),
        ("replica", {"store_busy_since": None, "published_at": NOW - 3}, 7.0),
        ("replica", {"store_busy_since": None, "published_at": NOW - 60}, 1.0),
        ("replica", {"store_busy_since": None}, 10.0),
        ("primary", {"store_busy_since": None, "lease.sent_at": NOW - 4}, 6.0),
        ("old primary", {"store_busy_since": None, "lease.sent_at": NOW - 4}, 10.0),
    ],
)
def test_every_moment_wakes_by_itself(base: str, changes: dict[str, Any], seconds: float) -> None:
    """What is past wakes nobody, or once a second where it is held up."""
    assert woken(base, changes) == pytest.approx(seconds)


def test_what_is_done_now_needs_no_moment() -> None:
    """A renewal and a member key that this decision writes are due a whole loop from now."""
    free = {"store_busy_since": None, "published_at": NOW - 3, "lease.sent_at": NOW - 4}
    assert woken("primary", free, PublishMember({})) == pytest.approx(6.0)
    assert woken("primary", free, RenewLock()) == pytest.approx(7.0)
    assert woken("primary", free, RenewLock(), PublishMember({})) == pytest.approx(10.0)
    assert woken("primary", free, Hold("somebody")) == pytest.approx(6.0)
    assert woken("primary", free, Hold("somebody", NOW + 2)) == pytest.approx(2.0)
