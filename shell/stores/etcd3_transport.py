"""One request to an etcd v3 cluster: endpoints, retries, tokens, errors.

Belongs here: how a JSON body reaches any healthy endpoint before a deadline, and how each way of
failing is told apart. Does not belong here: what the keys mean (`etcd3`), the watch
(`etcd3_watch`).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

from shell.processes import now
from shell.stores.attempts import AttemptFailed
from shell.stores.base import NEVER, StoreMisconfigured, StoreUnavailable, refuse_late
from shell.stores.endpoints import EtcdSection
from shell.stores.etcd3_errors import (
    RequestRejected,
    header_of,
    not_the_gateway,
    refusal,
)
from shell.stores.etcd3_terms import TermMemory
from shell.stores.etcd3_versions import VersionWarnings
from shell.stores.etcd_transport import EtcdTransport
from shell.stores.http_pool import (
    read_all,
    tls_may_mend_itself,
    tls_mend,
    unanswered,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer: its JSON `body`, who gave it and when it was asked (CLOCK_BOOTTIME).

    `after_loss` says that an earlier attempt may have been carried out without an answer.
    """

    body: dict[str, Any]
    url: str
    sent_at: float
    took_seconds: float
    after_loss: bool

    @property
    def revision(self) -> int:
        """The store's revision when it answered."""
        return int(header_of(self.body).get("revision", 0))

    @property
    def term(self) -> int:
        """The raft term of the member that answered."""
        return int(header_of(self.body).get("raft_term", 0))


class Etcd3Transport(EtcdTransport):
    """Sends JSON requests to whichever endpoint answers. Thread-safe."""

    def __init__(self, section: EtcdSection) -> None:
        super().__init__(section)
        self.terms = TermMemory()
        self._token: str | None = None
        self._auth_off = False
        self._member_count: int | None = None
        self._versions = VersionWarnings(self._get)

    @property
    def stands_alone(self) -> bool:
        """Whether etcd had one member only when it was asked last: then no other can lead it."""
        return self._member_count == 1

    def call(
        self, path: str, body: dict[str, Any], deadline: float, begin_before: float = NEVER
    ) -> Reply:
        """POST `body` to `/v3/<path>` on the first endpoint that answers before the deadline.

        No attempt is sent after `begin_before`. Raises `RequestRejected` for a refusal that another
        endpoint would repeat, `StoreUnavailable` and `StoreMisconfigured` as the interface says.
        """

        def attempt(url: str, seconds: float, after_loss: bool) -> tuple[Reply, float]:
            reply = self._attempt(url, path, body, seconds, after_loss, begin_before)
            return reply, reply.sent_at

        try:
            reply = self.endpoints.run(f"etcd: {path}", attempt, deadline)
        except StoreUnavailable:
            self.terms.believe_if_unanimous(self.endpoints.urls)
            raise
        self.discover_through(reply.url, deadline)
        return reply

    def authorization(self, url: str, timeout_seconds: float) -> dict[str, str]:
        """Return the header that carries our token, logging in when there is none."""
        user = self.section.username
        if not user or self._auth_off:
            return {}
        if self._token is None:
            body = {"name": user, "password": self.section.password or ""}
            try:
                reply = self._post(url, "auth/authenticate", body, timeout_seconds, {})
            except RequestRejected as rejected:
                if "authentication is not enabled" in rejected.message:
                    log.warning("etcd at %s has authentication off; going on without it", url)
                    self._auth_off = True
                    return {}
                raise AttemptFailed(
                    f"etcd at {url} refused user {user!r} ({rejected.message}); "
                    f"mend {self.section.section}.username and password",
                    maybe_done=False,
                    hopeless=True,
                ) from rejected
            self._token = str(reply.get("token", ""))
        return {"Authorization": self._token}

    def forget_token(self) -> None:
        """Log in again, with authentication assumed on, before the next request."""
        self._token = None
        self._auth_off = False

    def _attempt(
        self,
        url: str,
        path: str,
        body: dict[str, Any],
        seconds: float,
        after_loss: bool,
        begin_before: float,
    ) -> Reply:
        sent_at = now()
        try:
            answer = self._authorized(url, path, body, seconds, begin_before)
        except RequestRejected as rejected:
            if not rejected.wants_token:
                raise
            if not self.section.username:
                raise StoreMisconfigured(
                    f"etcd at {url} asks for a login; "
                    f"set {self.section.section}.username and password"
                ) from rejected
            self.forget_token()
            sent_at = now()
            try:
                answer = self._authorized(url, path, body, seconds, begin_before)
            except RequestRejected as again:
                if not again.wants_token:
                    raise
                raise AttemptFailed(str(again), maybe_done=False) from again
        if not self.terms.accept(url, header_of(answer)):
            raise AttemptFailed(
                f"etcd at {url} answers with an older raft term than others", maybe_done=True
            )
        return Reply(answer, url, sent_at, now() - sent_at, after_loss)

    def _authorized(
        self, url: str, path: str, body: dict[str, Any], seconds: float, begin_before: float
    ) -> dict[str, Any]:
        headers = self.authorization(url, seconds)
        refuse_late(begin_before)
        return self._post(url, path, body, seconds, headers)

    def _post(
        self,
        url: str,
        path: str,
        body: dict[str, Any],
        seconds: float,
        headers: dict[str, str],
    ) -> dict[str, Any]:
        status, data = self._exchange(
            "POST",
            url,
            f"/v3/{path}",
            seconds,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **headers},
        )
        return self._judge(url, status, data)

    def _get(self, url: str, path: str, seconds: float) -> bytes:
        return self._exchange("GET", url, path, seconds)[1]

    def _exchange(
        self,
        method: str,
        url: str,
        path: str,
        seconds: float,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """One request to one member: the status and what it answered; AttemptFailed otherwise."""
        give_up_at = now() + seconds
        timeout = urllib3.Timeout(connect=max(0.05, min(seconds, 2.0)), read=max(0.05, seconds))
        self.count_request()
        try:
            with self.pool.request(
                method,
                url + path,
                body=body,
                headers=headers,
                timeout=timeout,
                preload_content=False,
            ) as response:
                return response.status, read_all(response, give_up_at)
        except SSLError as error:
            raise AttemptFailed(
                tls_mend(url, error, self.section),
                maybe_done=False,
                hopeless=not tls_may_mend_itself(error),
            ) from error
        except NewConnectionError as error:
            reason = str(error).rsplit(": ", 1)[-1]
            raise AttemptFailed(f"cannot connect to {url}: {reason}", maybe_done=False) from error
        except (HTTPError, OSError) as error:
            raise AttemptFailed(unanswered(url, error, self.section), maybe_done=True) from error

    def _judge(self, url: str, status: int, data: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if status == 200 and isinstance(answer, dict):
            if "error" not in answer:
                return answer
            answer = answer["error"] if isinstance(answer["error"], dict) else answer
        if isinstance(answer, dict) and ("code" in answer or "grpc_code" in answer):
            code = int(answer.get("grpc_code") or answer.get("code") or 2)
            raise refusal(
                self.section, url, code, str(answer.get("message") or answer.get("error"))
            )
        raise not_the_gateway(self.section, url, status, data)

    def _client_urls(self, url: str, seconds: float) -> list[str]:
        give_up_at = now() + seconds
        try:
            headers = self.authorization(url, seconds)
            answer = self._post(url, "cluster/member/list", {}, seconds, headers)
        except (AttemptFailed, RequestRejected) as error:
            log.debug("could not list the members: %s", error)
            self._member_count = None
            return []
        members = answer.get("members", [])
        self._member_count = len(members)
        if not self.stands_alone:
            self._versions.look(url, give_up_at - now())
        return [str(text) for member in members for text in member.get("clientURLs", [])]
