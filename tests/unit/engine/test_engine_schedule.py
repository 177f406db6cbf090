"""When the loop looks again: in time for every deadline, and never in a spin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.decide import run
from engine.schedule import wake_at
from engine.state import Lease
from tests.support.scenes import NOW, scene


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
