"""Whether the watched copy of etcd v3 stays current, whichever member answers the requests."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shell.processes import now
from shell.stores import etcd3_watch
from shell.stores.base import Store
from shell.stores.endpoints import EtcdSection
from shell.stores.etcd3 import Etcd3Store
from tests.stores.conftest import soon
from tests.support.wait import wait_for

HEADER = {"cluster_id": "1", "member_id": "1", "revision": "5", "raft_term": "2"}
CREATED = b'{"result": {"header": {"cluster_id": "1", "raft_term": "2"}, "created": true}}\n'


class _Member(ThreadingHTTPServer):
    """A member of etcd without a key, as far as the adapter asks it here."""

    daemon_threads = True

    def __init__(self, *, takes_writes: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.takes_writes = takes_writes
        self.ranges = self.watches = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        """End everything."""
        self.may_answer.set()
        self.over.set()
        self.shutdown()
        self.server_close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Member

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v3/watch":
            self.server.watches += 1
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(CREATED), CREATED))
            self.wfile.flush()
            self.server.over.wait(60)
        elif self.path == "/v3/kv/range":
            self.server.ranges += 1
            self.server.may_answer.wait(60)
            self._answer(200, {"header": HEADER})
        elif self.server.takes_writes:
            self._answer(200, {"header": HEADER})
        else:
            self._answer(503, {"code": 14, "message": "etcdserver: request timed out"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def _read(store: Store, done: threading.Event) -> None:
    store.read(soon(60))
    done.set()


def test_the_copy_follows_to_the_member_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two requests fails, so the watch moves on; the other one keeps us where we were."""
    monkeypatch.setattr(etcd3_watch, "UNCONFIRMED_SECONDS", 0.05)
    first, second = _Member(takes_writes=False), _Member(takes_writes=True)
    section = EtcdSection("etcd3", (first.url, second.url), discover=False)
    store = Etcd3Store(section, namespace="/test", scope="demo")
    try:
        store.watch(lambda: None)
        wait_for(lambda: store.view(soon()).seen_at and first.watches == 1, 20, "the watch")
        first.may_answer.clear()
        answered, asked = threading.Event(), first.ranges
        threading.Thread(target=_read, args=(store, answered), daemon=True).start()
        wait_for(lambda: first.ranges > asked, 20, "the slow request")
        store.put("status", "{}", soon())
        wait_for(lambda: second.watches == 1, 20, "the watch at the other member")
        first.may_answer.set()
        assert answered.wait(20)
        moment = now()

        def is_current() -> bool:
            store.read(soon())
            return store.view(soon()).seen_at > moment

        wait_for(is_current, 20, "a copy that is known to be current", poll_seconds=0.1)
    finally:
        store.close()
        first.stop()
        second.stop()
