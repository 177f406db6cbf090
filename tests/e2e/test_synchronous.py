"""Synchronous replication on real clusters: what was acknowledged is never lost."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

from engine.state import Known, Snapshot
from shell import layout
from shell.processes import now as boottime
from shell.recorder.codec import decode
from shell.recorder.reader import read_records
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.command import ctl
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy, records_folder, rules
from tests.e2e.support.synchronous import key, standbys, wait_for_standbys
from tests.e2e.support.writer import Writer

ON = {"synchronous_mode": "on"}


def names(leader: Node) -> str | None:
    """The synchronous_standby_names in force."""
    rows = leader.try_sql("select current_setting('synchronous_standby_names')")
    return str(rows[0][0]) if rows else None


def patch(leader: Node, **settings: Any) -> None:
    """Change the dynamic configuration."""
    answer = leader.call("PATCH", "/config", settings)
    assert answer is not None
    assert answer.status == 200, answer


def patch_when_it_leads(cluster: Cluster, leader: Node, **settings: Any) -> None:
    """Change the dynamic configuration as soon as that node answers as leader again."""
    cluster.wait_for(lambda: cluster.find_leader() is leader, 30, "the same leader")
    patch(leader, **settings)


def test_a_dead_primary_is_followed_by_who_has_every_acknowledged_row(tmp_path: Path) -> None:
    """The primary's node dies under load: the standby that `sync` named leads, no row is lost.

    The asynchronous member does not lead, not even while the synchronous one is down too.
    """
    with healthy(tmp_path, dynamic=ON) as cluster, Writer(cluster.dsn()) as writer:
        old = cluster.leader()
        (chosen,) = wait_for_standbys(cluster, 1)
        (other,) = (n for n in cluster.nodes if n not in {old, chosen})
        cluster.wait_for(lambda: chosen.says_yes("/sync"), 30, "200 on /sync")
        assert other.says_yes("/async")
        cluster.wait_for(lambda: writer.count() > 100, 30, "rows")
        chosen.die()
        old.die()
        cluster.wait_for(
            lambda: "race.not_synchronous" in rules(other), 60, "the async node to wait"
        )
        chosen.start_daemon()
        cluster.wait_for(lambda: cluster.find_leader() is chosen, 60, "the sync standby to lead")
        before = writer.count()
        cluster.wait_for(lambda: writer.count() > before + 50, 30, "rows again")
        old.start_daemon()
        cluster.wait_healthy()
        writer.close()
        assert writer.lost(cluster.leader()) == []


def test_a_synchronous_standby_is_released_before_it_stops(tmp_path: Path) -> None:
    """The primary goes on without it first; afterwards it, or the other one, is named again."""
    with healthy(tmp_path, dynamic=ON) as cluster:
        leader, (chosen,) = cluster.leader(), wait_for_standbys(cluster, 1)
        told = ctl(leader, "restart", "batman", chosen.name, "--force")
        assert told.code == 0, told.text
        assert_released_before(chosen, "request.restart")
        cluster.wait_for(lambda: not is_marked(cluster, chosen), 30, "no nosync any more")
        (chosen,) = wait_for_standbys(cluster, 1)
        chosen.kill_daemon(signal.SIGTERM)
        assert_released_before(chosen, "stop.postgres")
        cluster.wait_for(
            lambda: standbys(cluster) not in {(), (chosen.name,)}, 30, "the other one instead"
        )


def test_a_synchronous_standby_is_released_before_it_is_emptied(tmp_path: Path) -> None:
    """Its copy has what was acknowledged: the leader names another member before it is removed."""
    with healthy(tmp_path, dynamic=ON) as cluster:
        leader, (chosen,) = cluster.leader(), wait_for_standbys(cluster, 1)
        (chosen.place.data_dir / "left-over").write_text("x")
        told = ctl(leader, "reinit", "batman", chosen.name, "--force", "--wait")
        assert told.code == 0, told.text
        assert not (chosen.place.data_dir / "left-over").exists()
        assert_released_before(chosen, "request.reinitialize")
        cluster.wait_for(lambda: not is_marked(cluster, chosen), 30, "no nosync any more")
        assert cluster.wait_healthy() is leader


def test_a_synchronous_standby_that_lost_its_disk_waits_to_be_released(tmp_path: Path) -> None:
    """While its leader can't release it, it is not copied; it can't lead without its data."""
    with healthy(tmp_path, dynamic=ON) as cluster, Writer(cluster.dsn()) as writer:
        leader, (chosen,) = cluster.leader(), wait_for_standbys(cluster, 1)
        cluster.wait_for(lambda: writer.count() > 50, 30, "rows")
        leader.pause_daemon()
        chosen.die()
        shutil.rmtree(chosen.place.data_dir)
        chosen.start_daemon()
        cluster.wait_for(lambda: "directory.synchronous" in rules(chosen), 30, "it to wait")
        cluster.wait_for(lambda: not leader.is_writable(), 60, "the fence to end the leader")
        cluster.wait_for(lambda: "directory.wait" in rules(chosen), 60, "nobody to lead")
        leader.continue_daemon()
        assert cluster.wait_healthy() is leader
        writer.close()
        assert writer.lost(leader) == []


def assert_released_before(node: Node, rule: str) -> None:
    """When that rule stopped PostgreSQL, `sync` had ceased to name the node."""
    lines = [line for line in read_records(records_folder(node)) if rule in line.get("fired", ())]
    seen = decode(Snapshot, lines[-1]["snapshot"])
    assert isinstance(seen.cluster, Known)
    assert seen.cluster.value.sync is not None
    assert node.name not in seen.cluster.value.sync.standbys


def is_marked(cluster: Cluster, node: Node) -> bool:
    """Whether its member key says `nosync`."""
    with cluster.keys() as store:
        member = layout.parse_cluster(store.read(boottime() + 5).entries).member(node.name)
    return member is None or member.tags.nosync


def test_strict_mode_waits_for_a_standby(tmp_path: Path) -> None:
    """Without any standby no commit is acknowledged, and with the first one they go on."""
    strict = {**ON, "synchronous_mode_strict": True}
    with healthy(tmp_path, nodes=2, dynamic=strict) as cluster, Writer(cluster.dsn()) as writer:
        leader, (standby,) = cluster.leader(), wait_for_standbys(cluster, 1)
        cluster.wait_for(lambda: writer.count() > 50, 30, "rows")
        standby.die()
        cluster.wait_for(lambda: standbys(cluster) == (), 30, "no synchronous standby")
        hanging = "select 1 from pg_stat_activity where wait_event = 'SyncRep'"
        cluster.wait_for(lambda: leader.try_sql(hanging), 30, "a commit that waits")
        assert names(leader) not in {None, "", "*"}
        before = writer.count()
        standby.start_daemon()
        cluster.wait_for(lambda: writer.count() > before + 50, 60, "rows again")
        writer.close()
        assert wait_for_standbys(cluster, 1) == [standby]
        assert writer.lost(leader) == []


def test_the_mode_changes_under_load(tmp_path: Path) -> None:
    """off, on, quorum, off by PATCH: the key and the names follow, and rows go on."""
    with healthy(tmp_path) as cluster, Writer(cluster.dsn()) as writer:
        leader = cluster.leader()
        assert key(cluster) is None
        patch(leader, **ON)
        (chosen,) = wait_for_standbys(cluster, 1)
        assert names(leader) == chosen.name
        patch(leader, synchronous_mode="quorum")
        voters = wait_for_standbys(cluster, 2)
        now = key(cluster)
        assert now is not None
        assert now.quorum == 1
        both = f"ANY 1 ({','.join(node.name for node in voters)})"
        cluster.wait_for(lambda: names(leader) == both, 30, "the quorum's names")
        cluster.wait_for(lambda: voters[0].says_yes("/quorum"), 30, "200 on /quorum")
        patch(leader, synchronous_mode="off")
        cluster.wait_for(lambda: key(cluster) is None, 30, "the key to go")
        cluster.wait_for(lambda: names(leader) == "", 30, "the operator's own names")
        before = writer.count()
        cluster.wait_for(lambda: writer.count() > before + 50, 30, "rows")
        writer.close()
        assert cluster.wait_healthy() is leader
        assert writer.lost(leader) == []


def test_a_daemon_that_dies_between_two_steps_is_followed_by_one_that_ends_them(
    tmp_path: Path,
) -> None:
    """Killed when the names were set and the key was not written: a new daemon finishes."""
    with healthy(tmp_path, dynamic=ON) as cluster, Writer(cluster.dsn()) as writer:
        leader, (first,) = cluster.leader(), wait_for_standbys(cluster, 1)
        for _ in range(10):
            patch(leader, synchronous_node_count=2)
            cluster.wait_for(lambda: (names(leader) or "").startswith("2 ("), 30, "two names", 0.01)
            leader.kill_daemon(signal.SIGKILL)
            if standbys(cluster) == (first.name,):
                break
            leader.start_daemon()  # it was quicker: once more from the beginning
            patch_when_it_leads(cluster, leader, synchronous_node_count=1)
            (first,) = wait_for_standbys(cluster, 1)
        else:
            raise AssertionError("the daemon never died between the two steps")
        leader.start_daemon()
        wait_for_standbys(cluster, 2)
        before = writer.count()
        cluster.wait_for(lambda: writer.count() > before + 50, 30, "rows")
        assert cluster.wait_healthy() is leader
