"""Calls about this node: its status, liveness, readiness, failsafe, and what it decided last.

Here belong answers from the last publication.  The only waiting is for a newer publication.
"""

from __future__ import annotations

import asyncio

from shell import layout
from shell.api import health
from shell.api.messages import JSON, Call, Response, answer, json_answer
from shell.api.metrics import metrics_text
from shell.api.office import Office, Rendering, not_ready
from shell.processes import now

# A look at PostgreSQL that is older than this is made again before the status is told.  A member
# that races compares positions: it says no-cache, and wants one that is younger than its question.
FRESH_ENOUGH_SECONDS = 0.3
FRESH_WAIT_SECONDS = 1.0
# Anybody may send GETs: they must not make the main loop turn faster than this.
BETWEEN_POKES_SECONDS = 0.1
# The main loop answers a primary without the store in its next cycle.
CONSENT_WAIT_SECONDS = 15.0
LONGEST_TTL = 86400.0


class NodeCalls:
    """Handlers of one listener."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._poked_at = float("-inf")

    async def patroni(self, call: Call) -> Response:
        """Answer `GET /patroni`, with a fresh look at PostgreSQL where others decide by it."""
        asked_at, rendering = now(), self._office.rendering()
        if rendering is None:
            return not_ready()
        wants_newest = b"no-cache" in call.headers.get(b"cache-control", b"")
        seen_since = asked_at - (0.0 if wants_newest else FRESH_ENOUGH_SECONDS)
        while not _is_of(rendering, seen_since) and now() - asked_at < FRESH_WAIT_SECONDS:
            rendering = await self._newer(rendering)
        return Response(200, rendering.body(now(), asked_at), JSON)

    async def _newer(self, rendering: Rendering) -> Rendering:
        """Wake the main loop, and wait a moment for what it sees then."""
        moment = now()
        if moment - self._poked_at >= BETWEEN_POKES_SECONDS:
            self._poked_at = moment
            self._office.desk.poke("a fresh observation is wanted")
        await self._office.newer_than(rendering.publication.sequence, BETWEEN_POKES_SECONDS)
        return self._office.rendering() or rendering

    async def liveness(self, _call: Call) -> Response:
        """Answer `GET /liveness`: status only."""
        rendering = self._office.rendering()
        if rendering is None:
            return Response(503)
        return Response(health.liveness(rendering.facts, now()))

    async def readiness(self, call: Call) -> Response:
        """Answer `GET /readiness`: status only."""
        rendering = self._office.rendering()
        if rendering is None:
            return Response(503)
        return Response(health.readiness(rendering.facts, call.query, now()))

    async def metrics(self, _call: Call) -> Response:
        """Answer `GET /metrics`."""
        return metrics_text(self._office)

    async def failsafe_map(self, _call: Call) -> Response:
        """Answer `GET /failsafe`: the members whose consent would be asked for."""
        latest = self._office.desk.latest()
        if latest is None or not latest.snapshot.policy.failsafe_mode:
            return answer(502, "failsafe mode is not enabled")
        view = self._office.desk.last_cluster()
        return json_answer(dict(view.value.failsafe or {}) if view is not None else {})

    async def accept_failsafe(self, call: Call) -> Response:
        """Answer `POST /failsafe`: a primary without the store asks to go on."""
        assert call.body is not None
        name, ttl = call.body.get("name"), call.body.get("ttl", 0.0)
        if not isinstance(name, str) or not name:
            return answer(400, "name: text is required")
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 <= ttl <= LONGEST_TTL:
            return answer(400, "ttl: a number of seconds is required")
        if self._office.rendering() is None:
            return not_ready()
        slots = layout.slot_positions(call.body.get("slots"))
        asked = self._office.desk.ask_consent(name, float(ttl), slots)
        try:
            async with asyncio.timeout(CONSENT_WAIT_SECONDS):
                status, text = await asyncio.wrap_future(asked)
        except TimeoutError:
            return answer(503, f"no answer in {CONSENT_WAIT_SECONDS:g} seconds")
        rendering = self._office.rendering()
        if status != 200 or rendering is None:
            return answer(status, text)
        facts = rendering.facts
        lsn = max(facts.received_lsn or 0, facts.replayed_lsn or 0)
        return answer(status, text, ((b"lsn", b"%d" % lsn),))


def _is_of(rendering: Rendering, moment: float) -> bool:
    """Whether it was seen at that moment or later, or is of a primary that is certain to lead."""
    facts = rendering.facts
    seen_at = facts.published_at if facts.observed_at is None else facts.observed_at
    return now() < facts.primary_until or seen_at >= moment
