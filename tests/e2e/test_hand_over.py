"""Switchover and failover by hand: over REST, on the command line, now and later."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.support.command import ctl
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy
from tests.e2e.support.writer import Writer


def test_switchovers_lose_no_row_and_need_no_rewind(tmp_path: Path) -> None:
    """By REST with and without a candidate, while rows are written: every row is kept."""
    with healthy(tmp_path, store="etcd3") as cluster, Writer(cluster.dsn()) as writer:
        first, candidate = cluster.leader(), cluster.replicas()[1]
        cluster.wait_for(lambda: writer.count() > 50, 30, "rows")
        answer = first.call(
            "POST", "/switchover", {"leader": first.name, "candidate": candidate.name}, 60
        )
        assert answer is not None
        assert answer.status == 200
        assert answer.document["text"] == f'Successfully switched over to "{candidate.name}"'
        assert cluster.wait_healthy() is candidate
        cluster.switchover(candidate)
        third = cluster.wait_healthy()
        assert third is not candidate
        before = writer.count()
        cluster.wait_for(lambda: writer.count() > before + 50, 30, "rows at the end")
        writer.close()
        assert writer.lost(third) == []
        assert not any("rewinding" in node.log_text(60000) for node in cluster.nodes)
        assert [line[4] for line in history_lines(third)] == [candidate.name, third.name]


def test_the_command_line_switches_over_and_fails_over(tmp_path: Path) -> None:
    """`hae ctl switchover` without a candidate, then `hae ctl failover` to a named one."""
    with healthy(tmp_path) as cluster:
        first = cluster.leader()
        ran = ctl(first, "switchover", "--force")
        assert ran.code == 0, ran.text
        second = cluster.wait_healthy()
        assert second is not first
        candidate = cluster.replicas()[0]
        ran = ctl(first, "failover", "--candidate", candidate.name, "--force")
        assert ran.code == 0, ran.text
        assert cluster.wait_healthy() is candidate
        listed = ctl(first, "list", "--format", "tsv")
        assert listed.code == 0, listed.text
        assert roles(listed.out)[candidate.name] == "Leader"


def test_a_scheduled_switchover_happens_at_its_time(tmp_path: Path) -> None:
    """Scheduled for a few seconds ahead: shown before, done at the time, gone afterwards."""
    with healthy(tmp_path) as cluster:
        leader, candidate = cluster.leader(), cluster.replicas()[0]
        at = datetime.now(UTC) + timedelta(seconds=6)
        answer = leader.call(
            "POST",
            "/switchover",
            {"leader": leader.name, "candidate": candidate.name, "scheduled_at": at.isoformat()},
            10,
        )
        assert answer is not None
        assert (answer.status, answer.document["text"]) == (202, "Switchover scheduled")
        cluster.wait_for(lambda: scheduled_to(leader) == candidate.name, 6, "it to be shown")
        cluster.wait_for(lambda: cluster.find_leader() is candidate, 60, "the switchover")
        assert datetime.now(UTC) >= at
        cluster.wait_healthy()
        cluster.wait_for(lambda: scheduled_to(leader) == "", 30, "it to be shown no more")


def test_a_scheduled_switchover_can_be_taken_back(tmp_path: Path) -> None:
    """Flushed before its time, a switchover does not happen; a second flush finds nothing."""
    with healthy(tmp_path, nodes=2) as cluster:
        leader = cluster.leader()
        at = datetime.now(UTC) + timedelta(hours=1)
        ran = ctl(leader, "switchover", "--scheduled", at.isoformat(), "--force")
        assert ran.code == 0, ran.text
        assert "scheduled" in ran.text
        ran = ctl(leader, "flush", "batman", "switchover", "--force")
        assert ran.code == 0, ran.text
        answer = leader.call("DELETE", "/switchover", None, 10)
        assert answer is not None
        assert answer.status == 404
        assert cluster.wait_healthy() is leader


def test_a_refused_hand_over_stops_nothing(tmp_path: Path) -> None:
    """A wrong leader, an unknown candidate, a nofailover one: refused, PostgreSQL goes on."""
    with healthy(tmp_path) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        before = [node.postmaster_pid() for node in cluster.nodes]
        cluster.write_node_file(replica, {"tags": {"nofailover": True}})
        replica.call("POST", "/reload", None, 10)
        cluster.wait_for(lambda: tags(leader, replica).get("nofailover"), 30, "the new tag")
        for body, status in (
            ({"leader": replica.name}, 412),
            ({"leader": leader.name, "candidate": "nobody"}, 412),
            ({"leader": leader.name, "candidate": leader.name}, 400),
            ({"leader": leader.name, "candidate": replica.name}, 412),
            ({}, 400),
        ):
            answer = leader.call("POST", "/switchover", body, 30)
            assert answer is not None
            assert answer.status == status, (body, answer)
        ran = ctl(leader, "switchover", "--candidate", "nobody", "--force")
        assert ran.code == 1
        assert "nobody" in ran.text
        assert cluster.wait_healthy() is leader
        assert [node.postmaster_pid() for node in cluster.nodes] == before


def test_a_nofailover_member_never_leads(tmp_path: Path) -> None:
    """The leader's node dies: only the member without the tag leads, the other one waits."""
    with healthy(tmp_path) as cluster:
        leader = cluster.leader()
        tagged, other = cluster.replicas()
        cluster.write_node_file(tagged, {"tags": {"nofailover": True}})
        tagged.call("POST", "/reload", None, 10)
        cluster.wait_for(lambda: tags(leader, tagged).get("nofailover"), 30, "the new tag")
        leader.kill_daemon()
        leader.kill_postmaster()
        cluster.wait_for(lambda: cluster.find_leader() is other, 60, "the untagged one to lead")
        other.kill_daemon()
        other.kill_postmaster()
        cluster.wait_for(lambda: "race.nofailover" in tagged.log_text(), 60, "the tagged to wait")
        assert not tagged.is_writable()
        other.start_daemon()
        cluster.wait_for(lambda: cluster.find_leader() is other, 60, "the untagged one again")
        leader.start_daemon()
        assert cluster.wait_healthy() is other


def scheduled_to(node: Node) -> str | None:
    """Return the candidate of the scheduled switchover that a node shows; empty without one."""
    answer = node.get("/cluster")
    return answer.document.get("scheduled_switchover", {}).get("to", "") if answer else None


def history_lines(node: Node) -> list[list[object]]:
    """Return GET /history, which is a JSON array."""
    answer = node.get("/history")
    assert answer is not None
    lines: list[list[object]] = json.loads(answer.document["text"])
    return lines


def tags(asked: Node, of: Node) -> dict[str, object]:
    """Return the tags of a member as another node sees them."""
    answer = asked.get("/cluster")
    members = answer.document["members"] if answer else []
    return next((m.get("tags", {}) for m in members if m["name"] == of.name), {})


def roles(listed: str) -> dict[str, str]:
    """Return each member's role out of `hae ctl list --format tsv`."""
    head, *rows = (line.split("\t") for line in listed.splitlines() if "\t" in line)
    return {row[head.index("Member")]: row[head.index("Role")] for row in rows}
