"""Synchronous replication and failsafe mode with members of both."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.prober import Prober
from tests.e2e.support.synchronous import key, standbys, wait_for_standbys
from tests.e2e.support.writer import Writer
from tests.mixed.support import TTL_SECONDS, hand_over, mixed, wait_for_rows, wait_to_lead


def test_no_synchronous_row_is_lost_between_them(tmp_path: Path) -> None:
    """Each one's primary dies and is followed by the other, which `sync` named."""
    dynamic = {"synchronous_mode": True}
    with (
        mixed(tmp_path, ["hae", "patroni"], dynamic) as cluster,
        Writer(cluster.dsn()) as writer,
    ):
        for old, new in (cluster.nodes, reversed(cluster.nodes)):
            assert wait_for_standbys(cluster, 1) == [new]
            wait_for_rows(cluster, writer, 100)
            old.die()
            wait_to_lead(cluster, new)
            old.start_daemon()
            assert cluster.wait_healthy() is new
        writer.close()
        assert writer.lost(cluster.leader()) == []


def _are_voters(cluster: Cluster, names: set[str]) -> bool:
    return set(standbys(cluster)) == names


def test_a_quorum_has_members_of_both(tmp_path: Path) -> None:
    """The lead goes round in quorum mode; whoever leads, the other two are the voters."""
    dynamic = {"synchronous_mode": "quorum"}
    with (
        mixed(tmp_path, ["hae", "patroni", "patroni"], dynamic) as cluster,
        Writer(cluster.dsn()) as writer,
    ):
        for leader in (cluster.nodes[0], cluster.nodes[1], cluster.nodes[0]):
            if cluster.leader() is not leader:
                hand_over(cluster, leader)
            others = {node.name for node in cluster.nodes if node is not leader}
            cluster.wait_for(partial(_are_voters, cluster, others), 60, "both as voters")
            now = key(cluster)
            assert now is not None
            assert now.leader == leader.name
            wait_for_rows(cluster, writer, 50)
        cluster.nodes[0].die()
        new = cluster.wait_for(cluster.find_leader, 60, "a voter to lead")
        before = writer.count()
        cluster.wait_for(lambda: writer.count() > before + 50, 30, "rows again")
        cluster.nodes[0].start_daemon()
        assert cluster.wait_healthy() is new
        writer.close()
        assert writer.lost(new) == []


def test_failsafe_mode_holds_in_both_directions(tmp_path: Path) -> None:
    """The store is frozen for longer than ttl: hae's primary goes on, and so does Patroni's."""
    with (
        mixed(tmp_path, ["hae", "patroni", "hae"], {"failsafe_mode": True}) as cluster,
        Prober(cluster.nodes) as prober,
    ):
        hae, patroni, _ = cluster.nodes
        _outlives_the_store(cluster, prober, hae)
        hand_over(cluster, patroni)
        _outlives_the_store(cluster, prober, patroni)
        prober.close()
        assert prober.overlaps() == []
        assert prober.writers() == [hae.name, patroni.name]


def _outlives_the_store(cluster: Cluster, prober: Prober, leader: Node) -> None:
    """Freeze the store until the leader has acknowledged rows for far more than ttl without it."""
    cluster.wait_for(lambda: _all_listed(cluster, leader), 30, "the failsafe key")
    assert cluster.store is not None
    cluster.store.pause()
    cluster.wait_for(lambda: _is_active(leader), 60, "the leader to ask its members")
    start = prober.commits[-1].done
    cluster.wait_for(
        lambda: prober.commits[-1].done > start + 1.5 * TTL_SECONDS, 90, "rows without the store"
    )
    cluster.store.resume()
    cluster.wait_for(lambda: not _is_active(leader), 60, "the store's word again")
    cluster.wait_for(lambda: _all_listed(cluster, leader), 60, "every member in the store again")
    assert cluster.wait_healthy() is leader


def _all_listed(cluster: Cluster, leader: Node) -> bool:
    """Whether every member has its key, and the key `failsafe` names all of them."""
    names = {node.name for node in cluster.nodes}
    listed, known = leader.get("/failsafe"), leader.get("/cluster")
    members = known.document["members"] if known else []
    return (
        listed is not None
        and set(listed.document) == names
        and {member["name"] for member in members} == names
    )


def _is_active(node: Node) -> bool:
    answer = node.get("/patroni")
    return bool(answer and answer.document.get("failsafe_mode_is_active"))
