"""Every term of a fact that only shows where more than one thing is unusual.

One line each: the fact, a base with what it needs, and the answer with the reason for it.  What one
change to a scenario shows is recorded in tests/scenarios/answers, what a limit decides in
test_engine_limits.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.facts import (
    failsafe,
    following,
    keys,
    lease,
    postgres,
    promotion,
    race,
    standby_cluster,
    sync,
    upkeep,
    watchdog,
    work,
)
from engine.rule import Fact
from engine.state import Vanished
from shell.recorder.codec import encode
from tests.support import scenes
from tests.support.scenes import scene
from tests.support.snapshots import LSN, NOW, SYSTEM_IDENTIFIER, members

UNKNOWN_FENCE = {"@": "Fence", "ready": True, "armed_pid": 4711, "kill_at": None}
LOST_FENCE = {"@": "Fence", "ready": False, "armed_pid": 4711, "kill_at": NOW + 20}
FENCE_OF_THE_DIRECTORY = {"@": "Fence", "ready": True, "armed_pid": None, "kill_at": NOW + 20}
UNSEEN = {"postgres": "clean", "postgres.outdated": True, "lease": "none"}
FREE = {"cluster": "free", "cluster.when": NOW - 5}
LISTED = {"cluster": "listed, free"}
QUORUM = {"policy.synchronous_mode": "quorum", "cluster": "quorum, free"}
SYNCHRONOUS = {"policy.synchronous_mode": "on", "cluster": "synchronous"}
HISTORY = [{"timeline": 1, "lsn": 10}, {"timeline": 2, "lsn": 20}]
SILENT_REMOTE = {"leader_timeline": "silent"}
BEATEN = {"memory.beaten": SYSTEM_IDENTIFIER}
OUTSIDE = {"memory.needs_new_copy": True}
STALLED = {"postgres.server.replication_state": None, "cluster.members.n1.timeline": 4}
STOPPED = {"cluster.members.n2.state": "stopped"}
NAMED = {
    "cluster.failover": {
        "@": "FailoverRequest",
        "leader": "n1",
        "candidate": "n3",
        "scheduled_epoch": None,
        "revision": 7,
    }
}
PENDING = {"name": "max_connections", "old_value": "100", "new_value": "200"}


def job(kind: str) -> dict[str, Any]:
    """Long work that is under way."""
    return {"job": {"@": "Job", "kind": kind, "since": NOW - 1}}


RECOVERS = {"postgres": "silent primary", **job("crash recovery")}


def ended(kind: str, finished: float = NOW - 1) -> dict[str, Any]:
    """A job that went well."""
    return {"@": "JobResult", "kind": kind, "ok": True, "finished": finished}


def answers(**fields: Any) -> list[Any]:
    """n3 answered in the race, like this; n1 did not."""
    return [encode(scenes.silent_peer("n1")), encode(scenes.peer("n3", **fields))]


def both(**fields: Any) -> list[Any]:
    """n1 and n3 answered in the race, n1 like this."""
    return [encode(scenes.peer("n1", **fields)), encode(scenes.peer("n3"))]


def lost(**fields: Any) -> list[Any]:
    """The keys of n1, like this, and of n2 have gone together."""
    n1, n2, _ = members()
    return [encode(Vanished(m, NOW - 1, with_ours=True)) for m in (replace(n1, **fields), n2)]


def found_lost(seen: bool) -> dict[str, Any]:
    """The store does not hold the cluster."""
    return {"@": "KeysLost", "at": NOW - 5, "seen": seen}


TERMS: tuple[tuple[Fact, str, dict[str, Any], bool], ...] = (
    # What is not known, or not there, says nothing: a lock that was never seen free, a request, a
    # listing in a silent store, a server that gives no answer.
    (race.lock_is_free_for_ttl, "race", {"memory.lock_free_since": None}, False),
    (race.the_named_candidate_had_its_time, "race", {}, False),
    (failsafe.failsafe_listing_differs, "replica", {"cluster": "silent"}, False),
    (upkeep.history_is_behind, "primary", {"postgres": "silent primary"}, False),
    # --- the lease and the fence ---
    # A store that refused our renewal does not still have to be asked.
    (lease.lock_is_free, "primary", {**FREE, "lease": "refused"}, True),
    (lease.lock_is_free, "primary", {**FREE, "lease": "fresh"}, False),
    # The deadline of a fence that is gone does not stand; one without a deadline is not right.
    (lease.fence_is_armed, "primary", {"fence": LOST_FENCE}, False),
    (lease.fence_deadline_differs, "primary", {"fence": UNKNOWN_FENCE}, True),
    # Without a lease nothing outlasts the ttl.
    (lease.lease_outlasts_ttl, "primary", {"lease": "none"}, False),
    # A deadline for whatever the directory holds is no dead server's.
    (lease.fence_watches_a_dead_server, "crashed primary", {"fence": "armed"}, True),
    (lease.fence_watches_a_dead_server, "primary", {"fence": "armed"}, False),
    (
        lease.fence_watches_a_dead_server,
        "crashed primary",
        {"fence": FENCE_OF_THE_DIRECTORY},
        False,
    ),
    # The watchdog may stop counting where nothing runs, and nothing is begun.
    (watchdog.nothing_can_write, "old primary", {}, True),
    (watchdog.nothing_can_write, "old primary", job("start"), False),
    (watchdog.nothing_can_write, "old primary", {"postgres.outdated": True}, False),
    # --- PostgreSQL ---
    # After a promotion, or a start under a lease that lasts, an unseen server may be writable.
    (postgres.may_accept_writes, "primary", {**UNSEEN, "last_job": ended("promote")}, True),
    (postgres.may_accept_writes, "primary", {**UNSEEN, "last_job": ended("start")}, False),
    (
        postgres.may_accept_writes,
        "primary",
        {**UNSEEN, "last_job": ended("promote"), **job("rewind")},
        False,
    ),
    # The single user of a crash recovery is no client; whatever else is silent may be writable.
    (postgres.may_accept_writes, "crashed primary", {"postgres": "silent primary"}, True),
    (postgres.may_accept_writes, "crashed primary", RECOVERS, False),
    # Only a start or a promotion makes a server writable; a standby that starts does not become so.
    (failsafe.may_become_writable, "crashed primary", {}, False),
    (failsafe.may_become_writable, "crashed primary", job("start"), True),
    (failsafe.may_become_writable, "crashed primary", job("rewind"), False),
    (failsafe.may_become_writable, "down replica", job("start"), False),
    (failsafe.may_become_writable, "down replica", job("promote"), True),
    # Only what gave no answer at all is silent: not what starts, nor what was not looked at.
    (postgres.silent_for_a_loop, "primary", {"postgres": "silent primary"}, True),
    (postgres.silent_for_a_loop, "primary", {}, False),
    (
        postgres.silent_for_a_loop,
        "primary",
        {"postgres": "silent primary", "postgres.starting": True},
        False,
    ),
    (
        postgres.silent_for_a_loop,
        "primary",
        {"postgres": "silent primary", "postgres.outdated": True},
        False,
    ),
    # What is gone is not frozen.
    (postgres.frozen_too_long, "crashed primary", {}, False),
    # What was founded, and promoted since, may have led; what is unknown was not founded here.
    (postgres.was_only_founded, "down replica", {}, False),
    (postgres.was_only_founded, "down replica", BEATEN, True),
    (postgres.was_only_founded, "down replica", {**BEATEN, "memory.promotions_begun": 1}, False),
    (postgres.was_only_founded, "down replica", {**BEATEN, "memory.promoting": True}, False),
    (postgres.was_only_founded, "down replica", {"memory.beaten": "7"}, False),
    (postgres.was_only_founded, "new replica", {}, False),
    # A silent store shows no change of `sync`.
    (
        promotion.promotion_is_barred,
        "sync race",
        {"cluster": "silent", "memory.raced_on": 3},
        False,
    ),
    (promotion.promotion_is_barred, "sync race", {"memory.raced_on": 2}, True),
    # --- the race ---
    # A hung member may be the primary that lost the store.
    (failsafe.a_listed_member_may_go_on, "race", {**LISTED, "peers": both()}, False),
    (failsafe.a_listed_member_may_go_on, "race", {**LISTED, "peers": both(stale=True)}, True),
    (failsafe.a_listed_member_may_go_on, "race", {**LISTED, "peers": both(reachable=False)}, True),
    (failsafe.a_listed_member_may_go_on, "race", {**LISTED, "peers": both(state="stopped")}, True),
    (failsafe.a_listed_member_may_go_on, "race", {**LISTED, "peers": both(role="primary")}, True),
    # Who is ahead of us, or hangs, does not vote for us.
    (sync.too_few_votes, "race", {**QUORUM, "peers": answers()}, False),
    (sync.too_few_votes, "race", {**QUORUM, "peers": answers(lsn=LSN + 1)}, True),
    (sync.too_few_votes, "race", {**QUORUM, "peers": answers(stale=True)}, True),
    (sync.too_few_votes, "race", {**QUORUM, "peers": answers(lsn=None)}, True),
    (sync.too_few_votes, "race", {**QUORUM, "peers": answers(reachable=False)}, True),
    # Nor does who looked before the lock was free (a second ago).
    (sync.too_few_votes, "race", {**QUORUM, "peers": answers(looked_at=NOW - 1)}, False),
    (sync.too_few_votes, "race", {**QUORUM, "peers": answers(looked_at=NOW - 1.1)}, True),
    # What may be on another timeline is not known to have less.
    (sync.too_few_votes, "race", {**QUORUM, "peers": answers(timeline=None)}, True),
    (sync.too_few_votes, "race", {**QUORUM, "postgres.server.timeline": None}, True),
    (sync.too_few_votes, "race", {**QUORUM, "postgres": "silent standby"}, True),
    # Nor is it known where a position is not.
    (
        sync.too_few_votes,
        "race",
        {**QUORUM, "postgres.server.receive_lsn": None, "postgres.server.replay_lsn": None},
        True,
    ),
    # A key that was left behind by synchronous mode makes nobody synchronous.
    (sync.i_am_synchronous, "replica", SYNCHRONOUS, True),
    (sync.i_am_synchronous, "replica", {**SYNCHRONOUS, "policy.synchronous_mode": "off"}, False),
    # Who does not tell its position may not lead, also where it is named.
    (race.the_named_candidate_can_lead, "race", {"peers": answers(), **NAMED}, True),
    (race.the_named_candidate_can_lead, "race", {"peers": answers(lsn=None), **NAMED}, False),
    # --- a store that lost its keys ---
    # Alone, or with one that was down, we have lost no running cluster.
    (keys.a_running_cluster_lost_its_keys, "race", {"vanished": lost()}, True),
    (keys.a_running_cluster_lost_its_keys, "race", {"vanished": lost(state="stopped")}, False),
    (keys.a_running_cluster_lost_its_keys, "race", {"vanished": lost()[1:]}, False),
    (keys.keys_were_seen_to_go, "race", {"keys_lost": found_lost(True)}, True),
    (keys.keys_were_seen_to_go, "race", {"keys_lost": found_lost(False)}, False),
    # --- following ---
    # A rewind that was cut off may be repeated, wherever it began.
    (following.rewound_and_not_up_since, "old primary", {"memory.rewound_from": [3, LSN]}, True),
    (
        following.rewound_and_not_up_since,
        "old primary",
        {"memory.rewound_from": [3, LSN], "memory.rewinding": True},
        False,
    ),
    # What a silent server is on is not known: it may be behind, and is on no other timeline.
    (race.timeline_is_behind, "race", {"postgres": "silent standby"}, True),
    (following.leader_is_on_another_timeline, "replica", {"cluster.members.n1.timeline": 4}, True),
    (
        following.leader_is_on_another_timeline,
        "replica",
        {"cluster.members.n1.timeline": 4, "postgres": "silent standby"},
        False,
    ),
    # What needs a new copy does so until a leader has shown that it has the same WAL.
    (following.needs_new_copy, "old primary", {"leader_timeline.same_wal": True}, False),
    (following.needs_new_copy, "old primary", OUTSIDE, True),
    (following.needs_new_copy, "old primary", {**OUTSIDE, "leader_timeline": "silent"}, True),
    (following.needs_new_copy, "old primary", {**OUTSIDE, "leader_timeline.same_wal": True}, False),
    (
        following.needs_new_copy,
        "old primary",
        {
            **OUTSIDE,
            "leader_timeline.same_wal": True,
            "postgres.directory.control.checkpoint_lsn": scenes.FORK,
        },
        True,
    ),
    # It is noted once.
    (following.opened_twice_unnoted, "replica", {"leader_timeline": "n1, opened twice"}, True),
    (
        following.opened_twice_unnoted,
        "replica",
        {"leader_timeline": "n1, opened twice", **OUTSIDE},
        False,
    ),
    # Without an upstream in its file, or without an answer, nothing begins to stream by itself.
    (following.may_come_to_follow_unasked, "replica", STALLED, True),
    (
        following.may_come_to_follow_unasked,
        "replica",
        {**STALLED, "postgres.configured_upstream": None},
        False,
    ),
    (following.may_come_to_follow_unasked, "asked", {"postgres": "silent standby"}, False),
    (
        following.may_come_to_follow_unasked,
        "replica",
        {"postgres": "silent standby", "postgres.configured_upstream": "10.0.0.3:5432"},
        False,
    ),
    # --- standby clusters ---
    # A server that is silent is not known to stream, nor not to.
    (
        standby_cluster.remote_stream_is_down,
        "standby leader",
        {"postgres": "silent standby"},
        False,
    ),
    # What was found, or a rewind that was cut off, speaks against our WAL.
    (standby_cluster.may_start_unasked, "down in a standby cluster", SILENT_REMOTE, True),
    (
        standby_cluster.may_start_unasked,
        "down in a standby cluster",
        {**SILENT_REMOTE, "memory.rewinding": True},
        False,
    ),
    (
        standby_cluster.may_start_unasked,
        "down in a standby cluster",
        {**SILENT_REMOTE, **OUTSIDE},
        False,
    ),
    (
        standby_cluster.may_start_unasked,
        "down in a standby cluster",
        {**SILENT_REMOTE, "memory.diverged_from": 4},
        False,
    ),
    # --- upkeep ---
    # Positions move all the time: they are not a reason to write the key at once.
    (
        upkeep.member_key_is_outdated,
        "replica",
        {"published": {"state": "running", "xlog_location": 1}},
        True,
    ),
    # The store shows what was written over ours only if it shows what came after our write.
    (upkeep.member_key_was_overwritten, "replica", STOPPED, True),
    (upkeep.member_key_was_overwritten, "replica", {**STOPPED, "published_at": NOW}, True),
    (upkeep.member_key_was_overwritten, "replica", {**STOPPED, "published_at": NOW + 1}, False),
    (upkeep.member_key_was_overwritten, "replica", {"published": None}, False),
    # The newest line of the history counts, by its timeline and by its end.
    (upkeep.history_is_behind, "primary", {"postgres.server.timeline_history": HISTORY}, True),
    (
        upkeep.history_is_behind,
        "primary",
        {"postgres.server.timeline_history": HISTORY, "cluster.history": HISTORY},
        False,
    ),
    (
        upkeep.history_is_behind,
        "primary",
        {"postgres.server.timeline_history": HISTORY, "cluster.history": HISTORY[1:]},
        False,
    ),
    (
        upkeep.history_is_behind,
        "primary",
        {
            "postgres.server.timeline_history": HISTORY,
            "cluster.history": [HISTORY[0], {"timeline": 3, "lsn": 20}],
        },
        True,
    ),
    (
        upkeep.history_is_behind,
        "primary",
        {
            "postgres.server.timeline_history": HISTORY,
            "cluster.history": [HISTORY[0], {"timeline": 2, "lsn": 21}],
        },
        True,
    ),
    # --- restarts ---
    # A restart that is asked for where one is pending goes ahead.
    (
        work.restart_condition_fails,
        "replica",
        {"memory.scheduled_restart": {"@": "RestartCondition", "pending_only": True}},
        True,
    ),
    (
        work.restart_condition_fails,
        "replica",
        {
            "memory.scheduled_restart": {"@": "RestartCondition", "pending_only": True},
            "postgres.server.pending": [PENDING],
        },
        False,
    ),
)


@pytest.mark.parametrize(
    ("fact", "base", "changes", "answer"),
    TERMS,
    ids=[f"{fact.name}-{n}" for n, (fact, *_) in enumerate(TERMS)],
)
def test_a_fact_answers_by_each_of_its_terms(
    fact: Fact, base: str, changes: dict[str, Any], answer: bool
) -> None:
    """Where two things are unusual at once, each still counts as it should."""
    assert fact.holds(scene(base, changes)) is answer


def test_a_position_alone_does_not_outdate_the_member_key() -> None:
    """What moves with every transaction is written once in a loop."""
    s = scene("replica", {})
    assert s.published is not None
    moved = dict(s.published) | {"xlog_location": 1}
    assert not upkeep.member_key_is_outdated.holds(scene("replica", {"published": moved}))
    stopped = moved | {"state": "stopped"}
    assert upkeep.member_key_is_outdated.holds(scene("replica", {"published": stopped}))


def test_the_promise_of_the_members_ends_at_its_moment() -> None:
    """From then on they may lead, and a hand-over to them is of use."""
    for until, kept in ((NOW, False), (NOW + 1 / 1024, True)):
        s = scene("cut off", {"memory.failsafe_until": until})
        assert failsafe.members_keep_from_leading.holds(s) is kept
