"""Which WAL receiver a standby streams by: by its number a new connection is noticed."""

from __future__ import annotations

from tests.postgres.cluster import Cluster, server
from tests.support.wait import wait_for


def test_each_connection_has_a_wal_receiver_of_its_own(cluster: Cluster) -> None:
    """The number stays while a connection lasts; a primary has none, nor has a lonely standby."""
    first = cluster.primary("a")
    second = cluster.standby("b", "a")
    assert server(first).receiver is None
    before = server(second).receiver
    assert before is not None
    cluster.sql("a", "SELECT pg_switch_wal()")
    assert server(second).receiver == before

    first.stop("fast")
    wait_for(lambda: server(second).replication_state is None, 10, "b to lose its upstream")
    assert server(second).receiver is None
    assert first.start("primary", None, 30)
    wait_for(lambda: server(second).replication_state == "streaming", 20, "b to stream again")
    assert server(second).receiver not in {None, before}
