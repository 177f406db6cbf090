"""Every limit that a fact compares with: the last value that counts, and the first that does not.

One line each: the fact, a base with what it needs, the place, a value for yes, its neighbour for
no.  Which side the limit itself is on is a decision, so it is written down here.
"""

from __future__ import annotations

from typing import Any

import pytest

from engine.facts import (
    failsafe,
    keys,
    lease,
    postgres,
    race,
    standby_cluster,
    sync,
    upkeep,
    watchdog,
    work,
)
from engine.rule import Fact
from engine.state import FailsafeCall
from engine.tables import requests as restarts
from shell.recorder.codec import encode
from tests.support import scenes
from tests.support.scenes import scene
from tests.support.snapshots import LSN, NOW, WALL

BIT = 1 / 1024  # exact in binary, so that NOW - BIT lies just before NOW
UNTIL = "memory.consented_until"
SENT = "lease.sent_at"


def silent(since: float) -> dict[str, Any]:
    """No answer since that moment."""
    return {"@": "Unknown", "since": since, "why": "timed out"}


def ended(kind: str, finished: float, ok: bool = True) -> dict[str, Any]:
    """The end of a job."""
    return {"@": "JobResult", "kind": kind, "ok": ok, "finished": finished, "why": "code 1"}


def armed(kill_at: float) -> dict[str, Any]:
    """The fence, armed for the postmaster that runs."""
    return {"@": "Fence", "ready": True, "armed_pid": 4711, "kill_at": kill_at}


def call(ttl: float) -> list[Any]:
    """n1 asks to go on without the store."""
    return [encode(FailsafeCall(7, "n1", NOW - 0.1, ttl))]


def rival(**fields: Any) -> list[Any]:
    """The one peer that answered, n3."""
    return [encode(scenes.peer("n3", **fields))]


def handover(epoch: float | None) -> dict[str, Any]:
    """A switchover from n1 at that time."""
    values = {"leader": "n1", "candidate": "n2", "scheduled_epoch": epoch, "revision": 7}
    return {"@": "FailoverRequest", **values}


def lost(at: float) -> dict[str, Any]:
    """The store was seen to lose the cluster's keys at that moment."""
    return {"@": "KeysLost", "at": at, "seen": True}


GONE = {"fence": "missing", "policy.fence_required": True}
OLD = {"cluster": "silent"}
FREE = {"cluster": "free", "lease.sent_at": NOW - 10}
LOWERED = {"memory.longest_ttl_seconds": 60.0}
BACKOFF = {"policy.primary_race_backoff_seconds": 5.0}

LIMITS: tuple[tuple[Fact, str, dict[str, Any], str, Any, Any], ...] = (
    # --- the lease: ttl 30, a margin of 5, renewed every 10 ---
    (lease.store_is_silent_for_ttl, "primary", {}, "cluster", silent(NOW - 30), silent(NOW - 29.9)),
    (lease.longer_ttl_is_over, "replica", LOWERED, "memory.ttl_since", NOW - 120, NOW - 120 + BIT),
    (lease.longer_ttl_is_over, "replica", LOWERED, "started_at", NOW - 120, NOW - 120 + BIT),
    (lease.longer_ttl_is_over, "replica", LOWERED, "policy.ttl_seconds", 59.0, 60.0),
    (lease.i_own_the_lock, "primary", OLD, SENT, NOW - 30 + BIT, NOW - 30),
    (lease.i_own_the_lock, "primary", FREE, "cluster.when", NOW - 10, NOW - 10 + BIT),
    (lease.lock_is_free, "primary", FREE, "cluster.when", NOW - 10 + BIT, NOW - 10),
    (lease.no_time_left, "primary", {}, SENT, NOW - 25, NOW - 25 + BIT),
    (lease.time_is_short, "primary", {}, SENT, NOW - 20, NOW - 20 + BIT),
    (lease.renewal_is_due, "primary", {}, SENT, NOW - 9, NOW - 9 + BIT),
    (lease.fence_deadline_differs, "primary", {}, "fence", armed(NOW + 24.6), armed(NOW + 24.54)),
    (lease.fence_deadline_differs, "primary", {}, "fence", armed(NOW + 24.4), armed(NOW + 24.46)),
    (
        *(lease.fence_missing_for_ttl, "primary", GONE, "memory.fence_missing_since"),
        *(NOW - 30, NOW - 30 + BIT),
    ),
    # --- a store that lost its keys ---
    (keys.a_lease_may_be_left, "race", {}, "keys_lost", lost(NOW - 30 + BIT), lost(NOW - 30)),
    # --- the race ---
    (race.tagged_nofailover, "race", {}, "me.tags.failover_priority", 0, 1),
    (race.barred_from_the_race, "race", {}, "memory.race_barred_until", NOW + BIT, NOW),
    (race.lags_too_far, "race", {}, "cluster.optime", LSN + 1048577, LSN + 1048576),
    (race.timeline_is_behind, "race", {}, "postgres.server.timeline", 2, 3),
    (race.a_peer_is_ahead, "race", {}, "peers", rival(lsn=LSN + 1), rival()),
    (
        *(race.a_peer_is_ahead, "race", {}, "peers", rival(lsn=LSN + 1)),
        rival(lsn=LSN + 1, failover_priority=0),
    ),
    (race.a_peer_is_preferred, "race", {}, "peers", rival(failover_priority=2), rival()),
    (
        *(race.a_peer_is_preferred, "race", {}, "peers", rival(failover_priority=2)),
        rival(failover_priority=2, lsn=LSN - 1),
    ),
    (
        *(race.the_old_primary_still_sends, "race", BACKOFF, "memory.lock_free_since"),
        *(NOW - 5 + BIT, NOW - 5),
    ),
    (
        *(race.the_old_primary_sent_a_moment_ago, "race", BACKOFF, "memory.race_moved_at"),
        *(NOW - 1 + BIT, NOW - 1),
    ),
    (
        *(race.start_timeout_is_over, "crashed primary", {}, "memory.primary_down_since"),
        *(NOW - 300, NOW - 300 + BIT),
    ),
    (race.own_position_is_fresh, "race", {}, "postgres.server.when", NOW - 1, NOW - 1 - BIT),
    (
        *(race.the_named_candidate_had_its_time, "race", {"memory.lock_free_since": NOW - 99}),
        *("cluster.failover", handover(WALL - 30), handover(WALL - 30 + BIT)),
    ),
    (
        *(race.the_named_candidate_had_its_time, "race", {"cluster.failover": handover(WALL - 99)}),
        *("memory.lock_free_since", NOW - 30, NOW - 30 + BIT),
    ),
    (
        *(race.the_named_candidate_had_its_time, "race", {"cluster.failover": handover(WALL - 99)}),
        *("memory.lock_free_since", NOW - 30, None),
    ),
    # --- PostgreSQL ---
    (
        *(postgres.may_accept_writes, "crashed primary", {"postgres.outdated": True}, "last_job"),
        *(ended("start", NOW + 28 - BIT), ended("start", NOW + 28)),
    ),
    (
        *(postgres.starting_too_long, "primary", {"postgres": "starting"}, "postgres.server"),
        *(silent(NOW - 300), silent(NOW - 300 + BIT)),
    ),
    (
        *(postgres.starting_too_long, "primary", {"postgres": "starting"}),
        *("memory.primary_down_since", NOW - 300, NOW - 300 + BIT),
    ),
    (
        *(postgres.frozen_too_long, "primary", {"postgres": "frozen"}, "postgres.server"),
        *(silent(NOW - 10), silent(NOW - 10 + BIT)),
    ),
    (
        *(postgres.silent_for_a_loop, "primary", {"postgres": "silent primary"}),
        *("postgres.server", silent(NOW - 10), silent(NOW - 10 + BIT)),
    ),
    (
        *(postgres.a_job_ended_well, "replica", {"last_job": ended("start", NOW - 1)}),
        *("memory.job_seen", NOW - 1 - BIT, NOW - 1),
    ),
    (
        *(postgres.a_job_failed, "replica", {"last_job": ended("start", NOW - 1, ok=False)}),
        *("memory.job_seen", NOW - 1 - BIT, NOW - 1),
    ),
    (postgres.waits_to_retry, "down replica", {}, "memory.retry_at", NOW + BIT, NOW),
    # --- what was asked of this node ---
    (
        *(work.scheduled_restart_is_due, "replica", {"memory.scheduled_restart": {}}),
        *("memory.scheduled_restart.scheduled_epoch", WALL, WALL + BIT),
    ),
    (
        *(work.restart_condition_fails, "replica", {"memory.scheduled_restart": {}}),
        *("memory.scheduled_restart.below_version", 150004, 150005),
    ),
    (work.handover_is_due, "primary", {}, "cluster.failover", handover(WALL), handover(WALL + 1)),
    (
        *(work.handover_is_late, "primary", {}, "cluster.failover"),
        *(handover(WALL - 15 - BIT), handover(WALL - 15)),
    ),
    (
        *(work.a_candidate_has_everything, "crashed primary", {}, "peers"),
        *(rival(lsn=LSN + 1), rival(lsn=LSN)),
    ),
    (
        *(work.handover_takes_too_long, "primary", {}, "memory.standing_down_since"),
        *(NOW - 10, NOW - 10 + BIT),
    ),
    (
        *(restarts.the_restart_takes_too_long, "down replica", {}, "memory.restarting_since"),
        *(NOW - 300, NOW - 300 + BIT),
    ),
    # --- failsafe mode ---
    (failsafe.lease_is_certain, "cut off", {}, SENT, NOW - 30 + BIT, NOW - 30),
    (failsafe.renewal_is_overdue, "cut off", {}, SENT, NOW - 11, NOW - 11 + BIT),
    (
        *(failsafe.asks_for_more_than_ttl, "asked", {}, "failsafe_calls"),
        *(call(30 + BIT), call(30.0)),
    ),
    (failsafe.consented, "replica", {}, UNTIL, NOW + BIT, NOW),
    (failsafe.started_lately, "race", {}, "started_at", NOW - 30 + BIT, NOW - 30),
    # --- synchronous mode ---
    (sync.names_are_obeyed, "sync primary", {}, "memory.sync_names_since", NOW - 1, NOW - 1 + BIT),
    (sync.sync_key_is_there, "sync primary", {}, "cluster.sync.revision", 1, 0),
    (
        *(sync.stop_takes_too_long, "sync primary"),
        {
            "policy.primary_stop_timeout_seconds": 10,
            "postgres": "silent primary",
            "postgres.server": silent(NOW - 60),
        },
        "job",
        {"kind": "stop", "since": NOW - 10, "detail": "fast"},
        {"kind": "stop", "since": NOW - 10 + BIT, "detail": "fast"},
    ),
    (
        *(sync.too_few_votes, "sync race", {"policy.synchronous_mode": "quorum"}),
        *("cluster.sync.quorum", 1, 0),
    ),
    # --- standby clusters ---
    (
        *(standby_cluster.remote_stream_is_down, "standby leader"),
        *({"postgres.server.replication_state": None}, "postgres.server.started_epoch"),
        *(WALL - 10, WALL - 10 + BIT),
    ),
    (
        *(standby_cluster.lock_was_free_for_a_loop, "race", {}, "memory.lock_free_since"),
        *(NOW - 10, NOW - 10 + BIT),
    ),
    # --- the watchdog ---
    (
        *(watchdog.lease_outlasts_the_watchdog, "primary"),
        *({"policy.watchdog_timeout_seconds": 20.0}, SENT, NOW - 10 + BIT, NOW - 10),
    ),
    # --- upkeep: a loop of 10, nine tenths of it ---
    (upkeep.member_key_is_due, "replica", {}, "published_at", NOW - 9, NOW - 9 + BIT),
    (
        *(upkeep.status_is_due, "primary", {"cluster.optime": LSN - 1}, "memory.status_at"),
        *(NOW - 9, NOW - 9 + BIT),
    ),
)


@pytest.mark.parametrize(
    ("fact", "base", "given", "place", "yes", "no"),
    LIMITS,
    ids=[f"{fact.name}-{n}" for n, (fact, *_) in enumerate(LIMITS)],
)
def test_a_limit_is_where_it_is_said_to_be(
    fact: Fact, base: str, given: dict[str, Any], place: str, yes: Any, no: Any
) -> None:
    """The fact holds for the one value, and for its neighbour it does not."""
    assert fact.holds(scene(base, given | {place: yes}))
    assert not fact.holds(scene(base, given | {place: no}))


def fed(at: float, timeout: float = 25.0) -> dict[str, Any]:
    """A device that counts from so many seconds, fed at that moment."""
    device = {"present": True, "active": True, "timeout_seconds": timeout, "fed_at": at}
    return {"@": "Watchdog", **device}


def test_a_watchdog_is_fed_once_for_each_lease_that_outlasts_it() -> None:
    """Fed since the lease was renewed, or with a lease that ends before it, it gets nothing."""
    hungry = watchdog.watchdog_is_hungry
    assert hungry.holds(scene("primary", {"watchdog": fed(NOW - 2 - BIT)}))
    assert not hungry.holds(scene("primary", {"watchdog": fed(NOW - 2)}))
    assert hungry.holds(scene("primary", {"watchdog": fed(NOW - 9, 28.0)}))
    assert not hungry.holds(scene("primary", {"watchdog": fed(NOW - 9, 28.0 + BIT)}))


def test_a_refused_watchdog_is_left_alone_for_a_ttl() -> None:
    """And one that would count from less than the time between two renewals is of no use."""
    refused = {"@": "Watchdog", "present": True, "failed_why": "busy"}
    usable = watchdog.watchdog_is_usable
    assert usable.holds(scene("primary", {"watchdog": refused | {"failed_at": NOW - 30}}))
    assert not usable.holds(scene("primary", {"watchdog": refused | {"failed_at": NOW - 29.9}}))
    ready = {"watchdog": "ready"}
    assert usable.holds(scene("primary", ready | {"policy.watchdog_timeout_seconds": 10.0}))
    assert not usable.holds(scene("primary", ready | {"policy.watchdog_timeout_seconds": 9.9}))
