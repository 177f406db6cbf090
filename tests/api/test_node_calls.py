"""Calls about the node itself: the status document, fresh looks, failsafe, metrics, explain."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from engine.decide import Decision, explain
from engine.policy import Policy
from engine.state import (
    DataDirectory,
    DirectoryKind,
    FailsafeCall,
    Known,
    Lease,
    Memory,
    PendingParameter,
    Postgres,
    RestartCondition,
    Snapshot,
    SyncState,
    Unknown,
)
from shell.api import node_calls
from shell.processes import now
from shell.recorder.codec import decode
from tests.api.support import Api, Reply, running
from tests.support import snapshots
from tests.support.wait import wait_for

PEER_FIELDS = {"xlog", "role", "timeline", "state"}


def document(snapshot: Snapshot, **fields: Any) -> dict[str, Any]:
    """The status document of that snapshot."""
    with running() as api:
        api.publish(snapshot, **fields)
        reply = api.get("/patroni")
        assert reply.status == 200
        return dict(reply.json())


def test_document_of_a_primary() -> None:
    """A primary shows its position, its standbys and who it is, without flags that do not apply."""
    found = document(snapshots.primary(now()))
    ages = found.pop("hae")
    assert found == {
        "state": "running",
        "role": "primary",
        "postmaster_start_time": "2026-09-21 13:56:40.000000+00:00",
        "server_version": 150004,
        "xlog": {"location": snapshots.LSN},
        "timeline": 3,
        "replication": [
            {
                "usename": "replicator",
                "application_name": "n2",
                "client_addr": "10.0.0.2",
                "state": "streaming",
                "sync_state": "async",
                "sync_priority": 0,
            }
        ],
        "dcs_last_seen": int(snapshots.WALL),
        "database_system_identifier": snapshots.SYSTEM_IDENTIFIER,
        "patroni": {"version": "4.1.5", "scope": "demo", "name": "n1"},
    }
    assert 29 < ages["lease_left"] <= 30
    assert 0 <= ages["loop_age"] < 1
    assert 0 <= ages["observed_age"] < 1


def test_document_of_a_standby() -> None:
    """A standby shows what it received and replayed, how, and its tags."""
    found = document(snapshots.replica(now(), "n3"))
    assert found["role"] == "replica"
    assert found["xlog"] == {
        "received_location": snapshots.LSN,
        "replayed_location": snapshots.LSN,
        "replayed_timestamp": "2026-09-21 14:13:17.000000+00:00",
        "paused": False,
    }
    assert found["replication_state"] == "streaming"
    assert found["tags"] == {"noloadbalance": True}
    assert found["hae"]["lease_left"] is None


def test_flags() -> None:
    """Pause, a free lock, synchronous standby, failsafe and a failed watchdog are shown."""
    moment = now()
    sync = SyncState("n1", ("n2",), 0, 1)
    s = snapshots.replica(
        moment,
        policy=Policy(pause=True, synchronous_mode="on", watchdog_mode="required"),
        cluster=Known(snapshots.cluster(leader=None, sync=sync), moment),
        memory=Memory(consented_until=moment + 10, consented_to="n1"),
    )
    found = document(s)
    for flag in (
        "pause",
        "cluster_unlocked",
        "sync_standby",
        "failsafe_mode_is_active",
        "watchdog_failed",
    ):
        assert found[flag] is True


def test_pending_and_scheduled_restart() -> None:
    """A pending restart shows its reasons, a scheduled one its time and filters."""
    s = snapshots.primary(now())
    pending = (PendingParameter("max_connections", "100", "200"),)
    s = snapshots.with_server(s, Known(snapshots.primary_server(pending=pending), s.now))
    planned = RestartCondition(role="primary", below_version=160004, scheduled_epoch=1893456000.0)
    s = replace(s, memory=replace(s.memory, scheduled_restart=planned))
    found = document(s)
    assert found["pending_restart"] is True
    assert found["pending_restart_reason"] == {
        "max_connections": {"old_value": "100", "new_value": "200"}
    }
    assert found["scheduled_restart"] == {
        "schedule": "2030-01-01T00:00:00+00:00",
        "role": "primary",
        "postgres_version": "16.4",
    }


def test_document_without_sql() -> None:
    """A server that does not answer has the state `unknown` and no position."""
    s = snapshots.primary(now())
    found = document(snapshots.with_server(s, Unknown(s.now, "no answer")))
    assert found["state"] == "unknown"
    assert not PEER_FIELDS & (found.keys() - {"state", "role"})
    assert found["hae"]["observed_age"] is None


def test_document_of_an_empty_node() -> None:
    """A node without data says so."""
    empty = Postgres(DataDirectory(DirectoryKind.EMPTY), None, Unknown(0.0, "not running"))
    found = document(snapshots.replica(now(), postgres=empty))
    assert (found["state"], found["role"]) == ("stopped", "uninitialized")


def old_replica(seconds: float) -> Snapshot:
    """A replica whose PostgreSQL was last seen that long ago."""
    moment = now()
    s = snapshots.replica(moment)
    return snapshots.with_server(s, Known(snapshots.standby_server(), moment - seconds))


def test_racing_peers_get_a_fresh_look() -> None:
    """`GET /patroni` with an old observation wakes the loop and waits for what it then sees."""
    with running(old_replica(5)) as api:
        ahead = snapshots.standby_server(replay_lsn=snapshots.LSN + 4096)

        def look_again(why: str) -> None:
            s = snapshots.replica(now())
            threading.Thread(
                target=api.publish, args=[snapshots.with_server(s, Known(ahead, s.now))]
            ).start()

        api.desk.on_wake = look_again
        found = api.get("/patroni").json()
    assert found["xlog"]["replayed_location"] == snapshots.LSN + 4096
    assert found["hae"]["observed_age"] < 1


def test_a_racing_peer_gets_a_look_that_is_younger_than_its_question() -> None:
    """With no-cache even the newest observation is made again, and its age is told."""
    with running(old_replica(0)) as api:
        before = api.get("/patroni").json()
        assert api.pokes == []
        api.desk.on_wake = lambda why: threading.Thread(
            target=lambda: api.publish(snapshots.replica(now()))
        ).start()
        after = api.call("GET", "/patroni", headers={"Cache-Control": "no-cache"}).json()
    assert before["hae"]["observed_age"] > 0
    assert after["hae"]["observed_age"] == 0


def test_many_racing_peers_share_one_look() -> None:
    """Many callers at once wake the loop once, and all get the new publication."""
    with running(old_replica(5)) as api:
        found = []
        callers = [
            threading.Thread(target=lambda: found.append(api.get("/patroni").json()))
            for _number in range(20)
        ]
        for caller in callers:
            caller.start()
        wait_for(lambda: api.pokes, 5, "a poke")
        wait_for(lambda: len(waiting(api)) == 20, 5, "all callers")
        api.publish(snapshots.replica(now()))
        for caller in callers:
            caller.join(10)
        assert len(api.pokes) <= 2
        assert all(document["hae"]["observed_age"] < 2 for document in found)
        assert len(found) == 20


def waiting(api: Api) -> Any:
    """The callers that wait for a publication."""
    listener = api.server._listener
    assert listener is not None
    assert listener._office is not None
    return listener._office._waiters


def test_hung_loop_is_told_to_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the loop does not come round the answer is the old one, with its age."""
    monkeypatch.setattr(node_calls, "FRESH_WAIT_SECONDS", 0.1)
    with running() as api:
        moment = now()
        s = snapshots.primary(moment - 50, lease=Lease(sent_at=moment - 50))
        api.publish(s, published_at=moment - 50)
        found = api.get("/patroni").json()
        assert found["hae"]["loop_age"] >= 50
        assert found["hae"]["lease_left"] <= -20
        assert api.get("/primary").status == 503


@pytest.mark.parametrize("role", ["certain primary", "fresh replica"])
def test_no_look_where_none_is_needed(role: str) -> None:
    """A certain primary, and a node just looked at, answer at once."""
    moment = now()
    s = snapshots.primary(moment) if role == "certain primary" else snapshots.replica(moment)
    with running(s) as api:
        assert api.get("/patroni").status == 200
        assert api.pokes == []


# --- failsafe -------------------------------------------------------------------------------------


def with_failsafe(s: Snapshot) -> Snapshot:
    """The same with failsafe mode on."""
    assert isinstance(s.cluster, Known)
    view = replace(s.cluster.value, failsafe={"n1": "http://10.0.0.1:8008/patroni"})
    return replace(s, policy=Policy(failsafe_mode=True), cluster=Known(view, s.now))


CALL = {
    "name": "n1",
    "api_url": "http://10.0.0.1:8008/patroni",
    "conn_url": "postgres://10.0.0.1:5432/postgres",
    "slots": {},
}


def test_failsafe_disabled() -> None:
    """Without failsafe mode there is no list of its members."""
    with running(snapshots.replica(now())) as api:
        assert api.get("/failsafe").status == 502


def ask_consent(api: Api, body: Any, answer: tuple[int, str]) -> tuple[FailsafeCall, Reply]:
    """Call `POST /failsafe` and answer as the main loop would; the question and the reply."""
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(api.call, "POST", "/failsafe", body)
        wait_for(api.desk.failsafe_calls, 10, "the question on the desk")
        (question,) = api.desk.failsafe_calls()
        api.desk.answer(question.id, *answer)
        return question, calling.result(10)


def test_failsafe_answer_of_the_main_loop() -> None:
    """The question goes to the main loop; a consent tells our position."""
    with running(with_failsafe(snapshots.replica(now()))) as api:
        assert api.get("/failsafe").json() == {"n1": "http://10.0.0.1:8008/patroni"}
        question, reply = ask_consent(api, {**CALL, "ttl": 30}, (200, "Accepted"))
        assert (question.name, question.ttl_seconds) == ("n1", 30.0)
        assert (reply.status, reply.text) == (200, "Accepted")
        assert reply.headers["lsn"] == str(snapshots.LSN)
        assert api.pokes == ["failsafe call of n1"]
        assert api.desk.failsafe_calls() == ()


def test_failsafe_refusal_of_the_main_loop() -> None:
    """A refusal is passed on as it is; a caller that runs Patroni names no ttl."""
    with running(with_failsafe(snapshots.primary(now()))) as api:
        question, reply = ask_consent(api, CALL, (500, "n1 is running as the primary itself"))
        assert (question.ttl_seconds, reply.status) == (0.0, 500)
        assert reply.text == "n1 is running as the primary itself"
        assert "lsn" not in reply.headers


def test_failsafe_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A main loop that hangs agrees to nothing, and the question leaves the desk."""
    monkeypatch.setattr(node_calls, "CONSENT_WAIT_SECONDS", 0.2)
    with running(with_failsafe(snapshots.replica(now()))) as api:
        assert api.call("POST", "/failsafe", CALL).status == 503
        assert api.desk.failsafe_calls() == ()


@pytest.mark.parametrize(
    "body", [{"slots": {}}, {"name": 5}, {"name": ""}, {**CALL, "ttl": "long"}, {**CALL, "ttl": -1}]
)
def test_failsafe_with_a_wrong_body(body: Any) -> None:
    """A call that names nobody, or no sensible time, is refused."""
    with running(with_failsafe(snapshots.replica(now()))) as api:
        assert api.call("POST", "/failsafe", body).status == 400


# --- metrics and explain --------------------------------------------------------------------------

NAMES = (
    *("version", "postgres_running", "postmaster_start_time", "primary", "xlog_location"),
    *("standby_leader", "replica", "sync_standby", "quorum_standby", "xlog_received_location"),
    *("xlog_replayed_location", "xlog_replayed_timestamp", "xlog_paused", "postgres_streaming"),
    *("postgres_in_archive_recovery", "postgres_server_version", "cluster_unlocked"),
    *("failsafe_mode_is_active", "postgres_timeline", "dcs_last_seen", "pending_restart"),
    *("is_paused", "postgres_state", "failsafe_mode_enabled", "failsafe_member"),
    "failover_priority",
)


def samples(text: str) -> dict[str, str]:
    """Metric name with labels beyond scope and name -> value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {
        line.rpartition(" ")[0].replace('{scope="demo",name="n1"}', ""): line.rpartition(" ")[2]
        for line in lines
    }


def test_metrics() -> None:
    """Every metric of the contract is there with both labels, and our own beside them."""
    with running() as api:
        api.publish(snapshots.primary(now()), fired_rules=("lock.renew",), loop_count=7)
        api.publish(
            snapshots.primary(now()),
            fired_rules=("lock.renew", "role.hold"),
            loop_count=8,
            numbers={"recorder_lost_records": 0},
        )
        reply = api.get("/metrics")
        found = samples(reply.text)
    assert reply.headers["content-type"] == "text/plain; version=0.0.4"
    assert {f"patroni_{name}" for name in NAMES} <= found.keys()
    assert found["patroni_version"] == "040105"
    assert found["patroni_primary"] == "1"
    assert found["patroni_replica"] == "0"
    assert found["patroni_postgres_state"] == "5"
    assert found["patroni_xlog_location"] == str(snapshots.LSN)
    assert found["hae_loops"] == "8"
    assert found["hae_recorder_lost_records"] == "0"
    assert 'hae_decisions{scope="demo",name="n1",rule="lock.renew"} 2' in reply.text
    assert float(found["hae_lease_left_seconds"]) > 29


def test_metrics_of_a_standby() -> None:
    """A standby's positions and streaming state are measured."""
    with running(snapshots.replica(now())) as api:
        found = samples(api.get("/metrics").text)
    assert found["patroni_replica"] == "1"
    assert found["patroni_postgres_streaming"] == "1"
    assert found["patroni_xlog_replayed_location"] == str(snapshots.LSN)
    assert found["patroni_primary"] == "0"


def test_snapshot_can_be_read_back() -> None:
    """GET /hae/snapshot gives the snapshot in the recorder's form."""
    s = snapshots.primary(now())
    with running(s) as api:
        assert decode(Snapshot, api.get("/hae/snapshot").json()) == s
        assert api.get("/hae/other").status == 404


def test_explain() -> None:
    """GET /hae/explain gives the decision about the last snapshot with its whole trace."""
    s = snapshots.primary(now())
    with running(explain=explain) as api:
        api.publish(s, fired_rules=("lock.renew",))
        found = api.get("/hae/explain").json()
    assert decode(Decision, found["decision"]) == explain(s)
    assert found["decision"]["trace"]
    assert found["rules"] == ["lock.renew"]
    assert (found["scope"], found["name"]) == ("demo", "n1")
