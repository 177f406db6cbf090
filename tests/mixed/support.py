"""Clusters that have members of both implementations.

Belongs here: starting them, and asking what both answer alike. Must not: contain a story.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.stories import prepared
from tests.e2e.support.writer import Writer
from tools.node_file import Document, merged

# Patroni raises a shorter ttl to 20 for itself; the members have to agree on it.
TIMING: Document = {"hae": {"low_ttl": False}, "ttl": 20, "loop_wait": 2, "retry_timeout": 3}
TTL_SECONDS = 20.0


@contextlib.contextmanager
def mixed(
    folder: Path, members: list[str], dynamic: Document | None = None, **more: Any
) -> Iterator[Cluster]:
    """Give a healthy cluster on etcd v3: n1, n2, ... of those implementations; n1 leads."""
    options: dict[str, Any] = {"implementation": members, "store": "etcd3", **more}
    options["dynamic"] = merged(TIMING, dynamic or {})
    with prepared(folder, **options) as cluster:
        first, *others = cluster.nodes
        first.start_daemon()
        cluster.wait_for(lambda: cluster.find_leader() is first, 60, "the first member to lead")
        for node in others:
            node.start_daemon()
        cluster.wait_healthy()
        yield cluster


def hand_over(cluster: Cluster, candidate: Node) -> None:
    """Switch over to that member, and wait until all others stream from it."""
    cluster.switchover(cluster.leader(), candidate)
    assert cluster.wait_healthy() is candidate


def wait_for_rows(cluster: Cluster, writer: Writer, more: int) -> None:
    """Wait until the writer has so many acknowledgements more than now."""
    before = writer.count()
    cluster.wait_for(lambda: writer.count() > before + more, 30, "rows")


def wait_to_lead(cluster: Cluster, node: Node) -> None:
    """Wait until that member leads."""
    cluster.wait_for(lambda: cluster.find_leader() is node, 60, f"{node.name} to lead")
