"""Replication slots on real servers: logical ones that survive, those of members that vanish."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

from shell import layout
from shell.processes import now
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.logical import CDC, changes, confirmed, is_covered, with_test_decoding
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy


def test_a_logical_slot_survives_a_switchover_without_a_lost_change(tmp_path: Path) -> None:
    """Copied to the standby, kept level with its consumer, and usable where the standby leads."""
    dynamic = {"slots": {"cdc": CDC}, "postgresql": {"parameters": {"wal_level": "logical"}}}
    options = {"nodes": 2, "postgres": with_test_decoding(), "dynamic": dynamic}
    with healthy(tmp_path, **options) as cluster:
        old, new = cluster.leader(), cluster.replicas()[0]
        cluster.wait_for(lambda: is_covered(new, "cdc"), 60, "a safe copy of the slot")
        cluster.wait_healthy()
        old.sql("create table t (n int)")
        old.sql("insert into t select generate_series(1, 5)")
        assert changes(old) == [1, 2, 3, 4, 5]
        cluster.wait_for(
            lambda: (confirmed(new) or 0) >= (confirmed(old) or 1),
            30,
            "the copy to follow the consumer",
        )
        old.sql("insert into t select generate_series(6, 9)")
        cluster.switchover(old, new)
        assert cluster.wait_healthy() is new
        new.sql("insert into t values (10)")
        assert changes(new) == [6, 7, 8, 9, 10]
        # The old primary's own slot stayed behind; it follows, or is copied anew.
        cluster.wait_for(
            lambda: is_covered(old, "cdc") and (confirmed(old) or 0) >= (confirmed(new) or 1),
            60,
            "the former primary's slot to follow",
        )


def test_the_slot_of_a_vanished_member_is_kept_and_then_dropped(tmp_path: Path) -> None:
    """Kept on every member, across a switchover, and dropped everywhere by member_slots_ttl."""
    with healthy(tmp_path, dynamic={"member_slots_ttl": 30}) as cluster:
        leader, *others = cluster.leader(), *cluster.replicas()
        gone, stays = others
        slot = gone.name
        cluster.wait_for(lambda: all(slot in _slots(n) for n in (leader, stays)), 20, "its slots")
        gone.kill_daemon(signal.SIGTERM)
        cluster.wait_for(lambda: gone.name not in _members(leader), 20, "its key to be gone")
        cluster.switchover(leader, stays)
        cluster.wait_for(stays.is_writable, 20, "the other leader")
        assert slot in _slots(stays)
        cluster.wait_for(lambda: slot in _retained(cluster), 10, "the new leader to keep it")
        for node in (leader, stays):
            cluster.wait_for(partial(_has_dropped, node, slot), 90, f"{node.name} to drop it")


def _slots(node: Node) -> set[str]:
    return {str(r[0]) for r in node.try_sql("select slot_name from pg_replication_slots") or []}


def _has_dropped(node: Node, slot: str) -> bool:
    found = _slots(node)
    return bool(found) and slot not in found


def _retained(cluster: Cluster) -> list[str]:
    with cluster.keys() as store:
        return list(layout.parse_cluster(store.read(now() + 5).entries).retain_slots)


def _members(node: Node) -> set[str]:
    answer = node.get("/cluster")
    assert answer is not None
    return {str(member["name"]) for member in answer.document["members"]}
