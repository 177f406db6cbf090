"""Asking other members over REST for role, position and timeline.

Belongs here: the calls and the reading of the answers.  What the answers mean is the engine's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import urllib3

from engine.state import Member, PeerAnswer
from shell import layout
from shell.api.tls import client_context
from shell.config.settings import Settings
from shell.processes import now

MOST_BYTES = 1_000_000
MOST_THREADS = 8
# A call takes longer than its timeout where a name resolves slowly, or to several silent addresses.
# Answers count for three seconds: one such member must not make those of all others too old.
PATIENCE_SECONDS = 0.5


class Peers:
    """Calls to the REST API of other members.

    Server certificates are not verified (members are known by the store, and carry no secret to
    us); our own client certificate is presented where the configuration has one.
    """

    def __init__(self, settings: Settings) -> None:
        self._pool = ThreadPoolExecutor(MOST_THREADS, "peers")
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str], Future[PeerAnswer]] = {}
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on, and read our certificate again.

        Raises TlsError when it cannot be used; the one read before then stays in use.
        """
        self._ttl_seconds = settings.dynamic.ttl
        ctl = settings.ctl
        login = ctl.authentication or settings.restapi.authentication
        pair = f"{login.username}:{login.password}" if login else None
        self._login = dict(urllib3.util.make_headers(basic_auth=pair)) if pair else {}
        context = client_context(ctl)
        self._http = urllib3.PoolManager(num_pools=8, ssl_context=context, retries=False)

    def ask(self, members: Sequence[Member], timeout_seconds: float) -> list[PeerAnswer]:
        """Ask all of them side by side; takes little more than `timeout_seconds`.

        Who has not answered by then is unreachable, and not asked anew before that call has ended.
        """
        asked_at = now()
        calls = {member.name: self._begin(member, timeout_seconds) for member in members}
        wait(calls.values(), timeout_seconds + PATIENCE_SECONDS)
        late = f"no answer in {timeout_seconds:g} s"
        return [
            call.result() if call.done() else PeerAnswer(name, asked_at, reachable=False, why=late)
            for name, call in calls.items()
        ]

    def _begin(self, member: Member, timeout_seconds: float) -> Future[PeerAnswer]:
        place = (member.name, member.api_url)
        with self._lock:
            self._calls = {key: call for key, call in self._calls.items() if not call.done()}
            if place not in self._calls:
                self._calls[place] = self._pool.submit(self._ask_one, member, timeout_seconds)
            return self._calls[place]

    def _ask_one(self, member: Member, timeout_seconds: float) -> PeerAnswer:
        asked_at = now()
        try:
            document = self._get(member.api_url, timeout_seconds)
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            return PeerAnswer(member.name, asked_at, reachable=False, why=short(error))
        return self._read(member.name, asked_at, document)

    def _get(self, url: str, timeout_seconds: float) -> Mapping[str, Any]:
        timeout = urllib3.Timeout(total=timeout_seconds)
        reply = self._http.request(
            "GET",
            url,
            timeout=timeout,
            preload_content=False,
            headers={"Connection": "close", "Cache-Control": "no-cache"},
            redirect=False,
        )
        try:
            document = json.loads(reply.read(MOST_BYTES))
        finally:
            reply.close()
        if not isinstance(document, dict):
            raise ValueError("the answer is not a JSON object")
        return document

    def post(
        self, api_url: str, path: str, body: Mapping[str, Any], timeout_seconds: float
    ) -> tuple[int, str, Mapping[str, str]]:
        """Send one call with our credentials to the member of that api_url.

        Returns status, text and headers.
        """
        parts = urllib3.util.parse_url(api_url)
        reply = self._http.request(
            "POST",
            f"{parts.scheme}://{parts.netloc}/{path}",
            body=json.dumps(body),
            timeout=urllib3.Timeout(total=timeout_seconds),
            preload_content=False,
            headers={"Connection": "close", "Content-Type": "application/json", **self._login},
            redirect=False,
        )
        try:
            text = reply.read(MOST_BYTES).decode("utf-8", "replace")
            return reply.status, text, reply.headers
        finally:
            reply.close()

    def _read(self, name: str, asked_at: float, document: Mapping[str, Any]) -> PeerAnswer:
        tags = layout.parse_tags(document.get("tags"))
        own = document.get("hae")
        told: Mapping[str, Any] = own if isinstance(own, dict) else {}
        loop_age, age = told.get("loop_age"), told.get("observed_age")
        xlog = document.get("xlog", document.get("wal"))
        return PeerAnswer(
            name=name,
            asked_at=asked_at,
            reachable=True,
            role=layout.told_role(document),
            state=layout.text_or_empty(document.get("state")),
            lsn=_position(xlog),
            unread_wal=isinstance(xlog, dict) and xlog.get("unread") is True,
            timeline=layout.integer(document.get("timeline")),
            nofailover=tags.nofailover,
            failover_priority=tags.failover_priority,
            watchdog_failed=bool(document.get("watchdog_failed")),
            stale=isinstance(loop_age, int | float) and loop_age > self._ttl_seconds,
            paused=document.get("pause") is True,
            failsafe=document.get("failsafe_mode_is_active") is True,
            looked_at=asked_at - age if isinstance(age, int | float) else None,
        )

    def close(self) -> None:
        """Take no more calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _position(xlog: object) -> int | None:
    if not isinstance(xlog, dict):
        return None
    names = ("location", "received_location", "replayed_location")
    known = [lsn for lsn in (layout.integer(xlog.get(name)) for name in names) if lsn is not None]
    return max(known) if known else None


def short(error: BaseException) -> str:
    """An error on one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 160 else text[:157] + "..."
