"""Logical slots and standby clusters that members of both look after."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.command import ctl
from tests.e2e.support.logical import CDC, changes, confirmed, is_covered, with_test_decoding
from tests.e2e.support.node import Node
from tests.mixed.support import TIMING, hand_over, mixed
from tools.node_file import merged


def test_a_logical_slot_goes_to_patroni_and_back(tmp_path: Path) -> None:
    """Its consumer gets every change once, whoever leads."""
    dynamic = {"slots": {"cdc": CDC}, "postgresql": {"parameters": {"wal_level": "logical"}}}
    with mixed(tmp_path, ["hae", "patroni"], dynamic, postgres=with_test_decoding()) as cluster:
        hae, patroni = cluster.nodes
        cluster.wait_for(lambda: confirmed(hae) is not None, 60, "the slot on the leader")
        hae.sql("create table t (n int)")
        hae.sql("insert into t select generate_series(1, 3)")
        assert changes(hae) == [1, 2, 3]
        cluster.wait_for(lambda: _follows(patroni, hae), 60, "Patroni's copy to follow")
        hae.sql("insert into t values (4)")
        hand_over(cluster, patroni)
        patroni.sql("insert into t values (5)")
        assert changes(patroni) == [4, 5]
        cluster.wait_for(
            lambda: is_covered(hae, "cdc") and _follows(hae, patroni), 90, "hae's copy to follow"
        )
        patroni.sql("insert into t values (6)")
        hand_over(cluster, hae)
        hae.sql("insert into t values (7)")
        assert changes(hae) == [6, 7]


def test_a_standby_cluster_has_members_of_both(tmp_path: Path) -> None:
    """Led by Patroni, then by hae, then promoted by hae's command."""
    permanent = {"slots": {"dr": {"type": "physical"}}}
    with mixed(tmp_path / "main", ["hae"], permanent) as main:
        (primary,) = main.nodes
        section = {"host": "127.0.0.1", "port": primary.place.postgres_port}
        dynamic = merged(TIMING, {"standby_cluster": {**section, "primary_slot_name": "dr"}})
        members = ["patroni", "hae"]
        with Cluster(
            tmp_path / "dr",
            implementation=members,
            beside=main,
            scope="batman-dr",
            dynamic=dynamic,
            postgres=main.postgres,
        ) as far:
            far.prepare()
            patroni, hae = far.nodes
            patroni.start_daemon()
            far.wait_for(lambda: _leads(patroni), 60, "Patroni's standby leader")
            hae.start_daemon()
            far.wait_for(lambda: hae.name in far.streaming_from(patroni), 60, "hae below it")
            patroni.die()
            far.wait_for(lambda: _leads(hae), 60, "hae's standby leader")
            patroni.start_daemon()
            far.wait_for(lambda: patroni.name in far.streaming_from(hae), 90, "Patroni below it")
            primary.sql("create table t as select 1 as n")
            far.wait_for(
                lambda: all(node.try_sql("select n from t") == [(1,)] for node in far.nodes),
                30,
                "the row in both",
            )
            ran = ctl(hae, "promote-cluster", "--force")
            assert ran.code == 0, ran.text
            assert far.wait_healthy() is hae


def _follows(copy: Node, leader: Node) -> bool:
    mine, theirs = confirmed(copy), confirmed(leader)
    return mine is not None and theirs is not None and mine >= theirs


def _leads(node: Node) -> bool:
    return node.says_yes("/standby-leader") and node.is_streaming()
