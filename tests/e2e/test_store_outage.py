"""The store stops answering, loses its keys, or holds what nobody understands."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell.processes import now
from shell.stores.base import Store
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.prober import Prober
from tests.e2e.support.stories import QUICK, healthy, loops_pass, prepared, sees_the_store
from tests.support.wire import Wire


def test_a_primary_stops_before_its_lease_ends_when_the_store_is_gone(tmp_path: Path) -> None:
    """The store freezes: writing ends within ttl; it goes on: a leader again, no row lost.

    On a busy machine the fast stop, which sends everything to the replicas, may not end before the
    immediate one; then what was not sent yet is lost, as replication is asynchronous.
    """
    with healthy(tmp_path, store="etcd3") as cluster, Prober(cluster.nodes) as prober:
        leader = cluster.leader()
        cluster.wait_for(lambda: prober.wrote(leader) > 20, 30, "rows on the leader")
        assert cluster.store is not None
        cluster.store.pause()
        cluster.wait_for(lambda: not any_writable(cluster), QUICK["ttl"] + 10, "no primary")
        cluster.wait_for(lambda: statuses(cluster, "/primary") == {503}, 20, "503 from everybody")
        assert all(node.daemon_runs() for node in cluster.nodes)
        cluster.store.resume()
        new = cluster.wait_healthy()
        written = prober.wrote(new)
        cluster.wait_for(lambda: prober.wrote(new) > written + 20, 30, "rows again")
        prober.close()
        assert prober.overlaps() == []
        if "stopping PostgreSQL (immediate)" not in leader.log_text(60_000):
            assert prober.lost(on=new, of=leader) == []
        assert prober.lost(on=new, of=new) == []


def test_a_short_outage_of_the_store_changes_nothing(tmp_path: Path) -> None:
    """The store is gone for less than the lease: no role changes, no server restarts."""
    timing = {"ttl": 60, "loop_wait": 1, "retry_timeout": 5}
    with healthy(tmp_path, store="etcd3", dynamic=timing) as cluster:
        leader = cluster.leader()
        before = [node.postmaster_pid() for node in cluster.nodes]
        assert cluster.store is not None
        cluster.store.kill()
        cluster.wait_for(lambda: not any(sees_the_store(n) for n in cluster.nodes), 40, "the loss")
        assert leader.is_writable()
        cluster.store.start()
        cluster.wait_for(lambda: all(sees_the_store(n) for n in cluster.nodes), 40, "the return")
        assert cluster.wait_healthy() is leader
        assert [node.postmaster_pid() for node in cluster.nodes] == before


def test_a_replica_without_the_store_streams_again_from_the_same_primary(tmp_path: Path) -> None:
    """Only the replica is cut off; its primary crashes and is back: asked first, it is followed."""
    with prepared(tmp_path, store="etcd3", nodes=2) as cluster:
        assert cluster.store is not None
        with Wire(cluster.store.port) as wire:
            primary, replica = cluster.nodes
            through = {"etcd3": {"hosts": wire.host, "use_proxies": True}}
            cluster.write_node_file(replica, through)
            primary.start_daemon()
            cluster.wait_for(primary.is_writable, 60, "the primary")
            replica.start_daemon()
            cluster.wait_healthy()
            wire.cut()
            cluster.wait_for(lambda: not sees_the_store(replica), 40, "the loss of the store")
            loops_pass(cluster, 3)
            assert replica.is_streaming(), "what streams goes on without the store"
            assert "standby.cut_off" not in replica.log_text(60_000)
            primary.pause_daemon()  # else the primary may be back before the replica has looked
            primary.kill_postmaster()
            cluster.wait_for(
                lambda: "standby.cut_off" in replica.log_text(60_000),
                20,
                "the replica to turn away",
            )
            primary.continue_daemon()
            cluster.wait_for(primary.is_writable, 60, "the primary again")
            cluster.wait_for(replica.is_streaming, 20, "the replica to stream again")
            assert "standby.cut_off_follow" in replica.log_text(60_000)
            primary.sql("create table written (n int)")
            cluster.wait_for(
                lambda: replica.try_sql("select * from written") == [], 20, "what was written"
            )
            assert not sees_the_store(replica)
            wire.mend()
            assert cluster.wait_healthy() is primary


@pytest.mark.parametrize("store", ["etcd3", "etcd", "embedded"])
def test_a_cluster_outlives_the_loss_of_its_keys(tmp_path: Path, store: str) -> None:
    """Every key is deleted under a running cluster: the keys come back, no server restarts."""
    with healthy(tmp_path, store=store) as cluster, cluster.keys() as keys:
        leader = cluster.leader()
        before = [node.postmaster_pid() for node in cluster.nodes]
        keys.delete_all(now() + 10)

        def all_there() -> bool:
            found = keys.read(now() + 10).entries
            wanted = {"leader", "initialize", "config", "status"}
            return wanted | {f"members/{node.name}" for node in cluster.nodes} <= set(found)

        cluster.wait_for(all_there, 30, "the keys")
        cluster.wait_healthy()
        assert [node.postmaster_pid() for node in cluster.nodes] == before
        assert leader.is_writable()


def test_a_primary_gives_way_to_a_foreign_owner_of_the_lock(tmp_path: Path) -> None:
    """Another program writes the leader key: the primary stops; the key gone, a leader again."""
    with healthy(tmp_path) as cluster, cluster.keys() as keys:
        keys.put("leader", "somebody-else", now() + 10)
        cluster.wait_for(lambda: not any_writable(cluster), 20, "no primary")
        keys.delete("leader", now() + 10)
        cluster.wait_healthy()


def test_other_programs_values_under_our_keys_do_no_harm(tmp_path: Path) -> None:
    """Garbage and strangers' JSON in the keys: the cluster goes on and can still switch over."""
    with healthy(tmp_path) as cluster, cluster.keys() as keys:
        leader = cluster.leader()
        before = [node.postmaster_pid() for node in cluster.nodes]
        for key, text in {
            "config": "not json {",
            "initialize": '{"another": "program"}',
            f"members/{leader.name}": "[]",
            "failover": '{"leader": 7, "member": ["n2"], "scheduled_at": "soon"}',
            "history": '[[1], "x", null]',
            "status": '{"optime": "far", "slots": [1, 2]}',
            "sync": "\N{SNOWMAN}",
            "failsafe": "[1, 2]",
            "members/stranger": '{"conn_url": 5, "role": "king", "tags": "x"}',
            "unknown/key": "?",
        }.items():
            keys.put(key, text, now() + 10)
        loops_pass(cluster, 5)
        assert cluster.wait_healthy() is leader
        assert [node.postmaster_pid() for node in cluster.nodes] == before
        assert "`initialize` holds '{" in leader.log_text()
        keys.delete("initialize", now() + 10)
        keys.put("config", json.dumps(cluster.dynamic), now() + 10)
        cluster.wait_for(lambda: identity_in(keys).isdecimal(), 20, "the identity again")
        cluster.switchover(leader, cluster.replicas()[0])
        assert cluster.wait_healthy() is not leader


class _Garbage(http.server.BaseHTTPRequestHandler):
    """Answers everything with a web page."""

    def do_GET(self) -> None:
        """Answer."""
        page = b"<html><body>It works!</body></html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def garbage_port() -> Iterator[int]:
    """A web server where an etcd is expected."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Garbage) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("section", ["etcd3", "etcd"])
def test_a_store_that_answers_garbage_is_named(
    tmp_path: Path, garbage_port: int, section: str
) -> None:
    """A web server in the store's place: the daemon says so and touches nothing."""
    with prepared(tmp_path, nodes=1) as cluster:
        node = cluster.nodes[0]
        store = {"embedded": None, section: {"hosts": f"127.0.0.1:{garbage_port}"}}
        cluster.write_node_file(node, store)
        node.start_daemon()
        cluster.wait_for(lambda: f"127.0.0.1:{garbage_port}" in node.log_text(), 30, "a message")
        assert "not etcd" in node.log_text() or "JSON" in node.log_text()
        assert "Traceback" not in node.log_text()
        assert not node.place.data_dir.exists()


def test_a_daemon_waits_for_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    """Daemons that find no store wait for it, then make the cluster."""
    with prepared(tmp_path, store="etcd3", nodes=2) as cluster:
        assert cluster.store is not None
        cluster.store.kill()
        for node in cluster.nodes:
            node.start_daemon()
        cluster.wait_for(
            lambda: all("waiting for the store" in node.log_text() for node in cluster.nodes),
            30,
            "every daemon to say that it waits",
        )
        cluster.store.start()
        cluster.wait_healthy()


def identity_in(keys: Store) -> str:
    """Return what the store holds under `initialize`; empty when there is no such key."""
    entry = keys.read(now() + 10).entries.get("initialize")
    return entry.value if entry else ""


def any_writable(cluster: Cluster) -> bool:
    """Whether some node is out of recovery."""
    return any(node.is_writable() for node in cluster.nodes)


def statuses(cluster: Cluster, path: str) -> set[int]:
    """Return the distinct statuses with which the nodes answer a path; 0 is no answer."""
    answers = [node.get(path) for node in cluster.nodes]
    return {answer.status if answer else 0 for answer in answers}
