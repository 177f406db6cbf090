"""Watching the leader key in etcd, so that the moment of its end is known to the millisecond."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node_file import SCOPE


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the leader key: when (CLOCK_MONOTONIC), and the new value or None."""

    at: float
    holder: str | None


class LeaderKey:
    """Follows `/service/<scope>/leader` from a thread, through etcd's own watch."""

    def __init__(self, cluster: Cluster) -> None:
        assert cluster.store is not None, "only etcd can be watched"
        self._connection = http.client.HTTPConnection("127.0.0.1", cluster.store.port)
        self._thread = threading.Thread(target=self._follow, daemon=True, name="leader key")
        self.changes: list[Change] = []

    def __enter__(self) -> Self:
        key = base64.b64encode(f"/service/{SCOPE}/leader".encode()).decode()
        self._connection.request("POST", "/v3/watch", json.dumps({"create_request": {"key": key}}))
        self._response = self._connection.getresponse()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._connection.sock is not None:
            self._connection.sock.close()

    def _follow(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            while line := self._response.readline():
                now = time.monotonic()
                for event in json.loads(line).get("result", {}).get("events", []):
                    self.changes.append(Change(now, _holder(event)))

    def gone_at(self, owner: str, since: float) -> float | None:
        """Return when the key ceased to be the owner's after a moment; None while it is."""
        return next((c.at for c in self.changes if c.at > since and c.holder != owner), None)

    def holders(self) -> list[str]:
        """Return the holders seen, each change of the holder once."""
        seen: list[str] = []
        for change in self.changes:
            if change.holder and (not seen or seen[-1] != change.holder):
                seen.append(change.holder)
        return seen


def _holder(event: dict[str, Any]) -> str | None:
    if event.get("type") == "DELETE":
        return None
    return base64.b64decode(event["kv"].get("value", "")).decode(errors="replace")
