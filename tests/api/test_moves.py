"""Switchover and failover over REST: every refusal, and every outcome."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.policy import Policy
from engine.state import Known, PeerAnswer
from shell.layout import parse_cluster
from shell.processes import now
from tests.api.support import Api, demo_store, running
from tests.support import snapshots
from tests.support.wait import wait_for

FUTURE = (datetime.now(UTC) + timedelta(days=1)).isoformat()
PAST = (datetime.now(UTC) - timedelta(days=1)).isoformat()


def nobody(members: Any, timeout_seconds: float) -> list[PeerAnswer]:
    """Peers that do not answer."""
    return [PeerAnswer(m.name, now(), reachable=False, why="timed out") for m in members]


def forbidden(members: Any, timeout_seconds: float) -> list[PeerAnswer]:
    """Peers that must not take over."""
    return [PeerAnswer(m.name, now(), reachable=True, nofailover=True) for m in members]


def move(api: Api, path: str, **body: Any) -> tuple[int, str]:
    """Ask for it; the status and the text."""
    reply = api.call("POST", path, body)
    return reply.status, reply.text


REFUSED = [
    ("/switchover", {"candidate": "n2"}, 400, "only from a specific leader"),
    ("/failover", {"scheduled_at": FUTURE}, 400, "only to a specific candidate"),
    ("/failover", {"candidate": "n2", "scheduled_at": FUTURE}, 400, "can't be scheduled"),
    ("/switchover", {"leader": "n1", "candidate": "n1"}, 400, "the same"),
    ("/switchover", {"leader": "n1", "member": "n1"}, 400, "the same"),
    ("/switchover", {"leader": 5}, 400, "leader must be text"),
    ("/switchover", {"leader": "n1", "scheduled_at": "2030-01-01T00:00:00"}, 400, "timezone"),
    ("/switchover", {"leader": "n1", "scheduled_at": PAST}, 422, "in the past"),
    ("/switchover", {"leader": "n1", "scheduled_at": "tomorrow"}, 422, "unable to parse"),
    ("/switchover", {"leader": "n2"}, 412, "leader name does not match"),
    ("/failover", {"leader": "n2", "candidate": "n3"}, 412, "leader name does not match"),
    ("/switchover", {"leader": "n1", "candidate": "n9"}, 412, "candidate does not exists"),
    ("/failover", {"candidate": "n1"}, 412, "candidate is the leader already"),
]


@pytest.mark.parametrize(("path", "body", "status", "text"), REFUSED)
def test_refusals(path: str, body: Any, status: int, text: str) -> None:
    """What cannot be meant is refused with its reason, and no key is written."""
    with running(snapshots.primary(now())) as api:
        found = move(api, path, **body)
        assert found[0] == status
        assert text in found[1]
        assert "failover" not in api.store.entries


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"leader": "n1", "candidate": "n2", "scheduled_at": FUTURE}, "in the paused state"),
        ({"leader": "n1"}, "only to a specific candidate in a paused state"),
    ],
)
def test_refusals_in_pause(body: Any, text: str) -> None:
    """In pause nothing is scheduled, and the candidate must be named."""
    with running(snapshots.primary(now(), policy=Policy(pause=True))) as api:
        status, found = move(api, "/switchover", **body)
        assert status == 400
        assert text in found


def test_refusals_in_synchronous_mode() -> None:
    """In synchronous mode a switchover goes only to a synchronous standby."""
    s = snapshots.primary(now(), policy=Policy(synchronous_mode="on"))
    with running(s) as api:
        assert move(api, "/switchover", leader="n1", candidate="n2") == (
            412,
            "candidate name does not match with sync_standby",
        )
        assert move(api, "/switchover", leader="n1") == (
            412,
            "switchover is not possible: can not find sync_standby",
        )


def test_no_other_members() -> None:
    """Without another member there is nobody to switch to."""
    store = demo_store()
    for name in ("n2", "n3"):
        del store.entries[f"members/{name}"]
    with running(snapshots.primary(now()), store) as api:
        status, text = move(api, "/switchover", leader="n1")
        assert status == 412
        assert "does not have members except leader" in text


@pytest.mark.parametrize(
    ("ask", "body", "text"),
    [
        (nobody, {"leader": "n1"}, "no good candidates have been found (n2: not reachable"),
        (nobody, {"leader": "n1", "candidate": "n2"}, "n2: not reachable timed out"),
        (forbidden, {"leader": "n1", "candidate": "n2"}, "n2: not allowed to promote"),
        (lambda *_a: [], {"leader": "n1", "candidate": "n2"}, "n2: not reachable"),
    ],
)
def test_nobody_can(ask: Any, body: Any, text: str) -> None:
    """When no candidate is reachable and allowed the request is refused, naming each."""
    with running(snapshots.primary(now()), ask_peers=ask) as api:
        status, found = move(api, "/switchover", **body)
        assert status == 412
        assert text in found


def test_scheduled() -> None:
    """A scheduled switchover is written and answered at once, without asking the candidates."""
    with running(snapshots.primary(now()), ask_peers=nobody) as api:
        found = move(api, "/switchover", leader="n1", candidate="n2", scheduled_at=FUTURE)
        assert found == (202, "Switchover scheduled")
        written = json.loads(api.store.entries["failover"].value)
        assert written == {"leader": "n1", "member": "n2", "scheduled_at": FUTURE}
        deleted = api.call("DELETE", "/switchover")
        assert (deleted.status, deleted.text) == (200, "scheduled switchover deleted")
        again = api.call("DELETE", "/switchover")
        assert (again.status, again.text) == (404, "no switchover is scheduled")


def test_raced_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DELETE that loses against another change says so."""
    store = demo_store()
    store.put("failover", json.dumps({"leader": "n1", "scheduled_at": FUTURE}), 0)
    monkeypatch.setattr(store, "delete", lambda *_arguments: False)
    with running(snapshots.primary(now()), store) as api:
        assert api.call("DELETE", "/switchover").status == 409


def watched(
    path: str, body: Any, happens: Iterable[Mapping[str, str | None]], policy: Policy | None = None
) -> Any:
    """Ask, let `happens(store)` change the store once the key is there, and return the answer."""
    with running(snapshots.primary(now(), policy=policy or Policy())) as api:
        found = []
        asking = threading.Thread(target=lambda: found.append(move(api, path, **body)))
        asking.start()
        wait_for(lambda: "failover" in api.store.entries, 10, "the failover key")
        request = json.loads(api.store.entries["failover"].value)
        for step in happens:
            for key, value in step.items():
                if value is None:
                    api.store.entries.pop(key, None)
                else:
                    api.store.put(key, value, 0)
            view = parse_cluster(api.store.entries)
            moment = now()
            api.publish(snapshots.primary(moment, cluster=Known(view, moment)))
        asking.join(30)
        assert any("asked for" in why for why in api.pokes)
        return request, found[0]


def test_successful_switchover() -> None:
    """When the candidate has the lock the answer is 200 with its name."""
    body = {"leader": "n1", "candidate": "n2"}
    steps: list[dict[str, str | None]] = [{"leader": None}, {"leader": "n2"}]
    request, found = watched("/switchover", body, steps)
    assert request == {"leader": "n1", "member": "n2"}
    assert found == (200, 'Successfully switched over to "n2"')


def test_switchover_to_anybody() -> None:
    """Without a candidate any new leader is a success."""
    request, found = watched("/switchover", {"leader": "n1"}, [{"leader": "n3"}])
    assert request == {"leader": "n1"}
    assert found == (200, 'Successfully switched over to "n3"')


def test_another_winner() -> None:
    """When another member took the lock the answer is 200 and names it."""
    body = {"leader": "n1", "candidate": "n2"}
    _request, found = watched("/switchover", body, [{"leader": "n3"}])
    assert found == (200, 'Switched over to "n3" instead of "n2"')


def test_successful_failover() -> None:
    """A failover names no source in the key and succeeds with the candidate's lock."""
    request, found = watched("/failover", {"candidate": "n2"}, [{"leader": "n2"}])
    assert request == {"member": "n2"}
    assert found == (200, 'Successfully failed over to "n2"')


def test_failover_with_leader_is_a_switchover() -> None:
    """A failover that names the leader is a switchover."""
    body = {"candidate": "n2", "leader": "n1"}
    request, found = watched("/failover", body, [{"leader": "n2"}])
    assert request == {"leader": "n1", "member": "n2"}
    assert found == (200, 'Successfully switched over to "n2"')


def test_failed_switchover() -> None:
    """When the leader clears the request and stays, the answer is 503."""
    body = {"leader": "n1", "candidate": "n2"}
    steps: list[dict[str, str | None]] = [{"leader": None}, {"leader": "n1"}, {"failover": None}]
    assert watched("/switchover", body, steps)[1] == (503, "Switchover failed")


def test_outcome_is_found_without_publications() -> None:
    """When the main loop hangs the outcome is still found, in the store."""
    with running(snapshots.primary(now())) as api:
        found = []
        asking = threading.Thread(
            target=lambda: found.append(move(api, "/switchover", leader="n1"))
        )
        asking.start()
        wait_for(lambda: "failover" in api.store.entries, 10, "the failover key")
        api.store.put("leader", "n2", 0)
        asking.join(30)
        assert found == [(200, 'Successfully switched over to "n2"')]


def test_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing is known in time the answer says `status unknown`."""
    monkeypatch.setattr("engine.policy.SHORTEST_HANDOVER_SECONDS", 0.1)
    monkeypatch.setattr("shell.api.move_calls.LOOK_SECONDS", 0.05)
    with running(snapshots.primary(now(), policy=Policy(loop_wait_seconds=0.1))) as api:
        found = move(api, "/switchover", leader="n1")
        assert found == (503, "Switchover status unknown")


def test_key_that_cannot_be_written() -> None:
    """A store that fails at the write gives 503."""
    with running(snapshots.primary(now())) as api:

        def fails(*_arguments: Any) -> None:
            raise OSError("disk full")

        api.store.put = fails
        status, text = move(api, "/switchover", leader="n1")
        assert status == 503
        assert "failed to write switchover key" in text
