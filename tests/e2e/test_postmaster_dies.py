"""PostgreSQL dies under a daemon that lives."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.support.processes import state_of
from tests.e2e.support.stories import healthy, prepared
from tests.e2e.support.writer import Writer
from tests.support.freezing import freeze


def test_a_crashed_primary_restarts_in_place(tmp_path: Path) -> None:
    """The primary's postmaster is killed: the node keeps the role and the timeline, no row lost."""
    with healthy(tmp_path) as cluster, Writer(cluster.dsn()) as writer:
        leader = cluster.leader()
        cluster.wait_for(lambda: writer.count() > 50, 30, "rows")
        leader.kill_postmaster()
        before = writer.count()
        cluster.wait_for(lambda: writer.count() > before + 50, 30, "rows again")
        writer.close()
        assert cluster.wait_healthy() is leader
        assert leader.sql("select timeline_id from pg_control_checkpoint()") == [(1,)]
        assert writer.lost(leader) == []


def test_a_crashed_primary_fails_over_at_once_when_told_to(tmp_path: Path) -> None:
    """With primary_start_timeout 0 another node leads, and the crashed one comes back."""
    with healthy(tmp_path, dynamic={"primary_start_timeout": 0}) as cluster:
        crashed = cluster.leader()
        crashed.kill_postmaster()
        cluster.wait_for(lambda: cluster.find_leader() not in {None, crashed}, 30, "another leader")
        assert cluster.wait_healthy() is not crashed


def test_a_crashed_primary_stays_when_nobody_can_take_over(tmp_path: Path) -> None:
    """With primary_start_timeout 0 and no fit candidate the crashed primary leads again."""
    options = {
        "dynamic": {"primary_start_timeout": 0},
        "node_changes": {"tags": {"nofailover": True}},
    }
    with prepared(tmp_path, nodes=2, **options) as cluster:
        first, second = cluster.nodes
        cluster.write_node_file(first, {"tags": {"nofailover": False}})
        for node in (first, second):
            node.start_daemon()
        assert cluster.wait_healthy() is first
        before = first.postmaster_pid()
        first.kill_postmaster()
        cluster.wait_for(
            lambda: first.postmaster_pid() not in {None, before}, 30, "a new postmaster"
        )
        assert cluster.wait_healthy() is first


def test_a_crashed_replica_streams_again(tmp_path: Path) -> None:
    """The postmaster of a replica is killed: it is started again and streams."""
    with healthy(tmp_path) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        before = replica.postmaster_pid()
        replica.kill_postmaster()
        cluster.wait_for(
            lambda: replica.postmaster_pid() not in {None, before}, 30, "a new postmaster"
        )
        assert cluster.wait_healthy() is leader


def test_a_frozen_primary_is_replaced(tmp_path: Path) -> None:
    """A postmaster that was stopped by a signal is ended, and the cluster is writable again."""
    with healthy(tmp_path) as cluster:
        leader = cluster.leader()
        frozen = leader.postmaster_pid()
        assert frozen is not None
        freeze(frozen)
        cluster.wait_for(lambda: state_of(frozen) in {"", "Z"}, 60, "the frozen postmaster to end")
        cluster.wait_healthy()
        assert {node.postmaster_pid() for node in cluster.nodes}.isdisjoint({None, frozen})
