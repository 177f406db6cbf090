"""Cases in which only the primary's daemon is lost, and PostgreSQL runs on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from bench.case import Case, Goal, Measures
from bench.faults import WAIT_SECONDS, pause, writing
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.writer import Writer

CAP_SECONDS = 60.0
Step = Callable[[], None]


def daemon_stopped(cluster: Cluster) -> Measures:
    """SIGSTOP the daemon, wait for the cap, continue it."""
    old = cluster.leader()
    return _lose_daemon(cluster, old, old.pause_daemon, old.continue_daemon)


def daemon_killed(cluster: Cluster) -> Measures:
    """SIGKILL the daemon, wait for the cap, start it again."""
    old = cluster.leader()
    return _lose_daemon(cluster, old, old.kill_daemon, old.start_daemon)


def _lose_daemon(cluster: Cluster, old: Node, lose: Step, bring_back: Step) -> Measures:
    with ExitStack() as stack:
        client = stack.enter_context(Writer(cluster.dsn()))
        direct = [
            stack.enter_context(_direct_writer(node, first))
            for first, node in enumerate(cluster.nodes, start=1)
        ]
        writing(cluster, client)
        fault = time.monotonic()
        lose()
        pause(CAP_SECONDS)
        back = time.monotonic()
        bring_back()
        cluster.wait_for(lambda: _follows(cluster, old), WAIT_SECONDS, f"{old.name} to follow")
        rejoined = time.monotonic() - back
    writers = [client, *direct]
    leader = cluster.wait_healthy(WAIT_SECONDS)
    acknowledged = [a for w in writers for a in w.acknowledged if a.at > fault]
    ours = [a.at for a in acknowledged if a.port == old.place.postgres_port]
    others = [a.at for a in acknowledged if a.port != old.place.postgres_port and a.at < back]
    return {
        "both": max(0.0, max(ours, default=fault) - min(others)) if others else 0.0,
        "new_primary": min(others, default=float("inf")) - fault,
        "gap": client.longest_gap(fault - 1),
        "lost": sum(len(writer.lost(leader)) for writer in writers),
        "rejoined": rejoined,
    }


def _direct_writer(node: Node, first: int) -> Writer:
    """Return a slow writer that knows this node only, with numbers of its own."""
    dsn = (
        f"host=127.0.0.1 port={node.place.postgres_port} user=postgres dbname=postgres "
        "target_session_attrs=read-write connect_timeout=2"
    )
    return Writer(dsn, rate_hz=20, first=first * 10_000_000, retry_seconds=0.1)


def _follows(cluster: Cluster, old: Node) -> bool:
    leader = cluster.find_leader()
    return leader is not None and (leader is old or old.name in cluster.streaming_from(leader))


_GOALS = (
    Goal("both", "two nodes acknowledge writes", at_most=0),
    Goal("new_primary", "another node acknowledges after", at_most=45),
    Goal("gap", "longest gap seen by the client"),
    Goal("lost", "acknowledged rows lost", unit="rows"),
    Goal("rejoined", "old primary streams after the daemon is back", times=0.5),
)

CASES = (
    Case("daemon-stopped", "daemon SIGSTOPped, PostgreSQL running", daemon_stopped, _GOALS),
    Case("daemon-killed", "daemon SIGKILLed, PostgreSQL running", daemon_killed, _GOALS),
)
