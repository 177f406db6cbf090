"""The lead goes from one implementation to the other, by hand, by death, and not in a pause."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.e2e.support.command import ctl
from tests.e2e.support.node import Node
from tests.e2e.support.prober import Prober
from tests.e2e.support.writer import Writer
from tests.mixed.support import hand_over, mixed, wait_for_rows


def test_the_lead_goes_round(tmp_path: Path) -> None:
    """Switched over from hae to Patroni and back; each dies as primary and is followed."""
    with (
        mixed(tmp_path, ["hae", "patroni", "hae"]) as cluster,
        Prober(cluster.nodes) as prober,
        Writer(cluster.dsn()) as writer,
    ):
        first, patroni, third = cluster.nodes
        for candidate in (patroni, third, first, patroni):
            hand_over(cluster, candidate)
            wait_for_rows(cluster, writer, 50)
        patroni.die()
        new = cluster.wait_for(cluster.find_leader, 60, "a member of hae to lead")
        assert new in {first, third}
        patroni.start_daemon()
        cluster.wait_healthy()
        (spare,) = {first, third} - {new}
        spare.kill_daemon(signal.SIGTERM)
        new.die()
        cluster.wait_for(lambda: cluster.find_leader() is patroni, 60, "Patroni to lead")
        for node in (new, spare):
            node.start_daemon()
        assert cluster.wait_healthy() is patroni
        prober.close()
        assert prober.overlaps() == []


def test_a_pause_holds_for_both(tmp_path: Path) -> None:
    """Paused by hae's command: the dead primary is followed by nobody, until it is resumed."""
    with mixed(tmp_path, ["patroni", "hae", "hae"]) as cluster:
        patroni, *others = cluster.nodes
        ran = ctl(others[0], "pause", "--wait")
        assert ran.code == 0, ran.text
        patroni.die()
        cluster.wait_for(lambda: _unlocked(others[0]), 60, "the lock to end")
        cluster.wait_for(lambda: _unlocked(others[1]), 10, "the other to see it")
        assert not any(node.is_writable() for node in others)
        ran = ctl(others[0], "resume")
        assert ran.code == 0, ran.text
        new = cluster.wait_for(cluster.find_leader, 60, "a new primary")
        assert new in others
        patroni.start_daemon()
        assert cluster.wait_healthy() is new
        cluster.wait_for(lambda: patroni.says_yes("/replica"), 30, "Patroni's replica")


def _unlocked(node: Node) -> bool:
    answer = node.get("/patroni")
    return bool(answer and answer.document.get("cluster_unlocked"))
