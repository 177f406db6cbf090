"""`restart`, `reload`, `reinit`, `flush`, `pause`, `resume`: calls to members and exit codes."""

import json
from typing import Any

import pytest

from ctl import restart
from tests.ctl.support import LAST_PORT, Answer, World

FUTURE = "2035-01-01T02:00:00+02:00"


def asked(demo: World, name: str) -> list[tuple[str, str, Any]]:
    """What a member was asked."""
    return [(a.method, a.path, a.body) for a in demo.members[name].asked]


def everybody(demo: World, call: str, status: int, text: str) -> None:
    """All members answer alike."""
    for member in demo.members.values():
        member.answers[call] = (status, text)


def test_restart_asks_and_calls_every_member(demo: World) -> None:
    """Time, confirmation and version are asked; each success is told."""
    everybody(demo, "POST restart", 200, "restarted successfully")
    result = demo.ctl("restart", "demo", stdin="now\ny\n\n")
    assert result.exit_code == 0, result.output
    assert "When should the restart take place (e.g. 20" in result.output
    assert "Are you sure you want to restart members n2, n3, n1? [y/N]: y" in result.output
    assert "Restart if the PostgreSQL version is less than provided (e.g. 16.2)  []: " in (
        result.output
    )
    for name in demo.members:
        assert f"Success: restart on member {name}\n" in result.output
        assert asked(demo, name) == [("POST", "restart", {})]


def test_restart_with_filters(demo: World) -> None:
    """Role, version, timeout and schedule are sent to the members that the role leaves."""
    everybody(demo, "POST restart", 202, "Restart scheduled")
    result = demo.ctl(
        *["restart", "demo", "--role", "replica", "--pg-version", "16.4", "--timeout", "30"],
        *["--scheduled", FUTURE, "--force"],
    )
    assert result.exit_code == 0, result.output
    body = {"postgres_version": "16.4", "timeout": 30, "role": "replica", "schedule": FUTURE}
    assert asked(demo, "n1") == []
    assert asked(demo, "n2") == [("POST", "restart", body)]
    assert "Success: restart scheduled on member n3" in result.output


def test_restart_pending_only(demo: World) -> None:
    """--pending leaves members alone that need none; with none it says so."""
    assert "No restart is pending" in demo.ctl("restart", "demo", "--pending", "--force").output
    demo.publish("n2", 2, api_url=demo.members["n2"].api_url, pending_restart=True)
    everybody(demo, "POST restart", 200, "")
    assert demo.ctl("restart", "demo", "--pending", "--force").exit_code == 0
    assert asked(demo, "n2") == [("POST", "restart", {"restart_pending": True})]
    assert asked(demo, "n1") == asked(demo, "n3") == []


def pending(demo: World, name: str, old: str, new: str) -> None:
    """A member that waits for a restart because max_connections has changed."""
    reason = {"max_connections": {"old_value": old, "new_value": new}}
    url = demo.members[name].api_url
    demo.publish(
        name, int(name[1]), api_url=url, pending_restart=True, pending_restart_reason=reason
    )


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [("100", "200", ["n2", "n3", "n1"]), ("200", "100", ["n1", "n2", "n3"])],
)
def test_restart_order_follows_the_pending_changes(
    demo: World, old: str, new: str, order: list[str]
) -> None:
    """Raised values reach the standbys first, lowered ones the primary first."""
    for name in demo.members:
        pending(demo, name, old, new)
    done: list[str] = []

    def noting(name: str) -> Answer:
        def answer(body: Any) -> tuple[int, str]:
            done.append(name)
            return 200, ""

        return answer

    for name, member in demo.members.items():
        member.answers["POST restart"] = noting(name)
    shown = demo.ctl("restart", "demo", "--pending", "--plan")
    assert (shown.exit_code, done) == (0, [])
    assert f"1. {order[0]} (" in shown.output
    assert f": max_connections {old} -> {new}\n" in shown.output
    assert demo.ctl("restart", "demo", "--pending", "--force").exit_code == 0
    assert done == order


def test_restart_any_is_exactly_one(demo: World) -> None:
    """--any restarts one of the members."""
    everybody(demo, "POST restart", 200, "")
    assert demo.ctl("restart", "demo", "--any", "--force").exit_code == 0
    assert sum(len(asked(demo, name)) for name in demo.members) == 1


def test_restart_by_force_replaces_a_schedule(demo: World) -> None:
    """An existing schedule is deleted first, only with --force."""
    url = demo.members["n2"].api_url
    demo.publish("n2", 2, api_url=url, scheduled_restart={"schedule": FUTURE})
    everybody(demo, "POST restart", 202, "Restart scheduled")
    everybody(demo, "DELETE restart", 200, "scheduled restart deleted")
    demo.ctl("restart", "demo", "n2", "--scheduled", FUTURE, "--force")
    assert [call[0] for call in asked(demo, "n2")] == ["DELETE", "POST"]


def test_a_member_that_refuses_makes_the_exit_code_1(demo: World) -> None:
    """Everybody is tried; the known text is printed; the exit code tells scripts."""
    everybody(demo, "POST restart", 200, "")
    demo.members["n2"].answers["POST restart"] = (503, "restart conditions are not satisfied")
    result = demo.ctl("restart", "demo", "--force")
    assert result.exit_code == 1
    assert (
        "Failed: restart for member n2, status code=503, (restart conditions are not satisfied)"
        in result.stdout
    )
    assert "Success: restart on member n3" in result.stdout
    assert result.stderr == "Error: not done on 1 member(s): n2\n"


def test_unreachable_member_is_reported(demo: World) -> None:
    """A member without an answer counts as failed; a member without api_url too."""
    demo.publish("n2", 2, api_url=f"http://127.0.0.1:{LAST_PORT}/patroni")
    demo.publish("n3", 3, api_url=None)
    everybody(demo, "POST reload", 202, "reload scheduled")
    result = demo.ctl("reload", "demo", "--force")
    assert result.exit_code == 1
    assert "Reload request received for member n1 and will be processed within 10 seconds" in (
        result.stdout
    )
    assert "Failed: reload for member n2, no answer: " in result.stdout
    assert "Failed: reload for member n3, no answer: it has published no api_url" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["restart", "demo", "n9", "--force"], "n9 is not a member of cluster demo"),
        (["restart", "demo", "n1", "-r", "replica", "--force"], "No replica among the provided"),
        (["restart", "demo", "-r", "standby-leader", "--force"], "No standby-leader among the m"),
        (["restart", "demo", "--pg-version", "new", "--force"], "Invalid PostgreSQL version"),
        (["restart", "demo", "--timeout", "0", "--force"], "Invalid timeout"),
        (["reinit", "demo", "n1", "--force"], "n1 is the leader"),
        (["reinit", "demo", "--force"], "Name the members to reinitialize: n2, n3"),
    ],
)
def test_wrong_members_and_values_are_refused(
    demo: World, arguments: list[str], message: str
) -> None:
    """What cannot be meant is refused before anybody is called."""
    result = demo.ctl(*arguments)
    assert result.exit_code == 1
    assert f"Error: {message}" in result.stderr
    assert all(asked(demo, name) == [] for name in demo.members)


@pytest.mark.parametrize("command", ["restart", "reload", "reinit"])
def test_no_is_an_answer(demo: World, command: str) -> None:
    """A refused confirmation calls nobody and exits with 1."""
    stdin = "now\nn\n" if command == "restart" else "n\n"
    result = demo.ctl(command, "demo", "n2", stdin=stdin)
    assert result.exit_code == 1
    assert "Error: Aborting re" in result.stderr
    assert asked(demo, "n2") == []


def test_scheduling_a_restart_while_paused_is_refused(demo: World) -> None:
    """Nothing is scheduled in maintenance mode."""
    demo.put("config", {"pause": True})
    result = demo.ctl("restart", "demo", "--scheduled", FUTURE, "--force")
    assert "Can't schedule restart in the paused state" in result.stderr


def test_reinit_asks_which_and_offers_to_cancel(demo: World) -> None:
    """Without a name the replica is asked for; a running task may be cancelled."""

    def busy(body: Any) -> tuple[int, str]:
        if body["force"]:
            return 200, "reinitialize started"
        return 503, "restart already in progress"

    demo.members["n3"].answers["POST reinitialize"] = busy
    result = demo.ctl("reinit", "demo", stdin="n3\ny\ny\n")
    assert result.exit_code == 0, result.output
    assert "Which member do you want to reinitialize [n2, n3]?" in result.output
    assert "Do you want to cancel it and reinitialize anyway? [y/N]: y" in result.output
    assert "Success: reinitialize for member n3" in result.output
    declined = demo.ctl("reinit", "demo", "n3", stdin="y\nn\n")
    assert declined.exit_code == 1
    assert "status code=503, (restart already in progress)" in declined.output


def test_reinit_waits_for_the_copy(demo: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """--wait ends when the member no longer creates its replica."""
    monkeypatch.setattr(restart, "REINIT_POLL_SECONDS", 0.01)
    states = iter(["running stopping", "creating replica", "creating replica", "starting"])
    member = demo.members["n2"]
    member.answers["POST reinitialize"] = (200, "reinitialize started")
    member.answers["GET patroni"] = lambda _: (200, json.dumps({"state": next(states)}))
    result = demo.ctl("reinit", "demo", "n2", "--force", "--from-leader", "--wait")
    assert result.exit_code == 0, result.output
    assert result.output.endswith("Reinitialize is completed on: n2\n")
    assert asked(demo, "n2")[0][2] == {"force": True, "from_leader": True}
    assert next(states, None) is None


def test_flush_restart(demo: World) -> None:
    """Only members with a schedule are called."""
    url = demo.members["n2"].api_url
    demo.publish("n2", 2, api_url=url, scheduled_restart={"schedule": FUTURE})
    demo.members["n2"].answers["DELETE restart"] = (200, "scheduled restart deleted")
    result = demo.ctl("flush", "demo", "restart", "--force")
    assert result.exit_code == 0, result.output
    assert "No scheduled restart for member n1" in result.output
    assert "Success: flush scheduled restart for member n2" in result.output
    assert asked(demo, "n2") == [("DELETE", "restart", None)]
    demo.members["n2"].answers["DELETE restart"] = (404, "no restarts are scheduled")
    assert demo.ctl("flush", "demo", "n2", "restart", "--force").exit_code == 1


def test_flush_switchover(demo: World) -> None:
    """REST first; nothing scheduled is no error; without any answer the key is emptied."""
    assert demo.ctl("flush", "demo", "switchover").output == "No pending scheduled switchover\n"
    request = {"leader": "n1", "scheduled_at": FUTURE}
    demo.put("failover", request)
    demo.members["n1"].answers["DELETE switchover"] = (200, "scheduled switchover deleted")
    assert demo.ctl("flush", "demo", "switchover").output == (
        "Success: scheduled switchover deleted\n"
    )
    demo.members["n1"].answers["DELETE switchover"] = (401, "not authenticated")
    assert demo.ctl("flush", "demo", "switchover").exit_code == 1
    demo.members["n1"].answers["DELETE switchover"] = (501, "Unsupported method")
    result = demo.ctl("flush", "demo", "switchover")
    assert (result.exit_code, demo.get("failover")) == (0, "{}")
    assert "deleting the request in the store" in result.stderr


def test_pause_and_resume(demo: World) -> None:
    """The configuration is patched by the leader, or by the next member that answers."""
    everybody(demo, "PATCH config", 200, "{}")
    result = demo.ctl("pause")
    assert (result.exit_code, result.output) == (0, "Success: cluster management is paused\n")
    assert asked(demo, "n1") == [("PATCH", "config", {"pause": True})]
    assert "Cluster is not paused" in demo.ctl("resume").stderr
    demo.put("config", {"pause": True})
    assert "Cluster is already paused" in demo.ctl("pause").stderr
    demo.publish("n1", 1, api_url=f"http://127.0.0.1:{LAST_PORT}/patroni")
    assert demo.ctl("resume").output == "Success: cluster management is resumed\n"
    assert asked(demo, "n2") == [("PATCH", "config", {"pause": None})]


def test_pause_waits_for_every_member(demo: World) -> None:
    """--wait ends when all member keys show it, and fails when one does not."""
    demo.put("config", {"loop_wait": 1})

    def recognized(body: Any) -> tuple[int, str]:
        for name in ("n1", "n2", "n3"):
            demo.publish(name, int(name[1]), pause=True)
        return 200, "{}"

    demo.members["n1"].answers["PATCH config"] = recognized
    result = demo.ctl("pause", "--wait")
    assert result.output == (
        "'pause' request sent, waiting until it is recognized by all nodes\n"
        "Success: cluster management is paused\n"
    )
    demo.put("config", {"pause": True, "loop_wait": 1})
    demo.publish("n1", 1, api_url=demo.members["n1"].api_url)
    demo.members["n1"].answers["PATCH config"] = (200, "{}")
    late = demo.ctl("resume", "--wait")
    assert late.exit_code == 1
    assert "n2, n3 did not recognize it in time" in late.stderr


def test_pause_without_a_reachable_member(demo: World) -> None:
    """The last reason is told; refused credentials are not tried on everybody."""
    for name in demo.members:
        demo.publish(name, int(name[1]))
    assert "Can not find accessible cluster member" in demo.ctl("pause").stderr
    for name, member in demo.members.items():
        demo.publish(name, int(name[1]), api_url=member.api_url)
    everybody(demo, "PATCH config", 401, "no auth header received")
    result = demo.ctl("pause")
    assert (result.exit_code, "no auth header received" in result.stderr) == (1, True)
    assert sum(len(asked(demo, name)) for name in demo.members) == 1
