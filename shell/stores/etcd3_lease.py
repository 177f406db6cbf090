"""The one lease that carries this daemon's TTL keys in etcd v3.

Belongs here: granting and keeping the lease alive. Does not belong here: the keys on it.
Not thread-safe: the store serialises the calls.
"""

from __future__ import annotations

import logging

from shell.processes import now
from shell.stores.base import StoreUnavailable
from shell.stores.etcd3_errors import RequestRejected
from shell.stores.etcd3_transport import Etcd3Transport, Reply

log = logging.getLogger(__name__)

LEASE_NOT_FOUND = "etcdserver: requested lease not found"
FRESH_SECONDS = 1.0
# A member that was frozen while it led the cluster may, just after it woke up, extend a lease that
# its successor does not know to be extended. Its answer then came slowly; asking once more
# reaches it when it has learned of its successor.
SLOW_SECONDS = 0.5


class Lease:
    """A lease id, or none yet, and when it was last known to have its full TTL."""

    def __init__(self, transport: Etcd3Transport) -> None:
        self._transport = transport
        self.id: str | None = None
        self._ttl_seconds = 0
        self._full_at = float("-inf")

    def ensure(self, ttl_seconds: int, deadline: float) -> str:
        """Return the id of a lease with this TTL, requesting a new one where there is none.

        A new lease has its full TTL; an existing one is not extended.
        """
        if self.id is None or self._ttl_seconds != ttl_seconds:
            body = {"TTL": str(ttl_seconds)}
            reply = self._transport.call("lease/grant", body, deadline)
            lease_id = reply.body.get("ID")
            if not lease_id:
                raise StoreUnavailable(f"etcd at {reply.url} granted a lease without an id")
            # A lease of another TTL is left to expire: keys that still hang on it move later.
            self.id, self._ttl_seconds = str(lease_id), ttl_seconds
            self._full_at = reply.sent_at
        return self.id

    def keep_alive(self, since: float, deadline: float) -> bool:
        """Extend the lease unless it had its full TTL at or after `since`; False if it is gone."""
        if self.id is None:
            return False
        if self._full_at >= since:
            return True
        reply = self._extend(deadline)
        if reply is not None and reply.took_seconds > SLOW_SECONDS:
            reply = self._extend(deadline)
        if reply is None:
            log.warning("our etcd lease is lost; requesting another")
            self.forget()
            return False
        self._full_at = reply.sent_at
        return True

    def forget(self) -> None:
        """Request a new lease next time."""
        self.id = None
        self._full_at = float("-inf")

    def _extend(self, deadline: float) -> Reply | None:
        try:
            reply = self._transport.call("lease/keepalive", {"ID": self.id}, deadline)
        except RequestRejected as rejected:
            if rejected.message.startswith(LEASE_NOT_FOUND):
                return None
            raise
        result = reply.body.get("result")
        return reply if isinstance(result, dict) and int(result.get("TTL", 0)) > 0 else None


def fresh_since() -> float:
    """Return the instant after which an extension is recent enough not to repeat it."""
    return now() - FRESH_SECONDS
