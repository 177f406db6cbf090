"""Who is fit to be synchronous, who is preferred, who has confirmed, and who is wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import synchronous as sync
from engine.facts.sync import leaving_is_over
from engine.quorum import Names, Promise
from engine.state import Known, ReplicationRow, Snapshot, SyncState, Tags
from tests.support.scenes import scene, with_member
from tests.support.servers import streams
from tests.support.snapshots import LSN, NOW

N2, N3 = frozenset({"n2"}), frozenset({"n3"})
BOTH = N2 | N3


def primary(*rows: ReplicationRow, base: str = "sync primary", **changes: Any) -> Snapshot:
    """A leader in synchronous mode, with these connections if there are any."""
    s = scene(base, {k.replace("__", "."): v for k, v in changes.items()})
    if not rows:
        return s
    assert isinstance(s.postgres.server, Known)
    server = Known(replace(s.postgres.server.value, replication=rows), NOW)
    return replace(s, postgres=replace(s.postgres, server=server))


def fit(s: Snapshot) -> list[str]:
    """The names of who is fit, the preferred one first."""
    return [x.name for x in sync.fit(s)]


def voters(s: Snapshot, *names: str, quorum: int = 0) -> Snapshot:
    """The same with these names in the key."""
    assert isinstance(s.cluster, Known)
    key = SyncState("n1", names, quorum, 3)
    return replace(s, cluster=Known(replace(s.cluster.value, sync=key), NOW))


# --- who is fit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "allowed"),
    [
        (Tags(), True),
        (Tags(sync_priority=2), True),
        (Tags(nofailover=True), True),
        (Tags(nosync=True), False),
        (Tags(sync_priority=0), False),
    ],
)
def test_tags_say_who_may_be_synchronous(tags: Tags, allowed: bool) -> None:
    """`nosync`, and a sync_priority of 0, keep a member out."""
    s = with_member(primary(), "n3", tags=tags)
    assert ("n3" in {m.name for m in sync.eligible(s)}) is allowed
    assert ("n3" in fit(s)) is allowed


def test_names_that_differ_by_case_only_are_nobodys() -> None:
    """PostgreSQL would not tell them apart."""
    assert sync.eligible(primary(cluster__members__n3__name="N2")) == ()
    ours = primary(cluster__members__n3__name="N1")
    assert [m.name for m in sync.eligible(ours)] == ["n2"]


@pytest.mark.parametrize(
    "row",
    [
        replace(streams("n3"), state="catchup"),
        streams("n3", flush_lsn=None),
        streams("n3", pid=7),
        replace(streams("n3"), application_name="n4"),
    ],
)
def test_a_connection_that_is_not_beyond_doubt_does_not_count(row: ReplicationRow) -> None:
    """It has to stream, to say what it flushed, and to use the member's slot, by its name."""
    assert fit(primary(streams("n2", "sync"), row)) == ["n2"]


def test_two_connections_of_one_name_are_nobodys() -> None:
    """Nobody knows which of them PostgreSQL counts; upper case is the same name."""
    twice = (streams("n2", "sync"), streams("n3"), streams("n3", pid=9))
    assert fit(primary(*twice)) == ["n2"]
    loud = replace(streams("n3"), application_name="N3")
    assert fit(primary(streams("n2", "sync"), loud)) == ["n2", "n3"]


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"replication_state": None}, True),
        ({"replication_state": "streaming"}, True),
        ({"replication_state": "in archive recovery"}, False),
        ({"state": "starting"}, False),
    ],
)
def test_the_member_has_to_say_that_it_streams(fields: dict[str, Any], counts: bool) -> None:
    """A receiver that borrows the name of a member does not make that member synchronous."""
    assert ("n3" in fit(with_member(primary(), "n3", **fields))) is counts


# --- who is preferred -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "first"),
    [
        (Tags(), "n3"),
        (Tags(sync_priority=2), "n2"),
        (Tags(nofailover=True), "n3"),
        (Tags(failover_priority=0), "n3"),
        (Tags(failover_priority=2), "n3"),
    ],
)
def test_who_is_synchronous_already_goes_before_who_is_not(tags: Tags, first: str) -> None:
    """Only a higher priority, and being able to lead, count for more than that."""
    s = with_member(voters(primary(), "n3"), "n2", tags=tags)
    s = replace(s, postgres=replace(s.postgres, written_sync_names="n3"))
    assert isinstance(s.postgres.server, Known)
    server = Known(replace(s.postgres.server.value, sync_names="n3"), NOW)
    assert fit(replace(s, postgres=replace(s.postgres, server=server)))[0] == first


@pytest.mark.parametrize("tags", [Tags(nofailover=True), Tags(failover_priority=0)])
def test_who_may_lead_goes_before_who_never_leads(tags: Tags) -> None:
    """Also before one that is synchronous already."""
    assert fit(with_member(primary(), "n2", tags=tags)) == ["n3", "n2"]


@pytest.mark.parametrize(
    ("key", "in_force", "written"), [("n3", "", ""), ("", "n3", ""), ("", "", "n3")]
)
def test_each_place_that_names_a_standby_makes_it_preferred(
    key: str, in_force: str, written: str
) -> None:
    """The key, the names in force, and those that a restart would load."""
    s = voters(primary(streams("n2"), streams("n3")), *([key] if key else []))
    assert isinstance(s.postgres.server, Known)
    server = Known(replace(s.postgres.server.value, sync_names=in_force), NOW)
    s = replace(s, postgres=replace(s.postgres, server=server, written_sync_names=written))
    assert fit(s) == ["n3", "n2"]


def test_among_equals_the_one_that_has_more_goes_first() -> None:
    """And a position of zero is the least."""
    nobody = {"base": "sync primary", "postgres": "sync primary, no names", "cluster": "healthy"}
    more = primary(streams("n2", flush_lsn=LSN - 1), streams("n3"), **nobody)
    assert fit(more) == ["n3", "n2"]
    none = primary(streams("n2", flush_lsn=0), streams("n3", flush_lsn=1), **nobody)
    assert fit(none) == ["n3", "n2"]
    assert fit(primary(streams("n2"), streams("n3"), **nobody)) == ["n2", "n3"]


@pytest.mark.parametrize(
    ("commit", "fields", "lags"),
    [
        ("on", {"flush_lsn": LSN - 100}, False),
        ("on", {"flush_lsn": LSN - 101}, True),
        ("on", {"write_lsn": LSN - 101}, False),
        ("on", {"replay_lsn": LSN - 101}, False),
        ("remote_apply", {"replay_lsn": LSN - 101}, True),
        ("remote_apply", {"replay_lsn": None}, True),
        ("remote_apply", {"flush_lsn": LSN - 101}, False),
        ("remote_write", {"write_lsn": LSN - 101}, True),
        ("remote_write", {"flush_lsn": LSN - 101}, False),
    ],
)
def test_a_standby_lags_by_what_a_commit_waits_for(
    commit: str, fields: dict[str, Any], lags: bool
) -> None:
    """maximum_lag_on_syncnode is 100 bytes here; who lags comes last."""
    changes: dict[str, Any] = {
        "policy__maximum_lag_on_syncnode_bytes": 100,
        "policy__synchronous_commit": commit,
    }
    s = primary(streams("n2", "sync", **fields), streams("n3"), **changes)
    assert {x.name: x.lags for x in sync.fit(s)} == {"n2": lags, "n3": False}
    assert fit(s) == (["n3", "n2"] if lags else ["n2", "n3"])


@pytest.mark.parametrize(("limit", "lags"), [(-1, False), (0, False), (1, True), (LSN, False)])
def test_without_a_limit_nobody_lags(limit: int, lags: bool) -> None:
    """0 and -1 mean no limit."""
    row = streams("n2", "sync", flush_lsn=0)
    s = primary(row, policy__maximum_lag_on_syncnode_bytes=limit)
    assert [x.lags for x in sync.fit(s)] == [lags]


# --- who has confirmed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "changes", "who"),
    [
        (streams("n2", "sync"), {}, N2),
        (streams("n2", "quorum"), {}, N2),
        (streams("n2", "potential"), {}, frozenset()),
        (streams("n2", "sync", flush_lsn=LSN - 100), {}, N2),
        (streams("n2", "sync", flush_lsn=LSN - 101), {}, frozenset()),
        (streams("n2", "sync"), {"memory__sync_names_lsn": None}, frozenset()),
        (streams("n2", "sync"), {"memory__sync_names": "n3"}, frozenset()),
        (streams("n2", "sync"), {"postgres": "silent primary"}, frozenset()),
    ],
)
def test_confirmed_is_who_flushed_what_was_acknowledged_before(
    row: ReplicationRow, changes: dict[str, Any], who: frozenset[str]
) -> None:
    """PostgreSQL counts it, under the names that were watched, up to the position noted then."""
    s = primary(**changes) if "postgres" in changes else primary(row, **changes)
    assert sync.confirmed(s) == who


# --- who is wanted --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "key", "wanted"),
    [
        (1, ("n2",), N2),
        (1, ("n3",), N3),
        (1, (), N2),
        (2, ("n2",), BOTH),
        (2, ("n2", "n3"), BOTH),
    ],
)
def test_in_mode_on_as_many_as_are_asked_for(
    count: int, key: tuple[str, ...], wanted: frozenset[str]
) -> None:
    """The preferred ones; a voter that is replaced stays until who comes is a voter."""
    changes: dict[str, Any] = {
        "policy__synchronous_node_count": count,
        "postgres": "sync primary, no names",
    }
    assert sync.wanted_members(voters(primary(**changes), *key)) == wanted


def test_a_voter_that_is_replaced_stays_until_the_new_one_votes() -> None:
    """Else for a moment nobody could lead."""
    preferred = with_member(primary(), "n3", tags=Tags(sync_priority=2))
    assert sync.wanted_members(preferred) == BOTH
    assert sync.wanted_members(voters(preferred, "n2", "n3")) == N3
    gone = with_member(preferred, "n2", tags=Tags(nosync=True))
    assert sync.wanted_members(gone) == N3


LAGGING = streams("n3", "quorum", flush_lsn=LSN - 200)


@pytest.mark.parametrize(
    ("rows", "count", "key", "wanted"),
    [
        ((streams("n2", "quorum"), streams("n3", "quorum")), 1, ("n2", "n3"), BOTH),
        ((streams("n2", "quorum"), LAGGING), 1, ("n2", "n3"), N2),
        ((streams("n2", "quorum"), LAGGING), 2, ("n2", "n3"), BOTH),
        ((streams("n2", "quorum"), LAGGING), 1, ("n3",), N2),
        ((streams("n2", "quorum"),), 1, ("n3",), N2),
        ((streams("n2", "quorum"), streams("n3", "quorum")), 1, ("n2",), BOTH),
        ((streams("n2", "quorum"), streams("n3", "quorum")), 1, (), BOTH),
        ((streams("n2", "quorum"), streams("n3", "quorum")), 1, ("n2", "n9"), N2),
    ],
)
def test_in_quorum_mode_everybody_who_is_fit(
    rows: tuple[ReplicationRow, ...], count: int, key: tuple[str, ...], wanted: frozenset[str]
) -> None:
    """The lagging only if there are too few; voters that go are gone before others come."""
    limits = {
        "policy__maximum_lag_on_syncnode_bytes": 100,
        "policy__synchronous_node_count": count,
    }
    s = primary(*rows, base="quorum primary", **limits)
    assert sync.wanted_members(voters(s, *key, quorum=1)) == wanted


def test_without_a_standby_strict_mode_waits_for_a_member() -> None:
    """For the eligible ones, or for a name that nobody has; without strict mode for nobody."""
    assert sync.without_standby(primary()) == Names()
    strict = primary(policy__synchronous_mode_strict=True)
    assert sync.without_standby(strict) == Names(1, BOTH)
    alone = with_member(strict, "n2", tags=Tags(nosync=True))
    alone = with_member(alone, "n3", tags=Tags(nosync=True))
    placeholder = frozenset({"__patroni_strict_sync_replica_placeholder__"})
    assert sync.without_standby(alone) == Names(1, placeholder)


# --- the key --------------------------------------------------------------------------------------


def test_names_are_compared_in_lower_case_and_the_leader_is_no_voter() -> None:
    """As PostgreSQL compares them; the former spelling is kept where it is written."""
    s = voters(primary(), "N2", "N1")
    assert sync.promise(s) == Promise(N2, 0)
    assert sync.named(s) == frozenset({"n1", "n2"})
    assert sync.spelled(s, frozenset({"n2", "n3"})) == ("n2", "n3")
    assert sync.spelled(voters(primary(), "N9"), frozenset({"n9"})) == ("N9",)


def test_time_to_stop_is_counted_only_for_an_orderly_stop_of_a_synchronous_primary() -> None:
    """From when PostgreSQL gives no answer; without a limit, or another job, not at all."""
    stop: dict[str, Any] = {"kind": "stop", "since": NOW - 4, "detail": "fast"}
    limit: dict[str, Any] = {"policy__primary_stop_timeout_seconds": 10}
    silent: dict[str, Any] = {"postgres": "silent primary", "postgres__server__since": NOW - 1}
    assert sync.stop_seconds_left(primary(job=stop, **limit)) == 10
    assert sync.stop_seconds_left(primary(job=stop, **limit, **silent)) == 9
    early = silent | {"postgres__server__since": NOW - 60}
    assert sync.stop_seconds_left(primary(job=stop, **limit, **early)) == 6
    one: dict[str, Any] = {"policy__primary_stop_timeout_seconds": 1}
    assert sync.stop_seconds_left(primary(job=stop, **one)) == 1
    assert sync.stop_seconds_left(primary(job=stop)) is None
    assert sync.stop_seconds_left(primary(**limit)) is None
    assert sync.stop_seconds_left(primary(job={"kind": "start", "since": 1}, **limit)) is None
    assert sync.stop_seconds_left(primary(base="primary", job=stop, **limit)) is None


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({}, True),
        ({"stopping": True}, False),
        ({"memory.restarting_since": NOW - 3}, False),
        ({"requests": [{"id": 1, "kind": "restart", "since": NOW - 5}]}, False),
        ({"requests": [{"id": 1, "kind": "reload", "since": NOW - 5}]}, True),
        ({"memory.reinitialize": True}, False),
        ({"requests": [{"id": 1, "kind": "reinitialize", "since": NOW - 5}]}, False),
        ({"memory.scheduled_restart": {"scheduled_epoch": 1789999999}}, False),
        ({"memory.scheduled_restart": {"scheduled_epoch": 1799999999}}, True),
        (
            {
                "memory.scheduled_restart": {"scheduled_epoch": 1789999999},
                "policy.pause": True,
            },
            True,
        ),
        ({"memory.leaving_since": None}, False),
    ],
)
def test_who_asked_to_be_released_comes_back_when_no_stop_is_due(
    changes: dict[str, Any], over: bool
) -> None:
    """A stop of the daemon, a restart that was asked for or whose time has come, or a new copy."""
    s = scene("replica", {"memory.leaving_since": NOW - 4, **changes})
    assert leaving_is_over.holds(s) is over
