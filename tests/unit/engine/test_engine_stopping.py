"""An immediate stop sends SIGKILL in time for the lease."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.actions import StopPostgres
from engine.facts import stopping
from engine.state import Job, JobKind
from engine.tables import safety
from tests.support.scenes import scene
from tests.support.snapshots import NOW


@pytest.mark.parametrize(
    ("ttl", "sent_ago", "left"),
    [
        (30.0, 25.0, 3.25),  # E - m until E - 0.35m
        (20.0, 16.0, 2.6),
        (5.0, 4.0, 0.65),
        (5.0, 4.8, 0.0),
        (5.0, 9.0, 0.0),
        (30.0, 0.0, 5.0),
    ],
)
def test_the_moment_follows_from_the_lease(ttl: float, sent_ago: float, left: float) -> None:
    """As the fence would; never before now, and never after five seconds."""
    lease = {"lease.sent_at": NOW - sent_ago, "lease.ttl_seconds": ttl}
    s = scene("primary", {"policy.ttl_seconds": ttl, "cluster": "silent", **lease})
    assert stopping.kills_at(s) == pytest.approx(NOW + left)


@pytest.mark.parametrize(
    "changes",
    [
        {"lease": "refused"},
        {"lease": "none"},
        {"cluster": "n2 leads"},
        {"cluster": "free"},
        {"memory.lease_void": NOW - 2, "cluster": "silent"},
    ],
)
def test_without_a_lease_it_is_soon(changes: dict[str, Any]) -> None:
    """Another member may lead already: as long as the fence waits after SIGQUIT."""
    assert stopping.kills_at(scene("primary", changes)) == pytest.approx(NOW + 1.75)


def test_only_a_standby_has_five_seconds() -> None:
    """It can't acknowledge anything; one that is being promoted soon can."""
    assert stopping.kills_at(scene("replica", {})) == NOW + 5
    promoted = scene("replica", {"job": {"kind": "promote", "since": NOW - 1}})
    assert stopping.kills_at(promoted) == NOW + 1.75


def test_a_server_about_to_start_as_primary_has_no_five_seconds() -> None:
    """Nothing runs yet, but the start that the stop cuts short may go on to make it writable."""
    changes = {"postgres": "crashed", "job": {"kind": "start", "since": NOW - 1}}
    s = scene("primary", {**changes, "lease.sent_at": NOW - 25, "cluster": "silent"})
    assert stopping.kills_at(s) == pytest.approx(NOW + 3.25)


@pytest.mark.parametrize(
    ("kill_at", "late"),
    [
        *((None, False), (NOW + 1.7, False), (NOW + 1.75 + 0.05, False)),
        *((NOW + 1.81, True), (NOW + 5, True)),
    ],
)
def test_a_stop_under_way_may_be_too_slow(kill_at: float | None, late: bool) -> None:
    """When its SIGKILL comes later than that of one that begins now; not for a few milliseconds."""
    job = Job(JobKind.STOP, NOW - 1, "immediate", kill_at)
    s = replace(scene("primary", {"lease": "refused"}), job=job)
    assert stopping.stop_kills_too_late.holds(s) is late
    shown = "no immediate stop" if kill_at is None else "due in 1.8s"
    assert stopping.stop_kills_too_late.shows(s).endswith(shown)


def test_the_stop_carries_its_moment() -> None:
    """And the reason."""
    s = scene("primary", {"lease": "refused"})
    assert safety.stop_at_once(s, "a test") == (
        StopPostgres("immediate", "a test", kill_at=NOW + 1.75),
    )
