"""`switchover` and `failover`: questions, request, outcome, exit code."""

import json
import re
import threading
from typing import Any

import pytest

from ctl.cluster import ClusterView
from ctl.progress import Phases
from tests.ctl.support import LAST_PORT, Answer, World

FUTURE = "2035-01-01T02:00:00+02:00"


def becomes(demo: World, winner: str, status: int = 200, text: str = "") -> Answer:
    """A leader's answer that comes after the lock has moved."""

    def run(body: Any) -> tuple[int, str]:
        demo.put("leader", winner)
        demo.publish(winner, int(winner[1]), role="primary")
        return status, text or f'Successfully switched over to "{winner}"'

    return run


def test_switchover_asks_everything_and_reports(demo: World) -> None:
    """The known questions come in their order; the leader is called with the answers."""
    demo.members["n1"].answers["POST switchover"] = becomes(demo, "n2")
    result = demo.ctl("switchover", stdin="\nn2\n\ny\n")
    assert result.exit_code == 0, result.output
    out = result.stdout
    assert out.startswith("Current cluster topology\n+ Cluster: demo")
    assert "Primary [n1]: \nCandidate ['n2', 'n3'] []: n2\n" in out
    assert "When should the switchover take place (e.g. 20" in out
    assert ")  [now]: " in out
    question = "Are you sure you want to switchover cluster demo, demoting current leader n1? [y/N]"
    assert question in out
    assert re.search(
        r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{5} Successfully switched over to "n2"$', out, re.M
    )
    assert "| n2     | 10.0.0.2 | Leader" in out
    [asked] = demo.members["n1"].asked
    assert (asked.method, asked.path) == ("POST", "switchover")
    assert asked.body == {"leader": "n1", "candidate": "n2"}


def test_switchover_by_force_asks_nothing(demo: World) -> None:
    """--force takes the current leader and leaves the candidate to the members."""
    demo.members["n1"].answers["POST switchover"] = becomes(demo, "n3")
    result = demo.ctl("switchover", "demo", "--force")
    assert result.exit_code == 0, result.output
    assert demo.members["n1"].asked[0].body == {"leader": "n1"}


def test_switchover_tells_its_phases_on_stderr(demo: World) -> None:
    """While the call blocks, the store's changes are told; stdout keeps its known shape."""
    told = threading.Event()

    def run(body: Any) -> tuple[int, str]:
        demo.publish("n1", 1, state="stopping", api_url=demo.members["n1"].api_url)
        assert told.wait(10)
        return becomes(demo, "n2")(body)

    original = Phases.look

    def look(self: Phases, view: ClusterView) -> None:
        original(self, view)
        old = view.record.member("n1")
        if old is not None and old.state == "stopping":
            told.set()

    demo.members["n1"].answers["POST switchover"] = run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Phases, "look", look)
        result = demo.ctl("switchover", "--force", "--candidate", "n2")
    assert result.exit_code == 0
    assert "n1 shuts PostgreSQL down" in result.stderr
    assert "n2 accepts writes" in result.stderr
    assert "shuts" not in result.stdout


def test_scheduled_switchover(demo: World) -> None:
    """A time with a zone is sent as it is, and no outcome is waited for."""
    answers = demo.members["n1"].answers
    answers["POST switchover"] = (202, "Switchover scheduled")
    result = demo.ctl("switchover", "--force", "--scheduled", FUTURE, "--candidate", "n2")
    assert result.exit_code == 0, result.output
    assert demo.members["n1"].asked[0].body["scheduled_at"] == FUTURE
    assert " Switchover scheduled\n" in result.output
    questions = demo.ctl("switchover", stdin=f"n1\n\n{FUTURE}\ny\n").output
    assert f"schedule switchover of cluster demo at {FUTURE}, demoting" in questions


@pytest.mark.parametrize("status", [412, 503, 400])
def test_refused_switchover_exits_with_1(demo: World, status: int) -> None:
    """The member's words are shown, and the exit code says that nothing was done."""
    demo.members["n1"].answers["POST switchover"] = (status, "candidate is too lazy")
    result = demo.ctl("switchover", "--force")
    assert result.exit_code == 1
    assert f"Switchover failed, details: {status}, candidate is too lazy" in result.stdout
    assert result.stderr.endswith("Error: switchover was not done\n")


def test_another_winner_than_asked_exits_with_1(demo: World) -> None:
    """A 200 that names another member is not what was asked for."""
    demo.members["n1"].answers["POST switchover"] = becomes(
        demo, "n3", text='Switched over to "n3" instead of "n2"'
    )
    result = demo.ctl("switchover", "--force", "--candidate", "n2")
    assert result.exit_code == 1
    assert "n2 is not the leader, as was asked, but n3" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["--leader", "n2", "--force"], None, "Member n2 is not the leader of cluster demo"),
        (["--candidate", "n1", "--force"], None, "Switchover target and source are the same"),
        (["--candidate", "n9", "--force"], None, "Member n9 does not exist in cluster demo or is"),
        (["--scheduled", "sometimes", "--force"], None, "Unable to parse scheduled timestamp"),
        (
            ["--scheduled", "2001-01-01T00:00Z", "--force"],
            None,
            "Scheduled time 2001-01-01T00:00:00+00:00",
        ),
        ([], "n1\nn2\nnow\nn\n", "Aborting switchover"),
    ],
)
def test_switchover_refuses_before_asking_anybody(
    demo: World, arguments: list[str], stdin: str | None, message: str
) -> None:
    """What cannot work, or is not wanted, never reaches a member."""
    result = demo.ctl("switchover", *arguments, stdin=stdin)
    assert result.exit_code == 1
    assert f"Error: {message}" in result.stderr
    assert demo.members["n1"].asked == []


def test_switchover_without_leader_or_candidates(demo: World) -> None:
    """Without a leader failover is named; members tagged nofailover are no candidates."""
    for name in ("n2", "n3"):
        demo.publish(name, int(name[1]), tags={"nofailover": True})
    assert "No candidates found" in demo.ctl("switchover", "--force").stderr
    demo.put("leader", "")
    assert "has no leader" in demo.ctl("switchover", "--force").stderr


def test_switchover_while_paused_needs_a_candidate_and_no_time(demo: World) -> None:
    """Maintenance mode allows only what is done by hand and at once."""
    demo.put("config", {"pause": True})
    result = demo.ctl("switchover", "--force")
    assert "A candidate is needed while the cluster is paused" in result.stderr
    result = demo.ctl("switchover", "--force", "--scheduled", FUTURE, "--candidate", "n2")
    assert "Can't schedule switchover in the paused state" in result.stderr
    assert demo.members["n1"].asked == []


def test_unreachable_leader_falls_back_to_the_store(demo: World) -> None:
    """No HTTP answer: the request is written to the store, and followed there."""
    demo.publish("n1", 1, api_url=f"http://127.0.0.1:{LAST_PORT}/patroni")
    finished = threading.Event()

    def follow() -> None:
        while not finished.wait(0.05):
            if demo.get("failover"):
                demo.put("leader", "n2")
                demo.publish("n2", 2, role="primary")
                return

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        result = demo.ctl("switchover", "--force", "--candidate", "n2")
    finally:
        finished.set()
        thread.join()
    assert result.exit_code == 0, result.output
    assert json.loads(demo.get("failover") or "") == {"leader": "n1", "member": "n2"}
    assert "writing the request to the store" in result.stderr
    assert 'Successfully switched over to "n2"' in result.stdout


def test_scheduled_switchover_by_the_store(demo: World) -> None:
    """The key holds the time as the reference writes it."""
    demo.publish("n1", 1, api_url=f"http://127.0.0.1:{LAST_PORT}/patroni")
    result = demo.ctl("switchover", "--force", "--scheduled", FUTURE)
    assert result.exit_code == 0, result.output
    assert demo.get("failover") == '{"leader":"n1","scheduled_at":"2035-01-01T02:00:00+02:00"}'
    assert "Switchover scheduled at: 20" in result.output


def test_a_lost_answer_is_not_asked_again(demo: World) -> None:
    """The request went out: the outcome is read from the store, and nothing is written there."""

    def run(body: Any) -> tuple[int, str]:
        demo.put("leader", "n2")
        demo.publish("n2", 2, role="primary")
        return 0, ""

    demo.members["n1"].answers["POST switchover"] = run
    result = demo.ctl("switchover", "--force")
    assert result.exit_code == 0, result.output
    assert demo.get("failover") is None
    assert len(demo.members["n1"].asked) == 1
    assert "The answer was lost" in result.stderr


def test_failover_needs_a_candidate(demo: World) -> None:
    """Nobody is chosen by chance."""
    for arguments, stdin in ((["--force"], None), ([], "\n")):
        result = demo.ctl("failover", *arguments, stdin=stdin)
        assert result.exit_code == 1
        assert "Failover could be performed only to a specific candidate" in result.stderr


def test_failover_of_a_headless_cluster_asks_any_member(demo: World) -> None:
    """Without a leader the first member that answers is asked."""
    demo.store.release_leader("n1", 1e9)
    demo.store.delete("leader", 1e9)
    demo.publish("n1", 1, api_url=f"http://127.0.0.1:{LAST_PORT}/patroni")
    text = 'Successfully failed over to "n2"'
    demo.members["n2"].answers["POST failover"] = becomes(demo, "n2", text=text)
    result = demo.ctl("failover", "--candidate", "n2", "--force")
    assert result.exit_code == 0, result.output
    assert demo.members["n2"].asked[0].body == {"candidate": "n2"}
    assert text in result.output


def test_failover_to_an_asynchronous_member_is_asked_twice(demo: World) -> None:
    """In synchronous mode an asynchronous candidate may lack commits."""
    demo.put("config", {"synchronous_mode": True})
    demo.put("sync", {"leader": "n1", "sync_standby": "n2"})
    demo.members["n1"].answers["POST failover"] = becomes(demo, "n3")
    question = "Are you sure you want to failover to the asynchronous node n3?"
    refused = demo.ctl("failover", "--candidate", "n3", stdin="n\n")
    assert (refused.exit_code, question in refused.output) == (1, True)
    assert demo.members["n1"].asked == []
    assert demo.ctl("failover", "--candidate", "n3", stdin="y\ny\n").exit_code == 0
    synchronous = demo.ctl("failover", "--candidate", "n2", stdin="n\n")
    assert question not in synchronous.output
