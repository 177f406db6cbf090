"""The whole life of a cluster, on every PostgreSQL and every store that is installed here."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.command import ctl, hae
from tests.e2e.support.node import Node
from tests.e2e.support.stories import default_postgres, healthy, leaks, records_folder
from tests.e2e.support.writer import Writer
from tools.servers import EtcdInstall, PostgresInstall, find_etcd, find_postgres


def settings() -> list[object]:
    """Each PostgreSQL on a real etcd, and the quickest of them on the other stores as well."""
    quick, etcds = default_postgres(), find_etcd()
    chosen: list[tuple[PostgresInstall, str, EtcdInstall | None]] = [(quick, "embedded", None)]
    if etcds:
        chosen += [(postgres, "etcd3", etcds[-1]) for postgres in find_postgres()]
        chosen += [(quick, "etcd", etcds[-1])]
    return [
        pytest.param(postgres, store, etcd, id=f"postgres-{postgres.version}-{store}")
        for postgres, store, etcd in chosen
    ]


@pytest.mark.parametrize(("postgres", "store", "etcd"), settings())
def test_a_cluster_survives_what_happens_to_it(
    tmp_path: Path, postgres: PostgresInstall, store: str, etcd: EtcdInstall | None
) -> None:
    """A cluster keeps every acknowledged row through a crash, a lost node and a switchover."""
    with healthy(tmp_path, postgres=postgres, store=store, etcd=etcd) as cluster:
        with Writer(cluster.dsn()) as before:
            rows_come(cluster, before)
            restart_in_place(cluster, before)
        every_row_is_everywhere(cluster, before)
        lost = kill_the_primarys_node(cluster)
        with Writer(cluster.dsn(), first=1_000_000) as after:
            rows_come(cluster, after)
            bring_back(cluster, lost)
            switch_over(cluster, after)
        every_row_is_everywhere(cluster, before, after)
        assert leaks(cluster) == []
        assert_replay_shows_no_difference(cluster)
        assert_the_promotion_is_explained(cluster)


def rows_come(cluster: Cluster, writer: Writer) -> None:
    """Wait for new rows."""
    before = writer.count()
    cluster.wait_for(lambda: writer.count() >= before + 50, 60, "rows to be acknowledged")


def restart_in_place(cluster: Cluster, writer: Writer) -> None:
    """The primary's postmaster crashes; the same node leads again."""
    leader = cluster.leader()
    leader.kill_postmaster()
    rows_come(cluster, writer)
    assert cluster.wait_healthy() is leader


def kill_the_primarys_node(cluster: Cluster) -> Node:
    """Daemon and postmaster die at once."""
    lost = cluster.leader()
    lost.kill_daemon(signal.SIGKILL)
    lost.kill_postmaster()
    return lost


def bring_back(cluster: Cluster, lost: Node) -> None:
    """The lost node finds another leader, rewinds if it must, and follows."""
    assert cluster.leader() is not lost
    lost.start_daemon()
    assert cluster.wait_healthy() is not lost


def switch_over(cluster: Cluster, writer: Writer) -> None:
    """A switchover to a named candidate, asked for with the command line."""
    leader, candidate = cluster.leader(), cluster.replicas()[0]
    ended = ctl(leader, "switchover", "--candidate", candidate.name, "--force")
    assert ended.code == 0, ended.text
    rows_come(cluster, writer)
    assert cluster.wait_healthy() is candidate


def every_row_is_everywhere(cluster: Cluster, *writers: Writer) -> None:
    """Every node has every acknowledged row; asked again until the replicas have replayed."""
    assert all(writer.count() for writer in writers)

    def missing() -> bool:
        return any(writer.lost(node) for node in cluster.nodes for writer in writers)

    cluster.wait_for(lambda: not missing(), 30, "every acknowledged row on every node")


def assert_replay_shows_no_difference(cluster: Cluster) -> None:
    """The recorded decisions come out the same again."""
    for node in cluster.nodes:
        replayed = hae("replay", records_folder(node))
        assert replayed.code == 0, replayed.text
        assert " 0 different, 0 unreadable" in replayed.out


def assert_the_promotion_is_explained(cluster: Cluster) -> None:
    """`hae explain` names the rule that keeps the leader where it is."""
    leader = cluster.leader()
    explained = hae("explain", "-c", leader.place.file)
    assert explained.code == 0, explained.text
    assert "primary.leads" in explained.out
