"""An HTTP proxy in front of a store that can lose answers or invent them."""

from __future__ import annotations

import http.client
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port


class LossyProxy:
    """Forwards requests to `127.0.0.1:<server_port>`; `lost` counts the answers kept back."""

    def __init__(self, server_port: int) -> None:
        self.lost = 0
        self._key: str | None = None
        self._invented: bytes | None = None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            """Takes every method."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Forward one request."""
                proxy.forward(self, server_port)

            do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def host(self) -> str:
        """`address:port` of the proxy."""
        return f"127.0.0.1:{self._server.server_port}"

    def lose(self, key: str) -> None:
        """Carry out the next change of a key, and break the connection instead of answering."""
        self._key = key

    def answer_always(self, body: bytes | None) -> None:
        """Answer every request with this body, or forward again."""
        self._invented = body

    def forward(self, request: BaseHTTPRequestHandler, server_port: int) -> None:
        """Handle one request of a client."""
        length = int(request.headers.get("Content-Length") or 0)
        sent = request.rfile.read(length)
        status, body, headers = 200, self._invented, {}
        if body is None:
            connection = http.client.HTTPConnection("127.0.0.1", server_port, timeout=20)
            kept = {"Content-Type": request.headers.get("Content-Type", "")} if sent else {}
            connection.request(request.command, request.path, sent, kept)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            headers = {k: v for k, v in answer.getheaders() if k.lower().startswith("x-")}
            connection.close()
        key = self._key
        if key and request.command != "GET" and _mentions(request.path, sent, key):
            self._key = None
            self.lost += 1
            request.close_connection = True
            return
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _mentions(path: str, sent: bytes, key: str) -> bool:
    """Return whether a request of either API is about a key."""
    if path.endswith(f"/{key}") or f"/{key}?" in path:
        return True
    quoted = sent.replace(b"\\/", b"/").split(b'"')
    return any(_decoded(part).endswith(f"/{key}".encode()) for part in quoted)


def _decoded(part: bytes) -> bytes:
    try:
        return b64decode(part, validate=True)
    except ValueError:
        return b""
