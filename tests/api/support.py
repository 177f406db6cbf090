"""A real listener on a free port, and plain HTTP clients for it.

Belongs here: starting, publishing, asking. Must not: know what the answers should be.
"""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from engine.state import PeerAnswer, Snapshot
from shell.api.office import Services
from shell.api.options import ApiOptions
from shell.api.server import ApiServer
from shell.config.settings import Credentials, RestApiSettings
from shell.desk import Desk, Publication
from shell.processes import now
from shell.stores.base import Entry, StoreUnavailable, View
from tests.support import snapshots

SECRET = "s3cret-of-the-api"
_sequence = itertools.count(1)


def rest_settings(**fields: Any) -> RestApiSettings:
    """The section as configured for one listener on loopback."""
    values: dict[str, Any] = {
        "listen_hosts": ("127.0.0.1",),
        "listen_port": 0,
        "connect_host": "127.0.0.1",
        "connect_port": 8008,
        "authentication": None,
        "certfile": None,
        "keyfile": None,
        "keyfile_password": None,
        "cafile": None,
        "ciphers": None,
        "verify_client": "none",
        "allowlist": (),
        "allowlist_include_members": False,
        "http_extra_headers": {},
        "https_extra_headers": {},
        "request_queue_size": 5,
        "server_tokens": "original",
    }
    return RestApiSettings(**(values | fields))


def options(**fields: Any) -> ApiOptions:
    """Options of n1 of the cluster demo; the fields are those of the restapi section."""
    return ApiOptions("demo", "n1", "4.1.5", "0.1.0", rest_settings(**fields))


def login() -> Credentials:
    """The user admin with the secret password."""
    return Credentials("admin", SECRET)


def publication(snapshot: Snapshot, **fields: Any) -> Publication:
    """A publication of that snapshot, made now."""
    values: dict[str, Any] = {
        "sequence": next(_sequence),
        "published_at": now(),
        "settings": None,
    }
    return Publication(snapshot=snapshot, **(values | fields))


class FakeStore:
    """A store in memory with revisions, as far as the API uses one; `down` makes it fail."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        self.entries = {key: Entry(value, 1) for key, value in entries.items()}
        self.down = False
        self.requests_sent = 0
        self.before_replace: Any = None

    def view(self, deadline: float) -> View:
        """The view."""
        return self.read(deadline)

    def read(self, deadline: float) -> View:
        """The view."""
        self._ask()
        return View(dict(self.entries), now())

    def put(self, key: str, value: str, deadline: float) -> None:
        """Write."""
        self._ask()
        self.entries[key] = Entry(value, self.requests_sent + 1)

    def replace(self, key: str, value: str, revision: int, deadline: float) -> bool:
        """Compare and write."""
        self._ask()
        if self.before_replace is not None:
            self.before_replace()
        if self.entries[key].revision != revision:
            return False
        self.put(key, value, deadline)
        return True

    def delete(self, key: str, deadline: float, revision: int | None = None) -> bool:
        """Compare and delete."""
        self._ask()
        if key in self.entries and revision not in (None, self.entries[key].revision):
            return False
        self.entries.pop(key, None)
        return True

    def _ask(self) -> None:
        if self.down:
            raise StoreUnavailable("embedded: the store is down; start it")
        self.requests_sent += 1


def member_entry(number: int, **fields: Any) -> str:
    """The JSON of members/n<number>."""
    values = {
        "conn_url": f"postgres://10.0.0.{number}:5432/postgres",
        "api_url": f"http://10.0.0.{number}:8008/patroni",
        "state": "running",
        "role": "replica",
        "version": "4.1.5",
        "xlog_location": snapshots.LSN,
        "timeline": 3,
    }
    return json.dumps(values | fields)


def demo_store() -> FakeStore:
    """The keys of a healthy cluster of n1 (leader), n2 and n3."""
    standby = {
        "receive_lsn": snapshots.LSN,
        "replay_lsn": snapshots.LSN - 1024,
        "replication_state": "streaming",
    }
    return FakeStore(
        {
            "leader": "n1",
            "config": '{"ttl":30,"loop_wait":10,"retry_timeout":10}',
            "status": json.dumps({"optime": snapshots.LSN}),
            "history": '[[1,50331808,"no recovery target specified","2026-08-01T10:00:00+00:00"]]',
            "members/n1": member_entry(1, role="primary"),
            "members/n2": member_entry(2, **standby),
            "members/n3": member_entry(3, tags={"noloadbalance": True}, **standby),
        }
    )


def all_can(members: Any, timeout_seconds: float) -> list[PeerAnswer]:
    """Peers that are all reachable and may all take over."""
    return [PeerAnswer(m.name, now(), reachable=True) for m in members]


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class Api:
    """A running listener with its desk and store."""

    server: ApiServer
    desk: Desk
    store: Any
    options: ApiOptions
    pokes: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.addresses[0][1]

    def publish(self, snapshot: Snapshot, **fields: Any) -> Publication:
        """Publish that snapshot."""
        made = publication(snapshot, **fields)
        self.desk.publish(made)
        return made

    def connect(self, tls: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A client connection that is not opened yet."""
        if tls is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Reply:
        """Send one request; a body that is no bytes is sent as JSON."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = self.connect(tls)
        try:
            connection.request(method, path, raw, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): text for name, text in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, tls: ssl.SSLContext | None = None) -> Reply:
        """Send a GET."""
        return self.call("GET", path, tls=tls)

    def raw(self, data: bytes, timeout_seconds: float = 20.0) -> bytes:
        """Send bytes and return everything until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout_seconds) as connection:
            connection.sendall(data)
            received = bytearray()
            while chunk := connection.recv(65536):
                received += chunk
            return bytes(received)


@contextmanager
def running(
    snapshot: Snapshot | None = None,
    store: Any = None,
    ask_peers: Any = all_can,
    explain: Any = lambda snapshot: None,
    api_options: ApiOptions | None = None,
    **rest: Any,
) -> Iterator[Api]:
    """Start a listener; with a snapshot, publish that first."""
    desk, chosen = Desk(), api_options or options(**rest)
    used: Any = store if store is not None else demo_store()
    server = ApiServer(Services(desk, used, ask_peers, explain), chosen)
    server.start()
    api = Api(server, desk, used, chosen)
    desk.on_wake = api.pokes.append
    try:
        if snapshot is not None:
            api.publish(snapshot)
        yield api
    finally:
        server.stop()


def changed(api_options: ApiOptions, **rest: Any) -> ApiOptions:
    """The same options with other fields of the restapi section."""
    return replace(api_options, rest=replace(api_options.rest, **rest))
