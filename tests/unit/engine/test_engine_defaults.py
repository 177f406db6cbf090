"""What holds where nobody said anything: a new memory is empty, and nothing is on."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from engine.actions import Action
from engine.policy import Policy
from engine.quorum import Names, Promise
from engine.state import (
    Cluster,
    ControlData,
    DataDirectory,
    FailsafeAnswer,
    FailsafeCall,
    Fence,
    HistoryLine,
    Job,
    JobResult,
    LeaderSlots,
    LeaderTimeline,
    Member,
    Memory,
    PeerAnswer,
    Postgres,
    Postmaster,
    ReplicationRow,
    Request,
    RestartCondition,
    Server,
    Slot,
    Snapshot,
    Tags,
    Vanished,
    Watchdog,
)

# A revision that no key can have.
NEVER = {"failsafe_sent_over": -1}
# Only where nothing was ever kept is it certain that no cluster was seen.
CAREFUL = {"knows_cluster": True}
# What a cluster has where nobody configured it: leases may be that long.
UNCONFIGURED = {"ttl_seconds": 30.0, "longest_ttl_seconds": 30.0}
# What counts where nobody says anything, by record and field.
USUAL = {
    "Member.port": 5432,
    "Member.tags": Tags(),
    "RenewLock.create": True,
    "Request.condition": RestartCondition(),
    "PeerAnswer.failover_priority": 1,
    "Slot.kind": "physical",
    "Snapshot.memory": Memory(),
    "Snapshot.watchdog": Watchdog(),
    "Tags.failover_priority": 1,
    "Tags.sync_priority": 1,
}
RECORDS = (
    *(Cluster, ControlData, DataDirectory, FailsafeAnswer, FailsafeCall, Fence, HistoryLine, Job),
    *(JobResult, LeaderSlots, LeaderTimeline, Member, Names, PeerAnswer, Postgres, Postmaster),
    *(Promise, ReplicationRow, Request, RestartCondition, Server, Slot, Snapshot, Tags, Vanished),
    *(Watchdog, *get_args(Action)),
)
NO_LIMIT = {"maximum_lag_on_syncnode_bytes": -1}
OFF = (
    *("pause", "check_timeline", "failsafe_mode", "synchronous_mode_strict", "use_pg_rewind"),
    *("remove_on_rewind_failure", "remove_on_diverged", "may_bootstrap", "fence_required"),
    *("primary_stop_timeout_seconds", "primary_race_backoff_seconds", "max_timelines_history"),
    *("standby_cluster", "slot_wal_budget_bytes"),
)


def test_a_new_daemon_remembers_nothing() -> None:
    """No moment, no name, nothing begun: what is remembered was remembered by a rule."""
    memory = Memory()
    for field in dataclasses.fields(Memory):
        value = getattr(memory, field.name)
        expected = NEVER | CAREFUL | UNCONFIGURED
        assert value == expected[field.name] if field.name in expected else not value, field.name


def test_what_nobody_configured_is_off() -> None:
    """Nothing is removed, rewound, founded or required without a word of the configuration."""
    policy = Policy()
    assert [name for name in OFF if getattr(policy, name)] == []
    for name, value in NO_LIMIT.items():
        assert getattr(policy, name) == value


@pytest.mark.parametrize("record", RECORDS, ids=lambda x: x.__name__)
def test_what_was_not_seen_is_not_there(record: type) -> None:
    """A record that was not filled in tells of nothing: no revision, no position, no `yes`."""
    for field in dataclasses.fields(record):
        if field.default is not dataclasses.MISSING:
            name = f"{record.__name__}.{field.name}"
            assert field.default == USUAL[name] if name in USUAL else not field.default, name


@pytest.mark.parametrize(
    ("loop_wait", "failsafe", "seconds"),
    [(10.0, False, 20.0), (5.0, False, 20.0), (30.0, False, 60.0), (10.0, True, 50.0)],
)
def test_how_long_a_hand_over_is_waited_for(
    loop_wait: float, failsafe: bool, seconds: float
) -> None:
    """Two loops, or twice what a stop and a promotion take; in failsafe mode one ttl more."""
    policy = Policy(loop_wait_seconds=loop_wait, failsafe_mode=failsafe)
    assert policy.handover_patience_seconds == seconds
