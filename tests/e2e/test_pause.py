"""Maintenance mode: nothing happens by itself, and what an operator does is followed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from shell.processes import now
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.command import ctl
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy, loops_pass, rules, sees_the_store


def test_a_killed_primary_stays_down_in_pause(tmp_path: Path) -> None:
    """In pause a dead primary is neither started nor replaced; after resume it leads again."""
    with healthy(tmp_path) as cluster:
        leader = cluster.leader()
        pause(leader)
        leader.kill_postmaster()
        cluster.wait_for(lambda: lock_owner(cluster) is None, 30, "the lock to be released")
        loops_pass(cluster, 5)
        assert leader.postmaster_pid() is None
        assert not any(node.is_writable() for node in cluster.nodes)
        ran = ctl(leader, "resume", "--wait")
        assert ran.code == 0, ran.text
        cluster.wait_healthy()


def test_an_operators_promotion_in_pause_gets_the_lock(tmp_path: Path) -> None:
    """In pause the primary is stopped and a replica promoted by hand: it leads, also afterwards."""
    with healthy(tmp_path) as cluster:
        old, new = cluster.leader(), cluster.replicas()[0]
        pause(old)
        old.kill_postmaster(signal.SIGINT)
        cluster.wait_for(lambda: lock_owner(cluster) is None, 30, "the lock to be released")
        new.sql("select pg_promote()", seconds=30)
        cluster.wait_for(lambda: cluster.find_leader() is new, 30, "the promoted one to lead")
        assert old.postmaster_pid() is None
        ran = ctl(new, "resume", "--wait")
        assert ran.code == 0, ran.text
        assert cluster.wait_healthy() is new


def test_daemons_end_and_start_in_pause_without_touching_postgres(tmp_path: Path) -> None:
    """In pause every daemon is restarted: no postmaster changes, the lock keeps its owner."""
    with healthy(tmp_path) as cluster:
        leader = cluster.leader()
        pause(leader)
        before = [node.postmaster_pid() for node in cluster.nodes]
        for node in cluster.nodes:
            node.kill_daemon(signal.SIGTERM)
        assert [node.postmaster_pid() for node in cluster.nodes] == before
        assert lock_owner(cluster) == leader.name
        for node in cluster.nodes:
            node.start_daemon()
        cluster.wait_for(lambda: cluster.find_leader() is leader, 30, "the same leader")
        ran = ctl(leader, "resume", "--wait")
        assert ran.code == 0, ran.text
        assert cluster.wait_healthy() is leader
        assert [node.postmaster_pid() for node in cluster.nodes] == before


def test_a_dead_daemon_and_a_lost_store_leave_postgres_alone_in_pause(tmp_path: Path) -> None:
    """In pause the fence stands down: a killed daemon and a frozen store end no primary."""
    with healthy(tmp_path, store="etcd3") as cluster:
        leader = cluster.leader()
        pause(leader)
        postmaster = leader.postmaster_pid()
        assert cluster.store is not None
        leader.kill_daemon()
        cluster.wait_for(lambda: lock_owner(cluster) is None, 60, "the lease to end")
        loops_pass(cluster, 2, without=leader)
        assert leader.is_writable()
        leader.start_daemon()
        cluster.wait_for(lambda: lock_owner(cluster) == leader.name, 30, "the lock again")
        cluster.store.pause()
        cluster.wait_for(lambda: not sees_the_store(leader), 30, "the loss of the store")
        loops_pass(cluster, 3)
        assert leader.is_writable()
        cluster.store.resume()
        ran = ctl(leader, "resume", "--wait")
        assert ran.code == 0, ran.text
        assert cluster.wait_healthy() is leader
        assert leader.postmaster_pid() == postmaster


def test_pause_refuses_what_is_scheduled_and_allows_what_is_asked_for_now(tmp_path: Path) -> None:
    """In pause scheduled work is refused; restart, switchover and reinitialize are finished."""
    with healthy(tmp_path) as cluster:
        leader, candidate = cluster.leader(), cluster.replicas()[0]
        pause(leader)
        at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        body = {"leader": leader.name, "candidate": candidate.name}
        for path, document, status in (
            ("/switchover", {**body, "scheduled_at": at}, 400),
            ("/switchover", {"leader": leader.name}, 400),
            ("/restart", {"schedule": at}, 500),
            ("/restart", {}, 200),
            ("/switchover", body, 200),
        ):
            cluster.wait_healthy()  # the lock goes only to a candidate that has the last record
            answer = leader.call("POST", path, document, 60)
            assert answer is not None
            assert answer.status == status, (path, document, answer)
        cluster.wait_for(lambda: cluster.find_leader() is candidate, 30, "the candidate to lead")
        shown = candidate.get("/patroni")
        assert shown is not None
        assert shown.document["pause"] is True
        assert cluster.wait_healthy() is candidate
        before = leader.postmaster_pid()
        answer = leader.call("POST", "/reinitialize", {}, 60)
        assert answer is not None
        assert answer.status == 200
        cluster.wait_for(lambda: leader.postmaster_pid() not in {None, before}, 60, "a new copy")
        assert cluster.wait_healthy() is candidate
        again = ctl(leader, "pause")
        assert again.code == 1
        assert ctl(leader, "resume", "--wait").code == 0
        assert cluster.wait_healthy() is candidate


def test_a_standby_that_is_restarted_in_pause_streams_again(tmp_path: Path) -> None:
    """It follows as soon as the leader has told that its WAL goes on from there."""
    with healthy(tmp_path) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        pause(leader)
        before = replica.postmaster_pid()
        answer = replica.call("POST", "/restart", {}, 60)
        assert answer is not None
        assert answer.status == 200, answer
        assert replica.postmaster_pid() not in {None, before}
        cluster.wait_for(replica.is_streaming, 30, "the restarted standby to stream")
        assert cluster.wait_healthy() is leader


def test_nobody_leads_before_a_young_daemon_has_looked_at_its_primary(tmp_path: Path) -> None:
    """A primary is left running without a daemon, and pause ends before that has seen it again."""
    with healthy(tmp_path, dynamic={"ttl": 60}) as cluster:
        leader, replicas = cluster.leader(), cluster.replicas()
        pause(leader)
        leader.kill_daemon(signal.SIGTERM)
        with cluster.keys() as keys:  # as if its leases were over
            assert keys.release_leader(leader.name, now() + 10)
            keys.delete_member(leader.name, now() + 10)
        with no_look_ends(leader):
            leader.start_daemon()
            for node in replicas:  # what they were told before would count for a moment
                node.restart_daemon()
                cluster.wait_for(partial(is_unseen, leader, node), 30, "the young daemon's key")
            ran = ctl(replicas[0], "resume")
            assert ran.code == 0, ran.text
            for node in replicas:
                cluster.wait_for(partial(waits_for_a_look, node), 20, f"{node.name} to race")
            assert not any(node.is_writable() for node in replicas)
        cluster.wait_for(lambda: lock_owner(cluster) == leader.name, 30, "the lock again")
        assert cluster.wait_healthy() is leader


@contextmanager
def no_look_ends(node: Node) -> Iterator[None]:
    """Meanwhile the daemon's looks hang on a file of the data directory; PostgreSQL does not."""
    version = node.place.data_dir / "PG_VERSION"
    text = version.read_bytes()
    version.unlink()
    os.mkfifo(version)
    writer = os.open(version, os.O_RDWR)
    try:
        yield
    finally:
        version.unlink()
        version.write_bytes(text)
        os.write(writer, text)
        os.close(writer)


def is_unseen(node: Node, by: Node) -> bool:
    """Whether another one sees that the node's daemon does not know its server yet."""
    answer = by.get("/cluster")
    members = answer.document.get("members", []) if answer is not None else []
    return {m["name"]: m["state"] for m in members}.get(node.name) == "unknown"


def waits_for_a_look(node: Node) -> bool:
    """Whether it waits in the race for a member's daemon to look at its server."""
    return "race.peer_unseen" in rules(node)


def pause(node: Node) -> None:
    """Enter the maintenance mode, and wait until every member has seen it."""
    ran = ctl(node, "pause", "--wait")
    assert ran.code == 0, ran.text


def lock_owner(cluster: Cluster) -> str | None:
    """Return whom the store names as the leader."""
    with cluster.keys() as keys:
        entry = keys.read(now() + 10).entries.get("leader")
    return entry.value if entry else None
