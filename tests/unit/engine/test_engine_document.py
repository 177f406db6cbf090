"""The member document: what a node says about itself, field by field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import document
from engine.state import Known, PendingParameter, RestartCondition, Snapshot, Tags
from tests.support.scenes import scene
from tests.support.snapshots import LSN, NOW, WALL


def tagged(**tags: Any) -> Snapshot:
    """A replica with these tags."""
    s = scene("replica", {})
    return replace(s, me=replace(s.me, tags=Tags(**tags)))


def ended(kind: str, ok: bool) -> dict[str, Any]:
    """The end of a job."""
    return {"@": "JobResult", "kind": kind, "ok": ok, "finished": NOW - 1, "why": "code 1"}


@pytest.mark.parametrize(
    ("base", "changes", "state"),
    [
        ("replica", {}, "running"),
        ("replica", {"postgres": "silent standby"}, "running"),
        ("replica", {"postgres": "starting"}, "starting"),
        ("replica", {"postgres": "unseen"}, "unknown"),
        ("replica", {"postgres.outdated": True}, "running"),  # an answer goes first
        ("replica", {"job": {"kind": "stop", "since": NOW}}, "stopping"),
        ("replica", {"job": {"kind": "promote", "since": NOW}}, "running"),
        ("down replica", {"job": {"kind": "start", "since": NOW}}, "starting"),
        (
            "down replica",
            {"job": {"kind": "start", "since": NOW}, "memory.restarting_since": NOW},
            "restarting",
        ),
        ("new replica", {"job": {"kind": "clone", "since": NOW}}, "creating replica"),
        ("new cluster", {"job": {"kind": "initdb", "since": NOW}}, "initializing new cluster"),
        ("replica with cdc", {"job": {"kind": "copy logical slots", "since": NOW}}, "restarting"),
        ("down replica", {}, "stopped"),
        ("down replica", {"last_job": ended("start", False)}, "start failed"),
        ("down replica", {"last_job": ended("start", True)}, "stopped"),
        ("down replica", {"last_job": ended("stop", False)}, "stop failed"),
        ("down replica", {"last_job": ended("clone", False)}, "stopped"),
        ("new cluster", {"last_job": ended("initdb", False)}, "initdb failed"),
        ("crashed primary", {}, "crashed"),
        ("replica", {"last_job": ended("start", False)}, "running"),
    ],
)
def test_the_state_is_told_in_the_words_of_the_contract(
    base: str, changes: dict[str, Any], state: str
) -> None:
    """A job that runs goes first, then what the server says, then how the last job ended."""
    assert document.state_text(scene(base, changes)) == state


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({}, {}),
        (
            {"nofailover": True, "failover_priority": 0},
            {"nofailover": True, "failover_priority": 0},
        ),
        ({"nosync": True, "sync_priority": 2}, {"nosync": True, "sync_priority": 2}),
        ({"noloadbalance": True, "clonefrom": True}, {"noloadbalance": True, "clonefrom": True}),
        ({"nostream": True}, {"nostream": True}),
        ({"replicatefrom": "n3"}, {"replicatefrom": "n3"}),
        ({"other": {"rack": 7}}, {"rack": 7}),
        ({"failover_priority": 1, "sync_priority": 1}, {}),
    ],
)
def test_tags_are_told_where_they_are_not_the_default(
    tags: dict[str, Any], told: dict[str, Any]
) -> None:
    """And without any there is no field for them."""
    s = tagged(**tags)
    assert document.tags_document(s) == told
    assert document.member_document(s).get("tags", {}) == told
    assert ("tags" in document.member_document(s)) is bool(told)


@pytest.mark.parametrize("base", ["replica", "tagged"])
def test_who_asks_to_be_synchronous_no_more_says_nosync(base: str) -> None:
    """Beside its other tags; the leader chooses by what members publish."""
    s = tagged(replicatefrom="n3") if base == "tagged" else scene("replica", {})
    told = document.tags_document(s)
    s = replace(s, memory=replace(s.memory, leaving_since=NOW - 1))
    assert document.tags_document(s) == told | {"nosync": True}


def test_a_replica_tells_its_positions() -> None:
    """The larger one as its position, both as they are, and what it does not know not at all."""
    lags = {"postgres.server.replay_lsn": LSN - 8}
    found = document.member_document(scene("replica", lags))
    assert {k: found[k] for k in ("xlog_location", "receive_lsn", "replay_lsn", "timeline")} == {
        "xlog_location": LSN,
        "receive_lsn": LSN,
        "replay_lsn": LSN - 8,
        "timeline": 3,
    }
    assert found["replication_state"] == "streaming"
    unknown = document.member_document(scene("replica", {"postgres.server.timeline": None}))
    assert "timeline" not in unknown
    assert document.member_document(scene("primary", {}))["xlog_location"] == LSN
    assert "receive_lsn" not in document.member_document(scene("primary", {}))
    assert "xlog_location" not in document.member_document(scene("down replica", {}))


def test_what_waits_for_a_restart_is_told_with_its_values() -> None:
    """So that an operator sees what would change."""
    s = scene("replica", {})
    assert isinstance(s.postgres.server, Known)
    pending = (PendingParameter("max_connections", "100", "200"),)
    server = Known(replace(s.postgres.server.value, pending=pending), NOW)
    found = document.member_document(replace(s, postgres=replace(s.postgres, server=server)))
    assert found["pending_restart"] is True
    reason = {"max_connections": {"old_value": "100", "new_value": "200"}}
    assert found["pending_restart_reason"] == reason
    assert "pending_restart" not in document.member_document(s)


@pytest.mark.parametrize(("pending_only", "told"), [(True, True), (False, None)])
def test_a_scheduled_restart_is_told(pending_only: bool, told: bool | None) -> None:
    """With its time and its conditions."""
    wanted = RestartCondition(pending_only, "replica", 150005, None, WALL + 50)
    s = scene("replica", {})
    s = replace(s, memory=replace(s.memory, scheduled_restart=wanted))
    assert document.member_document(s)["scheduled_restart"] == {
        "schedule_epoch": WALL + 50,
        "role": "replica",
        "postgres_version": 150005,
        "restart_pending": told,
    }
    assert "scheduled_restart" not in document.member_document(scene("replica", {}))


@pytest.mark.parametrize(
    ("base", "server", "missing"),
    [
        ("primary", {"checkpoint_timeline": 2}, True),
        ("primary", {"checkpoint_timeline": 3}, False),
        ("primary", {"checkpoint_timeline": None}, False),
        ("primary", {"checkpoint_timeline": 2, "timeline": None}, False),
        ("replica", {"checkpoint_timeline": 2}, False),
    ],
)
def test_a_primary_without_a_checkpoint_on_its_timeline_says_so(
    base: str, server: dict[str, Any], missing: bool
) -> None:
    """Nobody should rewind to it yet; what is unknown is not said."""
    s = scene(base, {f"postgres.server.{name}": value for name, value in server.items()})
    assert document.checkpoint_is_missing(s) is missing
    said = document.member_document(s).get("checkpoint_after_promote", True)
    assert said is not missing


def test_maintenance_mode_is_told() -> None:
    """And is absent otherwise."""
    assert document.member_document(scene("replica", {"policy.pause": True}))["pause"] is True
    assert "pause" not in document.member_document(scene("replica", {}))
