"""`hae whatif` against what then really happens to a cluster."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

from shell.recorder.reader import read_records
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.command import hae
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy, loops_pass, records_folder
from tests.e2e.support.writer import Writer


def asked(what: str, *words: str | Path) -> dict[str, Any]:
    """What `hae whatif` answers to that question."""
    told = hae("whatif", *words, "--if", what, "--runs", "10", "-f", "json")
    assert told.code == 0, told.text
    document: dict[str, Any] = json.loads(told.out)
    return document


def synchronous_standby(cluster: Cluster) -> str | None:
    """Whom the store names beside the leader, while all stream."""
    if not cluster.is_healthy():
        return None
    answer = cluster.leader().get("/cluster")
    members = answer.document["members"] if answer is not None else []
    return next((m["name"] for m in members if m["role"] == "sync_standby"), None)


def has_fired(node: Node, rule: str) -> bool:
    """Whether a recorded decision of that node came from that rule."""
    return any(rule in line.get("fired", ()) for line in read_records(records_folder(node)))


def test_who_is_told_to_take_over_does_so_by_the_rules_that_were_told(tmp_path: Path) -> None:
    """Asked over REST and, afterwards, of the records: the synchronous standby, losing nothing."""
    with healthy(tmp_path, dynamic={"synchronous_mode": True}) as cluster:
        standby = cluster.wait_for(
            lambda: synchronous_standby(cluster), 60, "a synchronous standby"
        )
        loops_pass(cluster, 3)
        old = cluster.leader()
        told = asked("primary-killed", "-c", old.place.file)
        assert [m["by_its_own_word"] for m in told["members"]] == [True, True, True]
        (ending,) = told["questions"][0]["endings"]
        assert told["questions"][0]["doubts"] == [], told
        assert ending["leader"] == standby, told
        assert ending["loss"]["safe_by"], told
        with Writer(cluster.dsn()) as writer:
            cluster.wait_for(lambda: writer.count() > 50, 60, "the first rows")
            before = time.time()
            old.kill_daemon(signal.SIGKILL)
            old.kill_postmaster()
            new = cluster.wait_for(cluster.find_leader, 60, "a new leader")
            rows = writer.count()
            cluster.wait_for(lambda: writer.count() > rows + 50, 60, "rows again")
        assert new.name == standby
        assert [rule["rule"] for rule in ending["by"] if not has_fired(new, rule["rule"])] == []
        assert writer.lost(new) == []
        print(
            f"told {ending['out_median_seconds']} s, at most {ending['out_worst_seconds']} s;"
            f" measured {writer.longest_gap():.2f} s"
        )
        records = [word for node in cluster.nodes for word in ("--record", records_folder(node))]
        then = asked("primary-killed", *records, "--at", str(before))
        assert [x["leader"] for x in then["questions"][0]["endings"]] == [standby], then


def test_a_killed_postmaster_is_started_again_as_was_told(tmp_path: Path) -> None:
    """Asked of one member, which tells of the others: no failover, by the rule that was told."""
    with healthy(tmp_path, nodes=2) as cluster:
        loops_pass(cluster, 3)
        leader, (other,) = cluster.leader(), cluster.replicas()
        told = asked("postgres-dies", "--url", f"127.0.0.1:{other.place.api_port}")
        (ending,) = told["questions"][0]["endings"]
        assert ending["leader"] == leader.name, told
        leader.kill_postmaster()
        assert cluster.wait_healthy() is leader
        assert [rule["rule"] for rule in ending["by"] if has_fired(leader, rule["rule"])] != []
