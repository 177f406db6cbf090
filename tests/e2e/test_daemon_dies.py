"""The daemon hangs or dies: the fence ends PostgreSQL before another node may lead."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.prober import Prober
from tests.e2e.support.stories import healthy, lose_leader_ahead


def kill(node: Node) -> None:
    """SIGKILL the daemon and leave it dead."""
    node.kill_daemon(signal.SIGKILL)


@pytest.mark.parametrize(
    ("harm", "heal"),
    [
        pytest.param(Node.pause_daemon, Node.continue_daemon, id="stopped"),
        pytest.param(kill, Node.start_daemon, id="killed"),
    ],
)
@pytest.mark.parametrize("store", ["embedded", "etcd3"])
def test_no_two_nodes_write_while_the_daemon_is_gone(
    tmp_path: Path, store: str, harm: Callable[[Node], None], heal: Callable[[Node], None]
) -> None:
    """A primary without its daemon is down before another one writes; healed, it follows."""
    with healthy(tmp_path, store=store) as cluster, Prober(cluster.nodes) as prober:
        old = cluster.leader()
        cluster.wait_for(lambda: prober.wrote(old) > 20, 30, "rows on the first leader")
        harm(old)
        new = wait_for_another_writer(cluster, prober, old)
        assert old.postmaster_pid() is None, "two postmasters at a time"
        heal(old)
        assert cluster.wait_healthy() is new
        prober.close()
        assert prober.overlaps() == []
        assert prober.writers() == [old.name, new.name]
        assert prober.lost(on=new, of=new) == []
        cluster.wait_for(
            lambda: prober.lost(on=old, of=new) == [], 20, "the new leader's rows on the old one"
        )


def test_a_daemon_that_comes_back_in_time_keeps_the_lead(tmp_path: Path) -> None:
    """A leader's daemon that is killed and started at once takes its lease up again."""
    with healthy(tmp_path, dynamic={"ttl": 60}) as cluster:
        leader = cluster.leader()
        postmaster = leader.postmaster_pid()
        leader.kill_daemon(signal.SIGKILL)
        leader.start_daemon()
        assert cluster.wait_healthy() is leader
        assert leader.postmaster_pid() == postmaster


def test_a_lost_node_is_replaced_and_rewound(tmp_path: Path) -> None:
    """Daemon and postmaster die with rows nobody else has: the node rewinds and streams."""
    with healthy(tmp_path) as cluster:
        lost = lose_leader_ahead(cluster)
        cluster.wait_for(lambda: cluster.find_leader() not in {None, lost}, 60, "another leader")
        cluster.leader().sql("create table kept (id int)")
        lost.start_daemon()
        assert cluster.wait_healthy() is not lost
        assert "rewinding to" in lost.log_text(60000)
        cluster.wait_for(lambda: has_table(lost, "kept"), 20, "the new leader's table")
        assert not has_table(lost, "diverged")


def has_table(node: Node, name: str) -> bool:
    """Whether that node has a table of the name."""
    return node.try_sql(f"select 1 from pg_class where relname = '{name}'") == [(1,)]


def test_a_replicas_daemon_may_die(tmp_path: Path) -> None:
    """A replica without its daemon goes on streaming, and is still there when it comes back."""
    with healthy(tmp_path) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        postmaster = replica.postmaster_pid()
        replica.kill_daemon(signal.SIGKILL)
        cluster.wait_for(
            lambda: replica.name not in members(leader), 60, "the member key to expire"
        )
        assert replica.is_streaming()
        replica.start_daemon()
        cluster.wait_for(lambda: replica.name in members(leader), 60, "the member key again")
        assert cluster.wait_healthy() is leader
        assert replica.postmaster_pid() == postmaster


def members(node: Node) -> set[str]:
    """Return the members that a node knows."""
    answer = node.get("/cluster")
    return {member["name"] for member in answer.document["members"]} if answer else set()


def wait_for_another_writer(cluster: Cluster, prober: Prober, old: Node) -> Node:
    """Wait until a node other than `old` has acknowledged rows, and return it."""

    def found() -> Node | None:
        return next((n for n in cluster.nodes if n is not old and prober.wrote(n) > 20), None)

    return cluster.wait_for(found, 60, f"rows on another node than {old.name}")
