"""Calls that ask this node to do something: reload, restart, reinitialize.

Here belongs reading the request; whether it is carried out is for the engine, which answers
through the desk.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from engine.state import RequestKind, RestartCondition
from shell import layout
from shell.api.messages import BadRequest, Call, Response, answer
from shell.api.office import Office, not_ready
from shell.config.units import parse_seconds
from shell.desk import Outcome

RESTART_ROLES = ("primary", "standby_leader", "replica")
_RESTART_KEYS = frozenset({"restart_pending", "role", "postgres_version", "timeout", "schedule"})
_VERSION = re.compile(r"(\d{1,2})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?")

ANSWER_SECONDS = 30.0
# A restart is answered when it is done; this much longer than its own limit.
RESTART_MARGIN_SECONDS = 60.0


class OperatorCalls:
    """Handlers of one listener."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def reload(self, _call: Call) -> Response:
        """Answer `POST /reload`."""
        asked = self._office.desk.submit(RequestKind.RELOAD)
        return await _outcome(asked, ANSWER_SECONDS, "reload")

    async def restart(self, call: Call) -> Response:
        """Answer `POST /restart`: at once or scheduled, with the conditions of the body."""
        latest = self._office.desk.latest()
        if latest is None:
            return not_ready()
        condition = restart_condition(call.body or {}, time.time())
        policy = latest.snapshot.policy
        if condition.scheduled_epoch is not None and policy.pause:
            return answer(500, "can't schedule a restart in the paused state")
        limit = condition.timeout_seconds or policy.primary_start_timeout_seconds
        asked = self._office.desk.submit(RequestKind.RESTART, condition)
        return await _outcome(asked, limit + RESTART_MARGIN_SECONDS, "restart")

    async def cancel_restart(self, _call: Call) -> Response:
        """Answer `DELETE /restart`."""
        asked = self._office.desk.submit(RequestKind.CANCEL_RESTART)
        return await _outcome(asked, ANSWER_SECONDS, "restart")

    async def reinitialize(self, call: Call) -> Response:
        """Answer `POST /reinitialize`."""
        body = call.body or {}
        asked = self._office.desk.submit(
            RequestKind.REINITIALIZE,
            force=layout.boolean(body.get("force")) is True,
            from_leader=layout.boolean(body.get("from_leader", body.get("from-leader"))) is True,
        )
        return await _outcome(asked, ANSWER_SECONDS, "reinitialize")


async def _outcome(asked: Future[Outcome], timeout_seconds: float, what: str) -> Response:
    """Wait for the engine's answer; after the timeout the request leaves the desk."""
    try:
        async with asyncio.timeout(timeout_seconds):
            status, text = await asyncio.wrap_future(asked)
    except TimeoutError:
        return answer(503, f"{what}: status unknown, no answer in {timeout_seconds:g} seconds")
    return answer(status, text)


def restart_condition(body: Mapping[str, Any], wall: float) -> RestartCondition:
    """Return the conditions in the body of a restart; raises BadRequest naming what is wrong."""
    unknown = sorted(set(body) - _RESTART_KEYS)
    if unknown:
        raise BadRequest(400, f"unknown key: {unknown[0]}")
    role = body.get("role")
    if role is not None and role not in RESTART_ROLES:
        raise BadRequest(400, f"role must be one of {', '.join(RESTART_ROLES)}")
    return RestartCondition(
        pending_only=layout.boolean(body.get("restart_pending")) is True,
        role=role,
        below_version=_version(body.get("postgres_version")),
        timeout_seconds=_timeout(body.get("timeout")),
        scheduled_epoch=scheduled_epoch(body.get("schedule"), wall, "restart"),
    )


def _version(value: object) -> int | None:
    if value is None:
        return None
    found = _VERSION.fullmatch(str(value))
    if found is None or (int(found[1]) < 10 and found[2] is None):
        raise BadRequest(400, "postgres_version must be a version such as 16.4")
    major, minor, patch = (int(part or 0) for part in found.groups())
    if major >= 10:
        return major * 10000 + minor
    return major * 10000 + minor * 100 + patch


def _timeout(value: object) -> float | None:
    if value is None:
        return None
    seconds = parse_seconds(value)
    if seconds is None or seconds <= 0:
        raise BadRequest(400, "timeout must be a positive number of seconds")
    return float(seconds)


def scheduled_epoch(value: object, wall: float, what: str) -> float | None:
    """Return the moment asked for; raises BadRequest: 400 without a zone, 422 past or unreadable.

    "now" and an absent value mean at once.
    """
    if value in (None, "", "now"):
        return None
    try:
        moment = datetime.fromisoformat(str(value))
        # In UTC, as it will be written: there the last hours of the year 9999 do not exist.
        epoch = moment.astimezone(UTC).timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        raise BadRequest(
            422, f"unable to parse {str(value)[:60]!r}; write an ISO 8601 time with a zone"
        ) from None
    if epoch is None:
        raise BadRequest(400, f"timezone information is mandatory for the scheduled {what}")
    if epoch < wall:
        raise BadRequest(422, f"cannot schedule {what} in the past")
    return epoch
