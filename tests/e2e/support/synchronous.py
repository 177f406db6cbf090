"""What the store says of synchronous standbys.

Belongs here: questions that several stories ask. Must not: contain what a test expects.
"""

from __future__ import annotations

from engine.state import SyncState
from shell import layout
from shell.processes import now as boottime
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node


def key(cluster: Cluster) -> SyncState | None:
    """What the store says in `sync`."""
    with cluster.keys() as store:
        return layout.parse_cluster(store.read(boottime() + 5).entries).sync


def standbys(cluster: Cluster) -> tuple[str, ...]:
    """Whom `sync` names beside its leader."""
    now = key(cluster)
    return now.standbys if now else ()


def wait_for_standbys(cluster: Cluster, count: int) -> list[Node]:
    """Wait until `sync` names so many, and return them."""
    names = cluster.wait_for(
        lambda: found if len(found := standbys(cluster)) == count else None,
        30,
        f"{count} synchronous standbys",
    )
    return [cluster.node(name) for name in names]
