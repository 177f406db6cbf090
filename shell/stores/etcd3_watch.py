"""A copy of one key prefix, kept current by etcd's watch stream.

Belongs here: the stream, the copy and the question whether the copy can be trusted. Does not
belong here: writing, and what the keys mean.

The stream itself says nothing while nothing changes. Two things tell a quiet one from a dead one:
TCP keep-alive for a host that vanished, and the answers that the same member gives to our other
requests: each one moves `seen_at` forward, each failure ends the stream. So do answers of another
member while this one gives none.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import urllib3

from shell.processes import now
from shell.stores.attempts import AttemptFailed
from shell.stores.base import StoreError
from shell.stores.etcd3_errors import header_of
from shell.stores.etcd3_messages import KeyValue, below, key_value, key_values
from shell.stores.etcd3_transport import Etcd3Transport

log = logging.getLogger(__name__)

READ_SECONDS = 3.0
CONNECT_SECONDS = 2.0
# Etcd reports progress every 10 to 11 minutes, so an older silence means a broken stream.
SILENCE_SECONDS = 900.0
RETRY_SECONDS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
LONG_LIFE_SECONDS = 5.0
# After this time with answers of another member only, the stream is opened there.
UNCONFIRMED_SECONDS = 2.0


class StreamEnded(Exception):  # noqa: N818 - the ordinary end of a stream
    """The watch stream cannot go on; a new one must start with a fresh read."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The prefix's keys at `revision`, known to be current at `seen_at`."""

    keys: dict[str, KeyValue]
    revision: int
    seen_at: float


@dataclass(slots=True)
class _State:
    keys: dict[str, KeyValue] = field(default_factory=dict)
    revision: int = 0
    seen_at: float = 0.0
    healthy: bool = False
    url: str = ""


class WatchedPrefix:
    """Follows a prefix in a background thread."""

    def __init__(
        self, transport: Etcd3Transport, prefix: str, on_change: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._prefix = prefix
        self._on_change = on_change
        self._changed = threading.Condition()
        self._state = _State()
        self._socket: socket.socket | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="etcd3-watch", daemon=True)

    def start(self) -> None:
        """Start the thread; requests of the transport confirm or doubt the copy from now on."""
        self._transport.endpoints.on_success = self._confirm
        self._transport.endpoints.on_failure = self._doubt
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no `on_change` comes afterwards."""
        self._stopped.set()
        self._interrupt()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(CONNECT_SECONDS)

    def copy(self, revision: int, wait_seconds: float) -> Copy | None:
        """Return the copy once it has reached `revision`; None if it is unhealthy or too late."""
        with self._changed:
            ready = self._changed.wait_for(
                lambda: not self._state.healthy or self._state.revision >= revision,
                max(0.0, wait_seconds),
            )
            if not ready or not self._state.healthy:
                return None
            state = self._state
            return Copy(dict(state.keys), state.revision, state.seen_at)

    def _confirm(self, url: str, sent_at: float) -> None:
        with self._changed:
            state = self._state
            if state.healthy and state.url == url:
                state.seen_at = max(state.seen_at, sent_at)
            # Two requests at once, of which one failed, may leave us with a member that is asked
            # no more: its copy would be healthy for ever, and never known to be current.
            if not state.healthy or sent_at - state.seen_at <= UNCONFIRMED_SECONDS:
                return
            state.healthy = False
            self._changed.notify_all()
        self._interrupt()

    def _doubt(self, url: str) -> None:
        with self._changed:
            if self._state.url != url:
                return
            self._state.healthy = False
            self._changed.notify_all()
        self._interrupt()

    def _interrupt(self) -> None:
        with self._changed:
            current, self._socket = self._socket, None
        if current is not None:
            try:
                current.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                log.debug("the watch connection was closed already: %s", error)

    def _run(self) -> None:
        short_lives = 0
        told_lost = True
        while not self._stopped.wait(RETRY_SECONDS[min(short_lives, len(RETRY_SECONDS) - 1)]):
            started_at = now()
            try:
                for changed in self._follow():
                    if changed or told_lost:
                        told_lost = False
                        self._tell()
            except (StreamEnded, StoreError, AttemptFailed) as error:
                log.info("watch of %s interrupted: %s", self._prefix, error)
            except Exception as error:  # whatever the server sent, this thread must go on
                log.info("watch of %s interrupted: %s", self._prefix, type(error).__name__)
            with self._changed:
                self._state.healthy = False
                self._changed.notify_all()
            if not told_lost:
                told_lost = True
                self._tell()
            short_lives = 1 if now() - started_at > LONG_LIFE_SECONDS else short_lives + 1

    def _tell(self) -> None:
        if not self._stopped.is_set():
            self._on_change()

    def _follow(self) -> Iterator[bool]:
        """Read the prefix, then apply the stream; yields whether each message changed the copy."""
        reply = self._transport.call("kv/range", below(self._prefix), now() + READ_SECONDS)
        changed = self._load(key_values(reply.body), reply.revision, reply.url, reply.sent_at)
        create = below(self._prefix) | {
            "start_revision": str(reply.revision + 1),
            "progress_notify": True,
        }
        with self._open(reply.url, create) as response:
            for message in _messages(response):
                changed = self._apply(reply.url, message) or changed
                yield changed
                changed = False

    def _open(self, url: str, create: dict[str, Any]) -> urllib3.BaseHTTPResponse:
        transport = self._transport
        headers = {"Content-Type": "application/json"}
        headers |= transport.authorization(url, CONNECT_SECONDS)
        transport.count_request()
        response = transport.pool.request(
            "POST",
            f"{url}/v3/watch",
            body=json.dumps({"create_request": create}).encode(),
            headers=headers,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENCE_SECONDS),
            preload_content=False,
        )
        connection = response.connection
        with self._changed:
            self._socket = getattr(connection, "sock", None)
        if response.status != 200 or self._stopped.is_set():
            response.close()
            raise StreamEnded(f"etcd at {url} answered the watch with status {response.status}")
        return response

    def _load(self, found: list[KeyValue], revision: int, url: str, sent_at: float) -> bool:
        with self._changed:
            keys = {item.key: item for item in found}
            changed = keys != self._state.keys
            # Trusted only once the stream is open: until then changes would go unnoticed.
            self._state = _State(keys, revision, sent_at, healthy=False, url=url)
            return changed

    def _apply(self, url: str, message: dict[str, Any]) -> bool:
        """Take in one message; True when it changed the copy."""
        result = message.get("result")
        if not isinstance(result, dict):
            raise StreamEnded(f"etcd at {url} ended the watch: {str(message.get('error'))[:200]}")
        if result.get("canceled"):
            self._transport.forget_token()
            reason = result.get("cancel_reason") or "compacted"
            raise StreamEnded(f"etcd at {url} cancelled the watch: {reason}")
        header = header_of(message)
        if not self._transport.terms.accept(url, header):
            raise StreamEnded(f"etcd at {url} watches with an older raft term than others")
        events = result.get("events", [])
        with self._changed:
            state = self._state
            # Not `seen_at`: after we ourselves were frozen, a message may have waited for long.
            state.healthy = state.healthy or bool(result.get("created"))
            for event in events:
                item = key_value(event["kv"])
                if event.get("type") == "DELETE":
                    state.keys.pop(item.key, None)
                else:
                    state.keys[item.key] = item
                state.revision = max(state.revision, item.revision)
            if not events and not result.get("created"):
                state.revision = max(state.revision, int(header.get("revision", 0)))
            self._changed.notify_all()
        return bool(events)


def _messages(response: urllib3.BaseHTTPResponse) -> Iterator[dict[str, Any]]:
    """Yield the stream's JSON messages, one a line, as they arrive."""
    pending = b""
    for chunk in response.stream():
        pending += chunk
        *lines, pending = pending.split(b"\n")
        for line in lines:
            if line.strip():
                message = json.loads(line)
                if not isinstance(message, dict):
                    raise StreamEnded("the watch stream carries something else than messages")
                yield message
    raise StreamEnded("the server closed the watch stream")
