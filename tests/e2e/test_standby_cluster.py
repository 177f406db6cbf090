"""A standby cluster beside its primary cluster: created, promoted, and the two roles exchanged."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.command import ctl
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy, prepared
from tests.e2e.support.writer import Writer

PERMANENT = {"slots": {"dr": {"type": "physical"}}}


def test_two_clusters_exchange_their_roles(tmp_path: Path) -> None:
    """Copied from the other cluster, promoted; the old one follows it, rewound where it must be."""
    with healthy(tmp_path / "main", nodes=2, store="etcd3", dynamic=PERMANENT) as main:
        primary = main.leader()
        primary.sql("create table t (who text)")
        primary.sql("insert into t values ('before')")
        section = {"host": "127.0.0.1", "port": primary.place.postgres_port}
        dynamic = {**PERMANENT, "standby_cluster": {**section, "primary_slot_name": "dr"}}
        options = {"nodes": 2, "beside": main, "scope": "batman-dr", "dynamic": dynamic}
        with prepared(tmp_path / "dr", **options) as far:
            for node in far.nodes:
                node.start_daemon()
            standby = far.wait_for(lambda: _standby_leader(far), 60, "a standby leader")
            far.wait_for(lambda: _cascades(far, standby), 60, "the other one below it")
            assert _system(standby) == _system(primary)
            primary.sql("insert into t values ('streamed')")
            far.wait_for(
                lambda: all(_rows(node) == ["before", "streamed"] for node in far.nodes),
                20,
                "the row in both members of the standby cluster",
            )
            assert _roles(standby) == {"standby_leader", "replica"}

            ran = ctl(standby, "promote-cluster", "--force")
            assert ran.code == 0, ran.text
            assert far.wait_healthy() is standby
            standby.sql("insert into t values ('after')")
            primary.sql("insert into t values ('too late')")

            port = str(standby.place.postgres_port)
            words = ("--host", "127.0.0.1", "--port", port, "--primary-slot-name", "dr", "--force")
            ran = ctl(primary, "demote-cluster", *words)
            assert ran.code == 0, ran.text
            follower = main.wait_for(lambda: _standby_leader(main), 60, "the old one below it")
            main.wait_for(lambda: _cascades(main, follower), 60, "all of the old cluster below it")
            main.wait_for(
                lambda: all(_rows(node) == ["before", "streamed", "after"] for node in main.nodes),
                30,
                "the rows of the new primary, and only those",
            )


def test_a_demotion_without_new_writes_needs_no_rewind(tmp_path: Path) -> None:
    """Demoted first, then the other promoted: no row is lost, and nothing is rewound."""
    with healthy(tmp_path / "main", nodes=2, store="etcd3", dynamic=PERMANENT) as main:
        primary = main.leader()
        section = {"host": "127.0.0.1", "port": primary.place.postgres_port}
        dynamic = {**PERMANENT, "standby_cluster": {**section, "primary_slot_name": "dr"}}
        options = {"nodes": 1, "beside": main, "scope": "batman-dr", "dynamic": dynamic}
        with prepared(tmp_path / "dr", **options) as far, Writer(main.dsn()) as writer:
            (standby,) = far.nodes
            standby.start_daemon()
            far.wait_for(lambda: _standby_leader(far), 60, "a standby leader")
            main.wait_for(lambda: writer.count() > 50, 30, "rows")
            port = str(standby.place.postgres_port)
            words = ("--host", "127.0.0.1", "--port", port, "--primary-slot-name", "dr", "--force")
            ran = ctl(primary, "demote-cluster", *words)
            assert ran.code == 0, ran.text
            writer.close()
            ran = ctl(standby, "promote-cluster", "--force")
            assert ran.code == 0, ran.text
            far.wait_for(standby.is_writable, 20, "the other cluster to be writable")
            assert writer.lost(standby) == []
            standby.sql("create table proof ()")
            main.wait_for(
                lambda: all(n.try_sql("select from proof") == [] for n in main.nodes),
                60,
                "the table in every member of the old cluster",
            )
            assert not any("rewinding" in node.log_text(60000) for node in main.nodes)


def _standby_leader(cluster: Cluster) -> Node | None:
    """The one node that answers as standby leader, once it streams."""
    answers = [(node, node.get("/standby-leader")) for node in cluster.nodes]
    leaders = [node for node, answer in answers if answer and answer.status == 200]
    return leaders[0] if len(leaders) == 1 and leaders[0].is_streaming() else None


def _cascades(cluster: Cluster, leader: Node) -> bool:
    others = {node.name for node in cluster.nodes if node is not leader}
    return others <= cluster.streaming_from(leader) and not leader.is_writable()


def _system(node: Node) -> str:
    answer = node.get("/patroni")
    assert answer is not None
    return str(answer.document["database_system_identifier"])


def _rows(node: Node) -> list[str]:
    return [str(row[0]) for row in node.try_sql("select who from t order by ctid") or []]


def _roles(node: Node) -> set[str]:
    answer = node.get("/cluster")
    assert answer is not None
    return {member["role"] for member in answer.document["members"]}
