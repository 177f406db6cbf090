"""A cluster for the command line's tests: a real embedded store, and members that answer HTTP."""

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from ctl.main import hae
from shell.processes import now
from shell.stores.embedded import EmbeddedStore

FIRST_PORT, LAST_PORT = 27000, 27999
MIB = 1024 * 1024
LSN = 80 * MIB

Answer = Callable[[Any], tuple[int, str]]


@dataclass(frozen=True)
class Asked:
    """One request that a member received."""

    method: str
    path: str
    body: Any
    authorization: str | None


class FakeMember:
    """A member's REST API: answers what the test has set, and notes what it was asked.

    `answers` maps `METHOD path` to (status, text) or to a function of the body that gives one.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, Answer | tuple[int, str]] = {}
        self._scheme = "http" if tls is None else "https"
        self._server = _serve(self)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def api_url(self) -> str:
        """The address as a member publishes it."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/patroni"

    def answer(self, method: str, path: str, body: Any) -> tuple[int, str]:
        """What the test has set for this request, 501 for anything else."""
        found = self.answers.get(f"{method} {path}", (501, "Unsupported method"))
        return found(body) if callable(found) else found

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _serve(member: FakeMember) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        """Reads one request, answers it as the member is set."""

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            body = json.loads(raw) if raw else None
            path = self.path.removeprefix("/")
            member.asked.append(Asked(self.command, path, body, self.headers.get("Authorization")))
            status, text = member.answer(self.command, path, body)
            if status == 0:  # the request arrives, the answer never comes
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Stay silent."""

    for port in range(FIRST_PORT, LAST_PORT):
        try:
            return ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError:
            continue
    raise RuntimeError(f"no free port from {FIRST_PORT} to {LAST_PORT}")


@dataclass
class World:
    """One cluster `demo` in a store file, and the command line to look at it."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    members: dict[str, FakeMember] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store_path = self.folder / "store.db"
        self.config = {"scope": "demo", "embedded": {"path": str(self.store_path)}}
        self.store = self.open("demo")

    def open(self, scope: str) -> EmbeddedStore:
        """Another cluster's part of the same store."""
        return EmbeddedStore(str(self.store_path), namespace="service", scope=scope)

    def put(self, key: str, value: Any) -> None:
        """Write a key; anything but text as JSON."""
        text = value if isinstance(value, str) else json.dumps(value)
        self.store.put(key, text, now() + 5)

    def get(self, key: str) -> str | None:
        """A key's text."""
        entry = self.store.read(now() + 5).entries.get(key)
        return entry.value if entry is not None else None

    def add(
        self, name: str, number: int, tls: ssl.SSLContext | None = None, **fields: Any
    ) -> FakeMember:
        """A member with an HTTP server."""
        member = self.members[name] = FakeMember(tls)
        self.publish(name, number, api_url=member.api_url, **fields)
        return member

    def publish(self, name: str, number: int, **fields: Any) -> None:
        """A member's key; fields that are None are left out."""
        document = {
            "conn_url": f"postgres://10.0.0.{number}:5432/postgres",
            "api_url": f"http://127.0.0.1:{LAST_PORT}/patroni",
            "state": "running",
            "role": "replica",
            "version": "4.1.5",
            "timeline": 3,
            **fields,
        }
        self.put(f"members/{name}", {k: v for k, v in document.items() if v is not None})

    def healthy(self) -> None:
        """Three members: n1 leads, n2 and n3 stream, n3 two MiB behind."""
        self.put("initialize", "7401234567890123456")
        self.put("config", {"ttl": 30, "loop_wait": 10, "retry_timeout": 10})
        self.put("status", {"optime": LSN})
        self.put("leader", "n1")
        self.add("n1", 1, role="primary", xlog_location=LSN)
        streaming: Any = {"replication_state": "streaming"}
        self.add("n2", 2, receive_lsn=LSN, replay_lsn=LSN, **streaming)
        self.add("n3", 3, receive_lsn=LSN - MIB, replay_lsn=LSN - 2 * MIB, **streaming)

    def ctl(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run `hae ctl ...` with the configuration as it stands."""
        path = self.folder / "ctl.yml"
        path.write_text(yaml.safe_dump(self.config))
        return CliRunner().invoke(hae, ["ctl", "-c", str(path), *arguments], input=stdin)

    def close(self) -> None:
        """Stop everything."""
        self.store.close()
        for member in self.members.values():
            member.close()
