"""The network is cut in silence: who writes, who stops, who comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from shell.processes import now
from tests.e2e.support.network import STORE, DividedCluster
from tests.e2e.support.node import Node
from tests.e2e.support.prober import Prober
from tests.e2e.support.stories import QUICK, sees_the_store


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DividedCluster]:
    """One cluster for all stories; each leaves it healthy."""
    with DividedCluster(tmp_path_factory.mktemp("divided")) as made:
        made.start()
        made.wait_healthy()
        yield made


@pytest.fixture
def prober(cluster: DividedCluster) -> Iterator[Prober]:
    """Writes to every node all the time; at the end no two nodes were writable at a time."""
    cluster.wait_healthy()
    with Prober(cluster.nodes) as made:
        leader = cluster.leader()
        cluster.wait_for(lambda: made.wrote(leader) > 20, 30, "rows on the leader")
        yield made
        cluster.wait_healthy()
        made.close()
        assert made.overlaps() == []


def another_writer(cluster: DividedCluster, prober: Prober, old: Node) -> Node:
    """Wait until another node acknowledges rows, and return it."""
    others = [node for node in cluster.nodes if node is not old]
    before = {node: prober.wrote(node) for node in others}
    return cluster.wait_for(
        lambda: next((node for node in others if prober.wrote(node) > before[node] + 20), None),
        QUICK["ttl"] + 40,
        "rows on another node",
    )


def goes_on_writing(cluster: DividedCluster, prober: Prober, leader: Node) -> None:
    """Wait for more rows on that node than were under way."""
    before = prober.wrote(leader)
    cluster.wait_for(lambda: prober.wrote(leader) > before + 20, 30, "more rows on the leader")


def test_a_primary_that_only_its_clients_reach_is_replaced(
    cluster: DividedCluster, prober: Prober
) -> None:
    """Cut off from store and members, it is down before another writes; healed, it follows."""
    old = cluster.leader()
    with cluster.cut(old, STORE, *cluster.replicas()):
        new = another_writer(cluster, prober, old)
        assert old.postmaster_pid() is None or not old.is_writable()
        written = prober.wrote(old)
        goes_on_writing(cluster, prober, new)
        assert prober.wrote(old) == written
    assert cluster.wait_healthy() is new


def test_a_primary_without_the_store_is_replaced_although_members_reach_it(
    cluster: DividedCluster, prober: Prober
) -> None:
    """Its members see it, and still one of them takes over, after it has stopped."""
    old = cluster.leader()
    with cluster.cut(old, STORE):
        new = another_writer(cluster, prober, old)
        assert not old.is_writable()
    assert cluster.wait_healthy() is new


def test_a_primary_whose_lease_ended_early_is_asked_before_another_leads(
    cluster: DividedCluster, prober: Prober
) -> None:
    """Its keys are gone, and it cannot know: whoever reaches it waits until it has stopped."""
    old = cluster.leader()
    with cluster.cut(old, STORE):
        cluster.trio.end_lease_of(f"/service/{cluster.scope}/leader")
        goes_on_writing(cluster, prober, old)
        new = another_writer(cluster, prober, old)
        assert not old.is_writable()
    assert cluster.wait_healthy() is new


def test_a_replica_that_is_cut_off_disturbs_nobody(cluster: DividedCluster, prober: Prober) -> None:
    """The leader goes on, the lonely replica takes nothing, and streams again when healed."""
    leader, (lonely, other) = cluster.leader(), cluster.replicas()
    with cluster.cut(lonely, STORE, leader, other):
        cluster.wait_for(lambda: not sees_the_store(lonely), 30, "the replica to miss the store")
        cluster.wait_for(
            lambda: lonely.name not in members(leader), QUICK["ttl"] + 20, "its key to expire"
        )
        goes_on_writing(cluster, prober, leader)
        assert not lonely.is_writable()
    assert cluster.wait_healthy() is leader


def test_a_primary_cut_off_from_its_replicas_keeps_the_lead(
    cluster: DividedCluster, prober: Prober
) -> None:
    """The store alone decides who leads: members that cannot reach the leader do not race."""
    leader = cluster.leader()
    with cluster.cut(leader, *cluster.replicas()):
        a_lease_passes(cluster)
        goes_on_writing(cluster, prober, leader)
    assert cluster.wait_healthy() is leader


def test_one_store_server_of_three_may_be_lost(cluster: DividedCluster, prober: Prober) -> None:
    """A member of etcd is killed, then its leader frozen: no role changes, no server restarts."""
    leader = cluster.leader()
    before = [node.postmaster_pid() for node in cluster.nodes]
    killed = cluster.trio.leader()
    killed.kill()
    a_lease_passes(cluster)
    killed.start()
    frozen = cluster.trio.leader()
    frozen.pause()
    a_lease_passes(cluster)
    frozen.resume()
    goes_on_writing(cluster, prober, leader)
    assert cluster.wait_healthy() is leader
    assert [node.postmaster_pid() for node in cluster.nodes] == before


def test_without_a_quorum_nobody_writes_and_with_it_somebody_does(
    cluster: DividedCluster, prober: Prober
) -> None:
    """Two of three store servers frozen for longer than ttl: the primary stops; then it returns."""
    leader = cluster.leader()
    first = cluster.trio.leader()
    lost = [first, next(member for member in cluster.trio.members if member is not first)]
    for member in lost:
        member.pause()
    cluster.wait_for(lambda: not leader.is_writable(), QUICK["ttl"] + 10, "the primary to stop")
    stopped = time.monotonic()
    a_lease_passes(cluster)
    assert [commit for commit in prober.commits if commit.sent > stopped] == []
    for member in lost:
        member.resume()
    goes_on_writing(cluster, prober, cluster.wait_healthy())


def a_lease_passes(cluster: DividedCluster) -> None:
    """Wait until every lease that was held when this began has ended or was renewed."""
    end = now() + QUICK["ttl"] + 1
    cluster.wait_for(lambda: now() > end, 60, "a whole lease to pass")


def members(node: Node) -> set[str]:
    """Return the names of the members that a node sees in the store."""
    answer = node.get("/cluster")
    return {str(member["name"]) for member in answer.document["members"]} if answer else set()
