"""Failsafe mode: a primary without the store goes on by its members' word, and only by all."""

from __future__ import annotations

from pathlib import Path

from shell.processes import now
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.prober import Prober
from tests.e2e.support.stories import (
    QUICK,
    healthy,
    loops_pass,
    prepared,
    slot_position,
    written_to,
)
from tests.support.wire import Wire

TTL = float(QUICK["ttl"])
FAILSAFE = {"failsafe_mode": True}


def test_a_primary_outlives_the_store_while_all_members_agree(tmp_path: Path) -> None:
    """The store is frozen for three ttl: rows and slots go on, /primary stays 200."""
    with (
        healthy(tmp_path, store="etcd3", dynamic=FAILSAFE) as cluster,
        Prober(cluster.nodes) as prober,
    ):
        leader = cluster.leader()
        before = [node.postmaster_pid() for node in cluster.nodes]
        cluster.wait_for(lambda: all_know_the_list(cluster), 30, "the failsafe key")
        assert cluster.store is not None
        cluster.store.pause()
        statuses = _wait_without_store(cluster, leader, 3 * TTL)
        assert statuses == {200}
        document = leader.get()
        assert document is not None
        assert document.document["failsafe_mode_is_active"] is True
        written = prober.wrote(leader)
        cluster.wait_for(lambda: prober.wrote(leader) > written + 20, 10, "rows without a store")
        end, (one, other) = written_to(leader), cluster.replicas()
        cluster.wait_for(lambda: slot_position(one, other) >= end, 30, "the slots to follow")
        cluster.store.resume()
        assert cluster.wait_healthy() is leader
        cluster.wait_for(lambda: not is_active(leader), 30, "the store's word again")
        assert [node.postmaster_pid() for node in cluster.nodes] == before
        prober.close()
        assert prober.writers() == [leader.name]
        assert prober.lost(on=leader, of=leader) == []


def test_one_member_that_does_not_answer_ends_the_primary(tmp_path: Path) -> None:
    """Store and one replica's daemon freeze: writing ends within ttl; never two writers."""
    with (
        healthy(tmp_path, store="etcd3", dynamic=FAILSAFE) as cluster,
        Prober(cluster.nodes) as prober,
    ):
        leader, mute = cluster.leader(), cluster.replicas()[0]
        cluster.wait_for(lambda: prober.wrote(leader) > 20, 30, "rows on the leader")
        cluster.wait_for(lambda: all_know_the_list(cluster), 30, "the failsafe key")
        assert cluster.store is not None
        mute.pause_daemon()
        cluster.store.pause()
        cluster.wait_for(lambda: not leader.is_writable(), TTL + 10, "no primary")
        cluster.wait_for(lambda: not is_active(leader), 10, "failsafe mode to be over")
        cluster.store.resume()
        mute.continue_daemon()
        new = cluster.wait_healthy()
        written = prober.wrote(new)
        cluster.wait_for(lambda: prober.wrote(new) > written + 20, 30, "rows again")
        prober.close()
        assert prober.overlaps() == []


def test_members_that_reach_the_store_keep_their_word(tmp_path: Path) -> None:
    """Only the primary is cut off: its lock ends, nobody takes it; it dies: then a member leads."""
    with prepared(tmp_path, store="etcd3", dynamic=FAILSAFE) as cluster:
        assert cluster.store is not None
        with Wire(cluster.store.port) as wire, Prober(cluster.nodes) as prober:
            first = cluster.nodes[0]
            through = {"etcd3": {"hosts": wire.host, "use_proxies": True}}
            cluster.write_node_file(first, through)
            first.start_daemon()
            cluster.wait_for(first.is_writable, 60, "the first primary")
            for node in cluster.nodes[1:]:
                node.start_daemon()
            cluster.wait_healthy()
            cluster.wait_for(lambda: all_know_the_list(cluster), 30, "the failsafe key")
            wire.cut()
            assert _wait_without_store(cluster, first, 3 * TTL) == {200}
            others = cluster.nodes[1:]
            cluster.wait_for(lambda: all(is_active(x) for x in others), 10, "the members' word")
            assert all(unlocked(node) for node in others)
            loops_pass(cluster, 3)
            assert prober.writers() == [first.name]
            first.kill_daemon()
            first.kill_postmaster()
            cluster.wait_for(lambda: any(x.is_writable() for x in others), 3 * TTL, "a new primary")
            wire.mend()
            first.start_daemon()
            cluster.wait_healthy()
            prober.close()
            assert prober.overlaps() == []


def test_who_led_before_does_not_lead_beside_a_primary_whose_keys_were_lost(tmp_path: Path) -> None:
    """Cut off, the new primary goes on by its own word; the keys go; the old one comes back."""
    with prepared(tmp_path, store="etcd3", dynamic=FAILSAFE, nodes=2) as cluster:
        assert cluster.store is not None
        former, heir = cluster.nodes
        with Wire(cluster.store.port) as wire, Prober(cluster.nodes) as prober:
            through = {"etcd3": {"hosts": wire.host, "use_proxies": True}}
            cluster.write_node_file(heir, through)
            former.start_daemon()
            cluster.wait_for(former.is_writable, 60, "the first primary")
            heir.start_daemon()
            cluster.wait_healthy()
            cluster.wait_for(lambda: all_know_the_list(cluster), 30, "the failsafe key")
            former.die()
            cluster.wait_for(heir.is_writable, 3 * TTL, "a new primary")
            cluster.wait_for(lambda: listed(heir) == {heir.name}, 30, "a list of one")
            wire.cut()
            cluster.wait_for(lambda: is_active(heir), 30, "failsafe mode")
            with cluster.keys() as keys:
                keys.delete_all(now() + 10)
            former.start_daemon()
            waits = f"{heir.name} may be primary: lead it back to the store"
            cluster.wait_for(lambda: waits in former.log_text(100_000), 3 * TTL, "the warning")
            loops_pass(cluster, 5)
            assert heir.is_writable()
            assert not former.is_writable()
            wire.mend()
            assert cluster.wait_healthy() is heir
            prober.close()
            assert prober.overlaps() == []


def listed(node: Node) -> set[str]:
    """Whom the leader would have to ask."""
    seen = node.get("/hae/snapshot")
    return set(seen.document["memory"].get("failsafe_members", {})) if seen else set()


def _wait_without_store(cluster: Cluster, leader: Node, seconds: float) -> set[int]:
    """Wait until the leader has not seen the store for so long; what /primary said meanwhile."""
    statuses: set[int] = set()

    def long_enough() -> bool:
        answer, seen = leader.get("/primary"), leader.get("/hae/snapshot")
        statuses.add(answer.status if answer else 0)
        if seen is None:
            return False
        return bool(seen.document["now"] - seen.document["cluster"].get("since", 1e18) > seconds)

    cluster.wait_for(long_enough, seconds + 30, "the outage to last")
    return statuses


def all_know_the_list(cluster: Cluster) -> bool:
    """Whether the key `failsafe` names every member, and the leader remembers it."""
    names = {node.name for node in cluster.nodes}
    answers = [node.get("/failsafe") for node in cluster.nodes]
    seen = cluster.leader().get("/hae/snapshot")
    noted = seen.document["memory"].get("failsafe_members", {}) if seen else {}
    return all(a and set(a.document) == names for a in answers) and set(noted) == names


def is_active(node: Node) -> bool:
    """Whether the node says that the members' word replaces the store."""
    answer = node.get()
    return answer is not None and bool(answer.document.get("failsafe_mode_is_active"))


def unlocked(node: Node) -> bool:
    """Whether the node sees the lock free."""
    answer = node.get()
    return answer is not None and bool(answer.document.get("cluster_unlocked"))
