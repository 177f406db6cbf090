"""Restart, reload and reinitialize: what the engine is asked, and what the caller is told."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from engine.policy import Policy
from engine.state import Request, RequestKind, RestartCondition, Snapshot
from shell.api import operator_calls
from shell.processes import now
from tests.api.support import Reply, running
from tests.support import snapshots
from tests.support.wait import wait_for


def asked(
    method: str,
    path: str,
    body: Any,
    answer: tuple[int, str],
    snapshot: Snapshot | None = None,
) -> tuple[Request, Reply]:
    """Send the call, answer its request from the desk; the request and the reply."""
    with running(snapshot or snapshots.primary(now())) as api:
        replies: list[Reply] = []
        calling = threading.Thread(target=lambda: replies.append(api.call(method, path, body)))
        calling.start()
        (request,) = wait_for(api.desk.pending, 10, "the request")
        api.desk.answer(request.id, *answer)
        calling.join(10)
        assert api.desk.pending() == ()
        return request, replies[0]


def test_reload() -> None:
    """POST /reload asks for a reload and passes the answer on."""
    request, reply = asked("POST", "/reload", None, (202, "reload scheduled"))
    assert request.kind is RequestKind.RELOAD
    assert (reply.status, reply.text) == (202, "reload scheduled")
    assert reply.headers["content-type"] == "text/html"


@pytest.mark.parametrize(
    ("body", "condition"),
    [
        (None, RestartCondition()),
        ({}, RestartCondition()),
        ({"restart_pending": True}, RestartCondition(pending_only=True)),
        ({"restart_pending": False}, RestartCondition()),
        ({"role": "replica"}, RestartCondition(role="replica")),
        ({"postgres_version": "16.4"}, RestartCondition(below_version=160004)),
        ({"postgres_version": 16}, RestartCondition(below_version=160000)),
        ({"postgres_version": "9.6.24"}, RestartCondition(below_version=90624)),
        ({"timeout": "2min"}, RestartCondition(timeout_seconds=120.0)),
        (
            {"schedule": "2030-01-01T00:00:00+00:00"},
            RestartCondition(scheduled_epoch=1893456000.0),
        ),
    ],
)
def test_restart_conditions(body: Any, condition: RestartCondition) -> None:
    """The filters of a restart reach the engine; restart_pending counts by its value."""
    request, reply = asked("POST", "/restart", body, (200, "restarted successfully"))
    assert request.kind is RequestKind.RESTART
    assert request.condition == condition
    assert (reply.status, reply.text) == (200, "restarted successfully")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"when": "now"}, 400, "unknown key: when"),
        ({"role": "master"}, 400, "role must be one of primary"),
        ({"postgres_version": "new"}, 400, "postgres_version"),
        ({"postgres_version": "9"}, 400, "postgres_version"),
        ({"timeout": 0}, 400, "timeout must be"),
        ({"timeout": -5}, 400, "timeout must be"),
        ({"timeout": "soon"}, 400, "timeout must be"),
        ({"schedule": "2030-01-01T00:00:00"}, 400, "timezone"),
        ({"schedule": "2020-01-01T00:00:00+00:00"}, 422, "in the past"),
        ({"schedule": "soon"}, 422, "unable to parse"),
        # In UTC it is in the year 10000, which cannot be written into the member's key.
        ({"schedule": "9999-12-31T23:59:59-05:00"}, 422, "unable to parse"),
    ],
)
def test_restart_refused(body: Any, status: int, text: str) -> None:
    """A restart that cannot be meant is refused, naming what is wrong; nothing is asked."""
    with running(snapshots.primary(now())) as api:
        reply = api.call("POST", "/restart", body)
        assert reply.status == status
        assert text in reply.text
        assert api.desk.pending() == ()


def test_no_scheduled_restart_in_pause() -> None:
    """In pause no restart is scheduled."""
    with running(snapshots.primary(now(), policy=Policy(pause=True))) as api:
        reply = api.call("POST", "/restart", {"schedule": "2030-01-01T00:00:00+00:00"})
        assert reply.status == 500
        assert "paused state" in reply.text


def test_cancel_restart() -> None:
    """DELETE /restart asks the engine, which knows what is scheduled."""
    request, reply = asked("DELETE", "/restart", None, (404, "no restarts are scheduled"))
    assert request.kind is RequestKind.CANCEL_RESTART
    assert (reply.status, reply.text) == (404, "no restarts are scheduled")


@pytest.mark.parametrize(
    ("body", "force", "from_leader"),
    [
        (None, False, False),
        ({"force": True}, True, False),
        ({"from_leader": "on"}, False, True),
        ({"from-leader": True}, False, True),
    ],
)
def test_reinitialize(body: Any, force: bool, from_leader: bool) -> None:
    """Both spellings of from_leader are understood."""
    request, reply = asked("POST", "/reinitialize", body, (200, "reinitialize started"))
    assert request.kind is RequestKind.REINITIALIZE
    assert (request.force, request.from_leader) == (force, from_leader)
    assert reply.status == 200


def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer in time the outcome is called unknown, and the request leaves the desk."""
    monkeypatch.setattr(operator_calls, "ANSWER_SECONDS", 0.1)
    with running(snapshots.primary(now())) as api:
        reply = api.call("POST", "/reload")
        assert reply.status == 503
        assert "status unknown" in reply.text
        assert api.desk.pending() == ()
