"""The flight recorder: what it keeps, what is told from it, and a disk without room."""

from __future__ import annotations

import json
import resource
from datetime import datetime
from pathlib import Path

from shell.recorder.reader import read_records
from tests.e2e.support.command import hae
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy, loops_pass, records_folder
from tests.e2e.support.writer import Writer


def test_a_cluster_goes_on_when_nothing_can_be_recorded(tmp_path: Path) -> None:
    """No record fits on the disk: rows go on, the metric counts, and later records are kept.

    The daemon alone (not PostgreSQL, which runs already) may make no file longer than its newest
    records are: the kernel then refuses to write more of them, as on a full disk.
    """
    with healthy(tmp_path, nodes=2, store="etcd3") as cluster, Writer(cluster.dsn()) as writer:
        leader = cluster.leader()
        newest = max(records_folder(leader).glob("*.jsonl"))
        limits = resource.prlimit(leader.daemon_pid, resource.RLIMIT_FSIZE)
        full = (newest.stat().st_size, limits[1])
        resource.prlimit(leader.daemon_pid, resource.RLIMIT_FSIZE, full)
        cluster.wait_for(lambda: lost_records(leader) > 3, 30, "the metric to count")
        before = writer.count()
        cluster.wait_for(lambda: writer.count() > before + 100, 30, "rows")
        assert cluster.find_leader() is leader
        resource.prlimit(leader.daemon_pid, resource.RLIMIT_FSIZE, limits)
        loops_pass(cluster, 3)
        lost = lost_records(leader)
        loops_pass(cluster, 3)
        assert lost_records(leader) == lost
        replayed = hae("replay", records_folder(leader))
        assert replayed.code == 0, replayed.text
        assert "decisions are not recorded" in leader.log_text(60000)
        assert cluster.wait_healthy() is leader


def test_a_recorded_failover_is_explained_afterwards(tmp_path: Path) -> None:
    """The moment of a promotion can be asked for later, from the node and from its files alone."""
    with healthy(tmp_path, nodes=2) as cluster:
        old = cluster.leader()
        old.kill_daemon()
        old.kill_postmaster()
        new = cluster.wait_for(
            lambda: next((n for n in cluster.nodes if n is not old and n.is_writable()), None),
            60,
            "another leader",
        )
        cluster.wait_for(lambda: cluster.find_leader() is new, 30, "it to lead")
        won = moment_of(new, "race.acquire")
        told = hae("explain", "-c", new.place.file, "--at", won)
        assert told.code == 0, told.text
        assert "race.acquire" in told.out
        assert "race.peer_ahead" in told.out, "the rules that were ruled out"
        assert "what would have changed it" in told.out
        of_the_dead = hae("explain", "-c", old.place.file)
        assert of_the_dead.code == 0, of_the_dead.text
        assert "does not answer" in of_the_dead.err
        machine_readable = hae("explain", records_folder(new), "--at", won, "--format", "json")
        assert "race.acquire" in json.loads(machine_readable.out)["fired"]


def lost_records(node: Node) -> int:
    """Return the recorder's count of records that it could not write."""
    answer = node.get("/metrics")
    text = answer.document.get("text", "") if answer else ""
    found = [line for line in text.splitlines() if line.startswith("hae_recorder_lost")]
    return int(float(found[0].split()[-1])) if found else 0


def moment_of(node: Node, rule: str) -> str:
    """Return the epoch second of the record in which that rule fired, in local ISO time."""
    moments = [
        record["wall"] for record in read_records(records_folder(node)) if rule in record["fired"]
    ]
    assert moments, f"{node.name} recorded no {rule}"
    return datetime.fromtimestamp(moments[-1] + 0.001).astimezone().isoformat()
