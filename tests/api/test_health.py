"""The health checks as a pure table: facts, path, query and instant in, status out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from engine.policy import Policy
from engine.state import (
    Job,
    JobKind,
    Known,
    Lease,
    Memory,
    Postmaster,
    Snapshot,
    SyncState,
    Tags,
    Unknown,
)
from shell.api.facts import facts_of
from shell.api.health import verdict
from tests.api.support import publication
from tests.support import snapshots

NOW = 1000.0
LONG_AGO = NOW - 100.0

TABLE = {
    "/": (200, 503, 503),
    "/primary": (200, 503, 503),
    "/master": (200, 503, 503),
    "/read-write": (200, 503, 503),
    "/leader": (200, 503, 503),
    "/replica": (503, 200, 503),
    "/async": (503, 200, 503),
    "/asynchronous": (503, 200, 503),
    "/read-only": (200, 200, 503),
    "/sync": (503, 503, 503),
    "/synchronous": (503, 503, 503),
    "/quorum": (503, 503, 503),
    "/standby-leader": (503, 503, 503),
    "/standby_leader": (503, 503, 503),
    "/read-only-sync": (200, 503, 503),
    "/read-only-synchronous": (200, 503, 503),
    "/read-only-quorum": (200, 503, 503),
    "/health": (200, 200, 200),
    "/patroni": (200, 200, 200),
    "/liveness": (200, 200, 200),
    "/readiness": (200, 200, 200),
    "/nonsense": (503, 503, 503),
}


def node(name: str, now: float = NOW, **fields: Any) -> Snapshot:
    """The snapshot of that node."""
    if name == "n1":
        return snapshots.primary(now, **fields)
    return snapshots.replica(now, name, **fields)


def status(
    snapshot: Snapshot,
    path: str,
    query: dict[str, str] | None = None,
    now: float = NOW,
    **fields: Any,
) -> int:
    """The verdict on a publication of that snapshot."""
    made = publication(snapshot, **({"published_at": snapshot.now} | fields))
    return verdict(facts_of(made), path, query or {}, now)


@pytest.mark.parametrize("path", TABLE)
def test_table_of_the_contract(path: str) -> None:
    """Every path of the contract's table answers as listed on leader, replica and no-read node."""
    assert tuple(status(node(name), path) for name in ("n1", "n2", "n3")) == TABLE[path]


@pytest.mark.parametrize("path", ["/", "/primary", "/master", "/read-write", "/leader"])
def test_primary_ends_with_the_lease(path: str) -> None:
    """A primary check is 200 up to the last instant of the lease and 503 from its end on."""
    held = node("n1", lease=Lease(sent_at=NOW - 10, ttl_seconds=30.0))
    assert status(held, path, now=NOW + 19.9) == 200
    assert status(held, path, now=NOW + 20.0) == 503


@pytest.mark.parametrize(
    "why",
    [
        {"lease": Lease()},
        {"lease": Lease(sent_at=NOW, refused=True)},
        {"lease": Lease(sent_at=NOW - 1), "cluster": Known(snapshots.cluster(leader="n2"), NOW)},
        {"lease": Lease(sent_at=NOW - 1), "cluster": Known(snapshots.cluster(leader=None), NOW)},
        {"job": Job(JobKind.STOP, NOW)},
    ],
)
def test_no_primary_without_the_lock(why: dict[str, Any]) -> None:
    """Without a lease, refused, contradicted by a newer view, or stopping, nobody is primary."""
    assert status(node("n1", **why), "/primary") == 503


@pytest.mark.parametrize("pause", [False, True])
def test_what_is_being_founded_is_no_primary(pause: bool) -> None:
    """It may yet be set aside, so no client may be led to it before its identity is published."""
    founder = node("n1", memory=Memory(bootstrapping=True), policy=Policy(pause=pause))
    for path in ("/", "/primary", "/master", "/read-write", "/leader", "/read-only"):
        assert status(founder, path) == 503
    assert status(founder, "/health") == 200


def test_lease_newer_than_the_view_counts() -> None:
    """A lock won after the store was last looked at makes a primary at once."""
    older = Known(snapshots.cluster(leader=None), NOW - 1)
    assert status(node("n1", cluster=older), "/primary") == 200


@pytest.mark.parametrize("field", ["unknown", "gone", "frozen", "recovery"])
def test_no_primary_without_a_running_primary(field: str) -> None:
    """A lease without a PostgreSQL known to accept writes is no primary."""
    s = node("n1")
    if field == "unknown":
        s = snapshots.with_server(s, Unknown(NOW, "no answer"))
    elif field == "recovery":
        s = snapshots.with_server(s, Known(snapshots.standby_server(), NOW))
    else:
        postmaster = None if field == "gone" else Postmaster(1, 1, frozen=True)
        s = replace(s, postgres=replace(s.postgres, postmaster=postmaster))
    assert status(s, "/primary") == 503


def test_old_observation_is_no_primary() -> None:
    """An observation of PostgreSQL older than ttl is not believed, however good the lease."""
    s = snapshots.with_server(node("n1"), Known(snapshots.primary_server(), NOW - 31))
    assert status(s, "/primary") == 503


def test_expired_lock_leaves_replicas_as_they_are() -> None:
    """With a free lock no node is primary, and replicas go on serving reads."""
    free = Known(snapshots.cluster(leader=None), NOW)
    assert status(node("n1", lease=Lease(), cluster=free), "/primary") == 503
    assert status(node("n2", cluster=free), "/primary") == 503
    assert status(node("n2", cluster=free), "/replica") == 200


def test_failsafe_keeps_the_primary() -> None:
    """Consent of the members replaces the lease while it lasts; sync checks need the store."""
    s = node(
        "n1",
        lease=Lease(sent_at=LONG_AGO),
        cluster=Unknown(LONG_AGO, "no quorum"),
        memory=Memory(failsafe_until=NOW + 5, failsafe_lease=LONG_AGO),
    )
    assert status(s, "/primary") == 200
    assert status(s, "/primary", now=NOW + 5) == 503
    assert status(s, "/read-only-sync") == 503


def test_failsafe_outlives_the_key_but_not_another_owner() -> None:
    """The store is back: a key that is gone may be ours again; another owner ends it at once."""
    kept = Memory(failsafe_until=NOW + 5, failsafe_lease=LONG_AGO)
    for leader, expected in ((None, 200), ("n2", 503)):
        view = Known(snapshots.cluster(leader=leader), NOW)
        s = node("n1", lease=Lease(sent_at=LONG_AGO), cluster=view, memory=kept)
        assert status(s, "/primary") == expected


def test_pause_without_store_trusts_the_role() -> None:
    """In pause a primary stays one when the store has been gone for longer than ttl."""
    lost: dict[str, Any] = {
        "lease": Lease(sent_at=LONG_AGO),
        "cluster": Unknown(LONG_AGO, "no quorum"),
    }
    assert status(node("n1", policy=Policy(pause=True), **lost), "/primary") == 200
    assert status(node("n1", **lost), "/primary") == 503
    held: dict[str, Any] = {"lease": Lease(sent_at=LONG_AGO)}
    assert status(node("n1", policy=Policy(pause=True), **held), "/primary") == 503


@pytest.mark.parametrize(
    ("mode", "passing"),
    [
        ("on", {"/sync", "/synchronous", "/read-only-sync", "/read-only-synchronous"}),
        ("quorum", {"/quorum", "/read-only-quorum"}),
        ("off", {"/async", "/asynchronous"}),
    ],
)
def test_synchronous_checks(mode: Literal["on", "quorum", "off"], passing: set[str]) -> None:
    """A standby named in `sync` passes the checks of the mode in force, and only those."""
    sync = SyncState("n1", ("N2",), 0, 1)
    s = node(
        "n2",
        policy=Policy(synchronous_mode=mode),
        cluster=Known(snapshots.cluster(sync=sync), NOW),
    )
    rows = [path for path in TABLE if "sync" in path or "quorum" in path]
    assert {path for path in rows if status(s, path) == 200} == passing


@pytest.mark.parametrize("path", ["/sync", "/async", "/quorum", "/read-only-sync"])
def test_sync_checks_need_the_store(path: str) -> None:
    """Without a current view of the store the synchronous checks answer 503."""
    for s in (node("n1"), node("n2")):
        lost = replace(s, cluster=Unknown(NOW, "no quorum"))
        assert status(lost, path) == 503


@pytest.mark.parametrize(
    ("lag", "expected"),
    [("1MB", 200), ("1048576", 200), ("1048575", 503), ("1kB", 503), ("0", 503), ("x", 200)],
)
def test_lag_parameter(lag: str, expected: int) -> None:
    """A replica more than `lag` behind the leader's position fails; an unreadable lag is none."""
    server = snapshots.standby_server(replay_lsn=snapshots.LSN - 1048576)
    s = snapshots.with_server(node("n2"), Known(server, NOW))
    for path in ("/replica", "/read-only", "/async"):
        assert status(s, path, {"lag": lag}) == expected


def test_lag_counts_from_the_upstream_too() -> None:
    """A position that the upstream reported counts, even if the store knows an older one."""
    server = snapshots.standby_server(upstream_lsn=snapshots.LSN + 100)
    s = snapshots.with_server(node("n2"), Known(server, NOW))
    assert status(s, "/replica", {"lag": "99"}) == 503
    assert status(s, "/replica", {"lag": "100"}) == 200


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"tag_clonefrom": "true"}, 200),
        ({"tag_clonefrom": "false"}, 503),
        ({"tag_zone": "b"}, 200),
        ({"tag_zone": "B"}, 503),
        ({"tag_zone": "b", "tag_clonefrom": "true"}, 200),
        ({"tag_zone": "b", "tag_clonefrom": "1"}, 503),
        ({"tag_missing": ""}, 503),
    ],
)
def test_tag_parameters(query: dict[str, str], expected: int) -> None:
    """All asked tags must exist and be equal as text; the leader's checks ignore them."""
    tags = Tags(clonefrom=True, other={"zone": "b"})
    s = node("n2")
    s = replace(s, me=replace(s.me, tags=tags))
    for path in ("/replica", "/read-only", "/health", "/async"):
        assert status(s, path, query) == expected
    assert status(node("n1"), "/primary", query) == 200


def test_replication_state_parameter() -> None:
    """`replication_state` must equal the node's."""
    assert status(node("n2"), "/replica", {"replication_state": "streaming"}) == 200
    assert status(node("n2"), "/replica", {"replication_state": "in archive recovery"}) == 503


def test_hung_loop_is_not_alive() -> None:
    """A silent main loop fails liveness after ttl on a primary and after 2 x ttl elsewhere."""
    assert [status(node("n1"), "/liveness", now=NOW + age) for age in (29, 31)] == [200, 503]
    assert [status(node("n2"), "/liveness", now=NOW + age) for age in (59, 61)] == [200, 503]
    paused = node("n1", policy=Policy(pause=True))
    assert status(paused, "/liveness", now=NOW + 1000) == 200


def test_hung_loop_stops_serving_reads() -> None:
    """What a hung daemon saw long ago no longer makes a replica."""
    assert [status(node("n2"), "/replica", now=NOW + age) for age in (59, 61)] == [200, 503]


@pytest.mark.parametrize(
    ("server", "query", "expected"),
    [
        ({}, {}, 200),
        ({"replication_state": "in archive recovery"}, {}, 503),
        ({"replication_state": None}, {}, 503),
        ({"replay_lsn": snapshots.LSN - 1048577}, {}, 503),
        ({"replay_lsn": snapshots.LSN - 1048577}, {"lag": "2MB"}, 200),
        ({"replay_lsn": snapshots.LSN - 1048577}, {"mode": "write"}, 200),
        ({"replay_lsn": snapshots.LSN - 10}, {"lag": "9"}, 503),
    ],
)
def test_readiness_of_a_replica(
    server: dict[str, Any], query: dict[str, str], expected: int
) -> None:
    """A replica is ready when it streams and is near enough, by replay or by what it received."""
    s = snapshots.with_server(node("n2"), Known(snapshots.standby_server(**server), NOW))
    assert status(s, "/readiness", query) == expected


def test_readiness_without_any_position() -> None:
    """Without the store and an upstream position a replica is ready only under failsafe."""
    lost = node("n2", cluster=Unknown(NOW, "no quorum"))
    assert status(lost, "/readiness") == 503
    agreed = replace(lost, memory=Memory(consented_until=NOW + 5, consented_to="n1"))
    assert status(agreed, "/readiness") == 200


def test_standby_cluster() -> None:
    """The lock of a standby cluster makes a standby leader, which is no primary and no replica."""
    s = node("n2", lease=Lease(sent_at=NOW), cluster=Known(snapshots.cluster(leader="n2"), NOW))
    remote = {"standby_cluster": {"host": "10.1.0.1"}}
    found = {p: status(s, p, dynamic_config=remote) for p in TABLE}
    passing = {path for path, code in found.items() if code == 200}
    assert {"/standby-leader", "/standby_leader", "/leader", "/read-only"} <= passing
    assert not passing & {"/", "/primary", "/master", "/read-write", "/replica"}
