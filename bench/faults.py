"""Cases in which PostgreSQL, or a whole node, is started, handed over or lost."""

from __future__ import annotations

import time

from bench.case import Case, Goal, Measures, random_delay_seconds
from bench.watch import LeaderKey
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.writer import Writer

LOWEST_TTL = {
    "patroni": {"ttl": 20, "loop_wait": 1, "retry_timeout": 3},
    "hae": {"ttl": 5, "loop_wait": 1, "retry_timeout": 1},
}
ALLOW_LOW_TTL = {"hae": {"hae": {"low_ttl": True}}}
WAIT_SECONDS = 120.0


def pause(seconds: float) -> None:
    """Let the cluster run undisturbed."""
    time.sleep(seconds)


def writing(cluster: Cluster, writer: Writer) -> None:
    """Wait for a second of rows, then for a random part of a loop."""
    cluster.wait_for(lambda: writer.count() > 200, 30, "the writer's first rows")
    pause(random_delay_seconds(cluster))


def gap_after(cluster: Cluster, writer: Writer, moment: float) -> float:
    """Wait until rows are acknowledged again, and for two seconds more; return the longest gap."""
    time.sleep(0.1)  # an acknowledgement may still be under way when the fault strikes
    cluster.wait_for(
        lambda: any(entry.at > moment + 0.1 for entry in writer.acknowledged[-50:]),
        WAIT_SECONDS,
        f"writes after the fault ({writer.last_error})",
    )
    pause(2)
    return writer.longest_gap(moment - 1)


def all_stream(cluster: Cluster) -> bool:
    """Whether one node is writable and all others stream from it, asked of PostgreSQL alone."""
    writable = [node for node in cluster.nodes if node.is_writable()]
    return len(writable) == 1 and len(cluster.streaming_from(writable[0])) == len(cluster.nodes) - 1


def bootstrap(cluster: Cluster) -> Measures:
    """Three empty folders until all stream."""
    cluster.prepare()
    started = time.monotonic()
    for node in cluster.nodes:
        node.start_daemon()
    cluster.wait_for(lambda: all_stream(cluster), WAIT_SECONDS, "all nodes to stream")
    return {"streaming": time.monotonic() - started}


def switchover(cluster: Cluster) -> Measures:
    """A switchover by REST without a named candidate."""
    old = cluster.leader()
    with Writer(cluster.dsn()) as writer:
        writing(cluster, writer)
        started = time.monotonic()
        call = cluster.switchover(old)
        cluster.wait_for(old.is_streaming, WAIT_SECONDS, f"{old.name} to stream")
        rejoined = time.monotonic() - started
        gap = gap_after(cluster, writer, started)
    lost = len(writer.lost(cluster.wait_healthy()))
    return {"gap": gap, "call": call, "rejoined": rejoined, "lost": lost}


def primary_killed(cluster: Cluster) -> Measures:
    """SIGKILL the primary's postmaster, its daemon goes on."""
    old = cluster.leader()
    with Writer(cluster.dsn()) as writer:
        writing(cluster, writer)
        killed = time.monotonic()
        old.kill_postmaster()
        gap = gap_after(cluster, writer, killed)
    leader = cluster.wait_healthy(WAIT_SECONDS)
    return {"gap": gap, "moved": float(leader is not old), "healthy": time.monotonic() - killed}


def replica_killed(cluster: Cluster) -> Measures:
    """SIGKILL a replica's postmaster."""
    replica = cluster.replicas()[0]
    pause(random_delay_seconds(cluster))
    killed = time.monotonic()
    before = replica.postmaster_pid()
    replica.kill_postmaster()
    cluster.wait_for(
        lambda: replica.postmaster_pid() not in (None, before) and replica.is_streaming(),
        WAIT_SECONDS,
        f"{replica.name} to stream again",
        0.02,
    )
    return {"streaming": time.monotonic() - killed}


def node_killed(cluster: Cluster) -> Measures:
    """SIGKILL the primary's daemon and postmaster together, as a lost host."""
    old = cluster.leader()
    with LeaderKey(cluster) as key, Writer(cluster.dsn()) as writer:
        writing(cluster, writer)
        killed = time.monotonic()
        kill_node(old)
        gap = gap_after(cluster, writer, killed)
        gone = cluster.wait_for(lambda: key.gone_at(old.name, killed), 60, "the key to go")
        first = writer.first_after(killed + 0.1)
    assert first is not None
    return {"gap": gap, "after_key": first - gone, "key": gone - killed}


def kill_node(node: Node) -> None:
    """SIGKILL daemon and postmaster of a node, the daemon first so that it cannot react."""
    postmaster = node.postmaster_pid()
    assert postmaster is not None
    node.kill_daemon()
    if node.postmaster_pid() == postmaster:
        node.kill_postmaster()


CASES = (
    Case(
        "bootstrap",
        "three empty folders until all stream",
        bootstrap,
        (Goal("streaming", "all streaming", times=0.8, worst_to_median=1.5),),
        started=False,
    ),
    Case(
        "switchover",
        "switchover by REST",
        switchover,
        (
            Goal("gap", "longest gap between acknowledged writes", times=0.33),
            Goal("call", "the REST call", times=0.5),
            Goal("rejoined", "old primary streams", times=0.5),
            Goal("lost", "acknowledged rows lost", unit="rows", at_most=0),
        ),
    ),
    Case(
        "primary-restart",
        "primary's postmaster SIGKILLed, restart in place",
        primary_killed,
        (
            Goal("gap", "writable again", times=0.15),
            Goal("moved", "primary moved", unit="runs"),
            Goal("healthy", "all streaming again"),
        ),
    ),
    Case(
        "primary-failover",
        "the same with `primary_start_timeout: 0`",
        primary_killed,
        (
            Goal("gap", "another node writable", times=0.3),
            Goal("moved", "primary moved", unit="runs"),
            Goal("healthy", "all streaming again"),
        ),
        dynamic={"both": {"primary_start_timeout": 0}},
    ),
    Case(
        "replica-restart",
        "replica's postmaster SIGKILLed",
        replica_killed,
        (Goal("streaming", "streaming again", times=0.2),),
    ),
    Case(
        "node-loss",
        "daemon and postmaster SIGKILLed, ttl 30",
        node_killed,
        (
            Goal("after_key", "leader key gone until first write", times=1.0),
            Goal("gap", "whole outage"),
        ),
    ),
    Case(
        "lowest-ttl",
        "the same at the lowest supported ttl",
        node_killed,
        (Goal("gap", "whole outage", times=0.35),),
        dynamic=LOWEST_TTL,
        node=ALLOW_LOW_TTL,
    ),
)
