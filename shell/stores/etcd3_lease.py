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
    """A lease id, or none yet, and when it was last known to have its full TTL.

    It is used only in the raft term in which it was granted.  A leader of etcd that was frozen, or
    whose disk stood still, may revoke when it wakes up whatever it believes to be expired, although
    its successor has extended it since (etcd issues 12528 and 15247, mended in 3.5.13 and 3.4.31).
    It cannot know a lease that was granted after it had been replaced.
    """

    def __init__(self, transport: Etcd3Transport) -> None:
        self._transport = transport
        self.id: str | None = None
        self._ttl_seconds = 0
        self._term = 0
        self._full_at = float("-inf")

    @property
    def is_of_this_term(self) -> bool:
        """Whether etcd has elected no other leader, as far as we know, since it was granted."""
        return self._term == self._transport.terms.newest

    def ensure(self, ttl_seconds: int, deadline: float) -> str:
        """Return the id of a lease with this TTL, requesting a new one where there is none.

        A new lease has its full TTL; an existing one is not extended.
        """
        if self.id is None or self._ttl_seconds != ttl_seconds or not self.is_of_this_term:
            body = {"TTL": str(ttl_seconds)}
            reply = self._transport.call("lease/grant", body, deadline)
            lease_id = reply.body.get("ID")
            if not lease_id:
                raise StoreUnavailable(f"etcd at {reply.url} granted a lease without an id")
            # The former lease is left to expire: keys that still hang on it move later.
            self.id, self._ttl_seconds = str(lease_id), ttl_seconds
            self._term, self._full_at = reply.term, reply.sent_at
        return self.id

    def keep_alive(self, since: float, deadline: float) -> bool:
        """Extend the lease unless it had its full TTL at or after `since`.

        False if it is gone, or turns out to be of a former raft term: another one is to be used.
        """
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
        return self.is_of_this_term

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
