"""Calls about the last decision: what the node knew, and why it did what it did.

Here belongs only the encoding; the reasons are the engine's.
"""

from __future__ import annotations

from typing import Any

from shell.api.messages import Call, Response, answer, json_answer
from shell.api.office import Office, not_ready
from shell.desk import Publication
from shell.processes import now
from shell.recorder.codec import encode


class ExplainCalls:
    """Handlers of one listener."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def show(self, call: Call) -> Response:
        """Answer `GET /hae/explain` and `GET /hae/snapshot`."""
        latest = self._office.desk.latest()
        if latest is None:
            return not_ready()
        what = call.path.removeprefix("/hae").strip("/")
        if what == "snapshot":
            return json_answer(await self._office.in_pool(encode, latest.snapshot))
        if what == "explain":
            return json_answer(await self._office.in_pool(self._explained, latest))
        return answer(404, "known are /hae/explain and /hae/snapshot")

    def _explained(self, latest: Publication) -> dict[str, Any]:
        """The decision about the newest snapshot with its trace, which costs time to make."""
        return {
            "scope": self._office.options.scope,
            "name": self._office.options.name,
            "wall": latest.snapshot.wall,
            "age_seconds": round(now() - latest.published_at, 3),
            "rules": list(latest.fired_rules),
            "decision": encode(self._office.services.explain(latest.snapshot)),
        }
