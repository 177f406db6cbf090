"""What the transports of both APIs of etcd share: connections, endpoints, the count of requests.

Belongs here: learning of further members. Does not belong here: what a request looks like.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from shell.processes import now
from shell.stores.attempts import Endpoints
from shell.stores.endpoints import EtcdSection
from shell.stores.http_pool import is_local, open_pool

LONGEST_DISCOVERY_SECONDS = 1.0
SHORTEST_DISCOVERY_SECONDS = 0.1
# Members are replaced one by one over the years; those that we know must not all be gone by then.
DISCOVERED_FOR_SECONDS = 600.0


class EtcdTransport:
    """Connections to the endpoints of one etcd cluster. Thread-safe."""

    def __init__(self, section: EtcdSection) -> None:
        self.section = section
        self.pool = open_pool(section)
        self.endpoints = Endpoints(section.urls)
        self._requests = itertools.count(1)
        self._sent = 0
        self._discovered_by: str | None = None
        self._discovered_at = float("-inf")

    @property
    def requests_sent(self) -> int:
        """Requests sent so far, whatever became of them."""
        return self._sent

    def count_request(self) -> None:
        """Note one request that is about to be sent."""
        self._sent = next(self._requests)

    def close(self) -> None:
        """End pauses between retries and drop the idle connections."""
        self.endpoints.close()
        self.pool.clear()

    def discover_through(self, url: str, deadline: float) -> None:
        """Learn the members' client addresses: at first, at each change of endpoint, now and then.

        They go behind the configured ones: an advertised address may be unreachable from here. A
        loopback one, etcd's default, would even reach another cluster on our own host.
        """
        known = self._discovered_by == url and now() - self._discovered_at < DISCOVERED_FOR_SECONDS
        if not self.section.discover or known:
            return
        self._discovered_by, self._discovered_at = url, now()
        seconds = min(LONGEST_DISCOVERY_SECONDS, deadline - now())
        if seconds >= SHORTEST_DISCOVERY_SECONDS:
            found = (text.strip().rstrip("/") for text in self._client_urls(url, seconds))
            self.endpoints.add(
                text for text in found if text and (not is_local(text) or is_local(url))
            )

    def _client_urls(self, url: str, seconds: float) -> Iterable[str]:
        """Ask a member for all members' client addresses; empty when it does not tell."""
        raise NotImplementedError
