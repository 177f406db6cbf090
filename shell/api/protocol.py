"""uvicorn's HTTP protocol with limits: on silence, on open connections, on headers.

Here belongs the guarding of one connection.  One request per connection is served, so that an
idle connection never has to be told from a stuck one.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_SECONDS = 10.0
ANSWER_TAKEN_SECONDS = 10.0
MOST_HEAD_BYTES = 32 * 1024
HAS_CERTIFICATE = "hae.client_certificate"


class Limits:
    """What the connections of one listener share: the cap, and who has asked nothing yet."""

    def __init__(self, most_connections: int) -> None:
        self.most_connections = most_connections
        self.silent: dict[GuardedProtocol, None] = {}


class GuardedProtocol(HttpToolsProtocol):
    """A connection that ends when its request, or the taking of the answer, lasts too long."""

    limits: Limits
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _asked = False
    _has_certificate = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; over the cap, the oldest silent connection makes room."""
        super().connection_made(transport)
        if self.scheme == "https":
            self._has_certificate = bool(transport.get_extra_info("peercert"))
        limits = self.limits
        limits.silent[self] = None
        self._timer = self.loop.call_later(REQUEST_SECONDS, transport.abort)
        if len(self.connections) > limits.most_connections:
            next(iter(limits.silent)).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass the data on, unless the head of the request grows beyond reason."""
        if not self._asked:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and b"\r\n\r\n" not in data:
                self.send_400_response("The head of the request is too large.")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Tell the application whether the caller proved who it is."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[HAS_CERTIFICATE] = self._has_certificate

    def on_headers_complete(self) -> None:
        """Stop the clock: from here the application has its own limits."""
        if not self._asked:
            self._asked = True
            self.limits.silent.pop(self, None)
            self._stop_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Give the caller some time to take the answer."""
        super().on_response_complete()
        self._timer = self.loop.call_later(ANSWER_TAKEN_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self.limits.silent.pop(self, None)
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
