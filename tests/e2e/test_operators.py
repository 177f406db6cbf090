"""What operators ask for: restarts, new settings, a new copy, callbacks, cascades."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from tests.e2e.support.command import ctl
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy, prepared, slot_position, written_to


def test_a_replica_is_reinitialized(tmp_path: Path) -> None:
    """`hae ctl reinit --wait` replaces a replica's files by a fresh copy; the leader refuses."""
    with healthy(tmp_path) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        (replica.place.data_dir / "left-over").write_text("x")
        ran = ctl(leader, "reinit", "batman", replica.name, "--force", "--wait")
        assert ran.code == 0, ran.text
        assert cluster.wait_healthy() is leader
        assert not (replica.place.data_dir / "left-over").exists()
        refused = ctl(leader, "reinit", "batman", leader.name, "--force")
        assert refused.code == 1
        assert leader.is_writable()


def test_a_changed_parameter_waits_for_a_restart(tmp_path: Path) -> None:
    """max_connections is changed for all: shown as pending everywhere, in force after restarts."""
    with healthy(tmp_path) as cluster:
        leader = cluster.leader()
        ran = ctl(leader, "edit-config", "--pg", "max_connections=60", "--force")
        assert ran.code == 0, ran.text
        assert "Configuration changed" in ran.out
        cluster.wait_for(
            lambda: pending(leader) == {node.name for node in cluster.nodes}, 30, "pending restarts"
        )
        listed = ctl(leader, "list")
        assert "max_connections: 50->60" in listed.out.replace(" ", "").replace(
            "max_connections:", "max_connections: "
        )
        assert {max_connections(node) for node in cluster.nodes} == {50}
        ran = ctl(leader, "restart", "batman", "--pending", "--force")
        assert ran.code == 0, ran.text
        assert cluster.wait_healthy() is leader
        assert {max_connections(node) for node in cluster.nodes} == {60}
        cluster.wait_for(lambda: pending(leader) == set(), 30, "nothing pending any more")


def test_settings_that_need_no_restart_are_in_force_at_once(tmp_path: Path) -> None:
    """A parameter and a timing from edit-config reach every node without any restart."""
    with healthy(tmp_path) as cluster:
        leader = cluster.leader()
        before = [node.postmaster_pid() for node in cluster.nodes]
        changes = ["--pg", "work_mem=7MB", "--set", "maximum_lag_on_failover=2097152"]
        ran = ctl(leader, "edit-config", *changes, "--force")
        assert ran.code == 0, ran.text
        cluster.wait_for(
            lambda: {show(node, "work_mem") for node in cluster.nodes} == {"7MB"}, 30, "work_mem"
        )
        shown = ctl(leader, "show-config")
        assert "maximum_lag_on_failover: 2097152" in shown.out
        assert pending(leader) == set()
        assert [node.postmaster_pid() for node in cluster.nodes] == before


def test_a_node_file_is_read_again(tmp_path: Path) -> None:
    """A local parameter and a tag take effect by SIGHUP; a broken file changes nothing."""
    with healthy(tmp_path, nodes=2) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        cluster.write_node_file(
            replica,
            {"tags": {"color": "blue"}, "postgresql": {"parameters": {"work_mem": "9MB"}}},
        )
        replica.send_daemon(signal.SIGHUP)
        cluster.wait_for(lambda: show(replica, "work_mem") == "9MB", 30, "work_mem")
        cluster.wait_for(
            lambda: member(leader, replica).get("tags") == {"color": "blue"}, 30, "the tag"
        )
        replica.place.file.write_text("scope: [unclosed\n")
        ran = ctl(leader, "reload", "batman", replica.name, "--force")
        assert ran.code == 0, ran.text
        cluster.wait_for(lambda: "not reloaded" in replica.log_text(), 30, "the complaint")
        assert cluster.wait_healthy() is leader
        assert show(replica, "work_mem") == "9MB"


def test_a_scheduled_restart_happens_at_its_time(tmp_path: Path) -> None:
    """A restart scheduled for a few seconds ahead is shown, done, and gone afterwards."""
    with healthy(tmp_path, nodes=2) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        before = [replica.postmaster_pid(), leader.postmaster_pid()]
        at = datetime.now(UTC) + timedelta(seconds=4)
        answer = replica.call("POST", "/restart", {"schedule": at.isoformat()}, 10)
        assert answer is not None
        assert (answer.status, answer.document["text"]) == (202, "Restart scheduled")
        cluster.wait_for(
            lambda: "scheduled_restart" in member(leader, replica), 30, "the schedule to be shown"
        )
        cluster.wait_for(
            lambda: replica.postmaster_pid() not in {None, before[0]}, 60, "the restart"
        )
        assert datetime.now(UTC) >= at
        assert cluster.wait_healthy() is leader
        assert leader.postmaster_pid() == before[1]
        cluster.wait_for(
            lambda: "scheduled_restart" not in member(leader, replica), 30, "it to be gone"
        )


def test_a_restart_can_be_asked_for_with_conditions(tmp_path: Path) -> None:
    """Restarts of one role restart that role only; a condition that does not hold is said."""
    with healthy(tmp_path, nodes=2) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        before = {node: node.postmaster_pid() for node in cluster.nodes}
        ran = ctl(leader, "restart", "batman", "--role", "primary", "--force")
        assert ran.code == 0, ran.text
        assert cluster.wait_healthy() is leader
        assert leader.postmaster_pid() != before[leader]
        assert replica.postmaster_pid() == before[replica]
        answer = replica.call("POST", "/restart", {"role": "primary"}, 10)
        assert answer is not None
        assert (answer.status, answer.document["text"]) == (
            503,
            "restart conditions are not satisfied",
        )


def test_callbacks_hear_of_every_change(tmp_path: Path) -> None:
    """Callbacks get action, role and scope: at start, reload, restart, change of role and stop."""
    told = tmp_path / "told"
    told.mkdir()
    script = tmp_path / "callback"
    script.write_text(f'#!/bin/sh\necho "$*" >> {told}/$(basename $PWD)\n')
    script.chmod(0o755)
    names = ("on_start", "on_stop", "on_restart", "on_reload", "on_role_change")
    callbacks = {"postgresql": {"callbacks": dict.fromkeys(names, str(script))}}
    with prepared(tmp_path / "cluster", nodes=2, node_changes=callbacks) as cluster:
        first, second = cluster.nodes
        for node in cluster.nodes:
            node.start_daemon()
            cluster.wait_for(lambda: cluster.find_leader() is not None, 60, "a leader")
        assert cluster.wait_healthy() is first

        def heard(node: Node, line: str) -> None:
            file = told / node.name
            cluster.wait_for(
                lambda: file.exists() and line in file.read_text().splitlines(),
                30,
                f"{node.name} to hear {line!r}",
            )

        heard(first, "on_start primary batman")
        heard(second, "on_start replica batman")
        ran = ctl(first, "reload", "batman", "--force")
        assert ran.code == 0, ran.text
        heard(second, "on_reload replica batman")
        ran = ctl(first, "restart", "batman", second.name, "--force")
        assert ran.code == 0, ran.text
        heard(second, "on_restart replica batman")
        cluster.wait_healthy()
        cluster.switchover(first, second)
        heard(second, "on_role_change primary batman")
        heard(first, "on_role_change replica batman")
        cluster.wait_healthy()
        second.kill_daemon(signal.SIGTERM)
        heard(second, "on_stop primary batman")
        heard(first, "on_role_change primary batman")


def test_a_replica_streams_from_the_member_that_its_tag_names(tmp_path: Path) -> None:
    """replicatefrom: the cascade streams from that member, and from the leader while it is gone."""
    with healthy(tmp_path) as cluster:
        leader = cluster.leader()
        middle, last = cluster.replicas()
        cluster.write_node_file(last, {"tags": {"replicatefrom": middle.name}})
        last.call("POST", "/reload", None, 10)
        cluster.wait_for(lambda: middle.streams_to() == [last.name], 60, "the cascade")
        cluster.wait_for(lambda: leader.streams_to() == [middle.name], 30, "the tree")
        leader.sql("create table cascaded (id int)")
        cluster.wait_for(
            lambda: last.try_sql("select count(*) from cascaded") == [(0,)], 30, "the table"
        )
        drawn = ctl(leader, "topology")
        assert f"+ {last.name}" in drawn.out
        written = written_to(leader)
        for node in (leader, middle):  # neither keeps WAL that the cascade has
            cluster.wait_for(partial(keeps_no_more, node, last, written), 60, "its slot")
        middle.kill_daemon(signal.SIGTERM)
        cluster.wait_for(lambda: leader.streams_to() == [last.name], 60, "the leader instead")
        middle.start_daemon()
        cluster.wait_for(lambda: middle.streams_to() == [last.name], 60, "the cascade again")


def keeps_no_more(node: Node, member: Node, position: int) -> bool:
    """Whether that member's slot on a node has come to a position."""
    return slot_position(node, member) >= position


def pending(asked: Node) -> set[str]:
    """Return the members that wait for a restart."""
    answer = asked.get("/cluster")
    members = answer.document["members"] if answer else []
    return {m["name"] for m in members if m.get("pending_restart")}


def member(asked: Node, of: Node) -> dict[str, object]:
    """Return a member as another node sees it."""
    answer = asked.get("/cluster")
    members = answer.document["members"] if answer else []
    return next((m for m in members if m["name"] == of.name), {})


def show(node: Node, parameter: str) -> str:
    """Return a parameter's value; empty when the server does not answer."""
    rows = node.try_sql(f"show {parameter}")
    return str(rows[0][0]) if rows else ""


def max_connections(node: Node) -> int:
    """Return the value in force."""
    return int(show(node, "max_connections") or 0)
