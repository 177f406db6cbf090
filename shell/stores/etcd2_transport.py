"""One request to an etcd v2 cluster, through python-etcd.

Belongs here: endpoints, time limits, and what each failure means. Does not belong here: what the
keys mean (`etcd2`), the watch (`etcd2_watch`).

python-etcd's own choice of endpoints knows no deadline, so each endpoint has a client of its own
and `attempts` chooses.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import etcd
import urllib3
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

from shell.processes import now
from shell.stores.attempts import AttemptFailed
from shell.stores.base import NEVER, StoreError, refuse_late
from shell.stores.endpoints import EtcdSection
from shell.stores.etcd_transport import EtcdTransport
from shell.stores.http_pool import (
    tls_may_mend_itself,
    tls_mend,
    unanswered,
)

log = logging.getLogger(__name__)
# It logs every failed request with a traceback; the errors raised here say the same in a sentence.
logging.getLogger("etcd.client").setLevel(logging.CRITICAL)

RAFT_INTERNAL = 300
NO_V2_SIGNS = ("404 page not found", "Not Found")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer to one request, asked at `sent_at` (CLOCK_BOOTTIME).

    `index` is the store's index when it answered. `after_loss` says that an earlier attempt may
    have been carried out without an answer.
    """

    body: Json
    index: int
    url: str
    sent_at: float
    after_loss: bool

    @property
    def node(self) -> Json:
        """The node that the answer is about."""
        node = self.body.get("node")
        return node if isinstance(node, dict) else {}


class Refused(StoreError):  # noqa: N818 - an answer of the server, for the caller to judge
    """The server refused: `cause` is python-etcd's exception, `after_loss` as in `Reply`."""

    def __init__(
        self, url: str, cause: etcd.EtcdException, *, sent_at: float, after_loss: bool
    ) -> None:
        super().__init__(f"etcd at {url}: {cause}")
        self.url = url
        self.cause = cause
        self.sent_at = sent_at
        self.after_loss = after_loss

    @property
    def index(self) -> int:
        """The store's index when it answered."""
        payload = getattr(self.cause, "payload", None)
        return int(payload.get("index", 0)) if isinstance(payload, dict) else 0

    @property
    def missing(self) -> bool:
        """Whether the key does not exist."""
        return isinstance(self.cause, etcd.EtcdKeyNotFound)

    @property
    def compared_unequal(self) -> bool:
        """Whether the key exists and is not as the request wanted it."""
        return isinstance(self.cause, (etcd.EtcdCompareFailed, etcd.EtcdAlreadyExist))


class PollTimedOut(AttemptFailed):
    """A long poll ended without an event."""


class Etcd2Transport(EtcdTransport):
    """Sends requests for keys to whichever endpoint answers. Thread-safe."""

    def __init__(self, section: EtcdSection) -> None:
        super().__init__(section)
        self._clients: dict[str, etcd.Client] = {}

    def call(
        self,
        method: str,
        path: str,
        parameters: Json,
        deadline: float,
        begin_before: float = NEVER,
    ) -> Reply:
        """Ask for a key on the first endpoint that answers before the deadline.

        No attempt is sent after `begin_before`. Raises `Refused` for what the server decided,
        `StoreUnavailable` and `StoreMisconfigured` as the interface says.
        """

        def attempt(url: str, seconds: float, after_loss: bool) -> tuple[Reply, float]:
            refuse_late(begin_before)
            reply = self.once(url, method, path, parameters, seconds, after_loss=after_loss)
            return reply, reply.sent_at

        reply = self.endpoints.run(f"etcd: {method} {path}", attempt, deadline)
        self.discover_through(reply.url, deadline)
        return reply

    def once(
        self,
        url: str,
        method: str,
        path: str,
        parameters: Json,
        seconds: float,
        *,
        after_loss: bool = False,
    ) -> Reply:
        """Ask one endpoint once; raises `AttemptFailed` or `Refused`."""
        client = self._client(url)
        timeout = urllib3.Timeout(connect=max(0.05, min(seconds, 2.0)), read=max(0.05, seconds))
        key_path = client.key_endpoint + quote(path)
        self.count_request()
        sent_at = now()
        try:
            response = client.api_execute(key_path, method, params=parameters, timeout=timeout)
            body = json.loads(response.data)
            index = int(response.headers.get("x-etcd-index", 0))
        except etcd.EtcdException as error:
            failed = self._judged(url, error)
            if failed is None:
                raise Refused(url, error, sent_at=sent_at, after_loss=after_loss) from error
            raise failed from error
        except ValueError as error:
            raise AttemptFailed(
                f"{url} answered something else than JSON", maybe_done=True
            ) from error
        if not isinstance(body, dict):
            raise AttemptFailed(f"{url} answered JSON that is not etcd's", maybe_done=True)
        return Reply(body, index, url, sent_at, after_loss)

    def _client(self, url: str) -> etcd.Client:
        if url not in self._clients:
            parts = urlsplit(url)
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            client = etcd.Client(
                host=host,
                port=parts.port,
                protocol=parts.scheme,
                username=self.section.username,
                password=self.section.password,
            )
            # One pool for all, which has our TLS settings and does not retry by itself.
            client.http = self.pool
            self._clients[url] = client
        return self._clients[url]

    def _judged(self, url: str, error: Any) -> AttemptFailed | None:
        """Return why the attempt failed, or None when the server decided."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, SSLError):
            text = tls_mend(url, cause, self.section)
            return AttemptFailed(text, maybe_done=False, hopeless=not tls_may_mend_itself(cause))
        if isinstance(error, etcd.EtcdWatchTimedOut):
            return PollTimedOut(f"nothing happened on {url}", maybe_done=False)
        if isinstance(error, etcd.EtcdConnectionFailed):
            unsent = isinstance(cause, (NewConnectionError, ConnectTimeoutError))
            if unsent:
                reason = str(cause).rsplit(": ", 1)[-1]
                return AttemptFailed(f"cannot connect to {url}: {reason}", maybe_done=False)
            return AttemptFailed(unanswered(url, cause or error, self.section), maybe_done=True)
        if isinstance(error, etcd.EtcdClusterIdChanged):
            log.warning("etcd at %s belongs to another cluster than before", url)
            return AttemptFailed(f"etcd at {url} was replaced", maybe_done=True)
        payload = error.payload if isinstance(getattr(error, "payload", None), dict) else {}
        return self._judged_answer(url, error, payload)

    def _judged_answer(self, url: str, error: Any, payload: Json) -> AttemptFailed | None:
        answered = str(payload.get("cause", ""))
        if "errorCode" not in payload and answered.strip() in NO_V2_SIGNS:
            return AttemptFailed(
                f"etcd at {url} does not serve the v2 API; use section etcd3 "
                "(etcd 3.4 and 3.5 serve v2 only with --enable-v2=true)",
                maybe_done=False,
                hopeless=True,
            )
        if "HTTPS server" in answered:
            text = f"{url} speaks TLS only; set {self.section.section}.protocol: https"
            return AttemptFailed(text, maybe_done=False, hopeless=True)
        if isinstance(error, etcd.EtcdInsufficientPermissions):
            return AttemptFailed(
                f"etcd at {url} refused user {self.section.username!r}; "
                f"mend {self.section.section}.username and password, or the role's grants",
                maybe_done=False,
                hopeless=True,
            )
        electing = isinstance(error, etcd.EtcdLeaderElectionInProgress)
        if electing or payload.get("errorCode", RAFT_INTERNAL) == RAFT_INTERNAL:
            shown = ascii(str(error)[:80])
            return AttemptFailed(f"etcd at {url}: {shown}", maybe_done=True)
        return None

    def _client_urls(self, url: str, seconds: float) -> list[str]:
        timeout = urllib3.Timeout(connect=seconds, read=seconds)
        client = self._client(url)
        self.count_request()
        try:
            response = client.api_execute("/v2/machines", "GET", timeout=timeout)
        except etcd.EtcdException as error:
            log.debug("could not list the members: %s", error)
            return []
        return str(response.data.decode()).split(",")
