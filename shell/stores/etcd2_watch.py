"""A copy of one directory, kept current by etcd v2's long polls.

Belongs here: polling, the copy, and whether it can be trusted. Does not belong here: writing.

A poll only says that something changed: the directory is then read as a whole, which also covers
everything that happened between two polls.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shell.processes import now
from shell.stores.attempts import AttemptFailed
from shell.stores.base import Entry, StoreError
from shell.stores.etcd2_transport import Etcd2Transport, Json, PollTimedOut, Refused, Reply

log = logging.getLogger(__name__)

READ_SECONDS = 3.0
POLL_SECONDS = 30.0
RETRY_SECONDS = (0.0, 0.05, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Copy:
    """The directory's keys at `index`, known to be current at `seen_at`, read from `url`."""

    entries: Mapping[str, Entry]
    index: int
    seen_at: float
    url: str


class WatchedDirectory:
    """Follows a directory in a background thread."""

    def __init__(self, transport: Etcd2Transport, base: str, on_change: Callable[[], None]) -> None:
        self._transport = transport
        self._base = base
        self._on_change = on_change
        self._lock = threading.Lock()
        self._copy: Copy | None = None
        self._healthy = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="etcd2-watch", daemon=True)

    def start(self) -> None:
        """Start the thread; requests of the transport confirm or doubt the copy from now on."""
        self._transport.endpoints.on_success = self._confirm
        self._transport.endpoints.on_failure = self._doubt
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end with its present poll; no `on_change` comes afterwards."""
        self._stopped.set()

    def copy(self, index: int) -> Copy | None:
        """Return the copy if it is healthy and includes everything up to `index`."""
        with self._lock:
            if not self._healthy or self._copy is None or self._copy.index < index:
                return None
            return self._copy

    def _confirm(self, url: str, sent_at: float) -> None:
        with self._lock:
            copy = self._copy
            if self._healthy and copy is not None and copy.url == url:
                seen_at = max(copy.seen_at, sent_at)
                self._copy = Copy(copy.entries, copy.index, seen_at, url)

    def _doubt(self, url: str) -> None:
        with self._lock:
            lost = self._healthy and self._copy is not None and self._copy.url == url
            self._healthy = self._healthy and not lost
        if lost:
            self._tell()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]):
            try:
                reply = read_directory(self._transport, self._base, now() + READ_SECONDS)
                self._load(reply)
                self._poll(reply)
                failures = 0
            except (AttemptFailed, StoreError) as error:
                log.info("watch of %s interrupted: %s", self._base, error)
                failures += 1
            except Exception as error:  # whatever the server sent, this thread must go on
                log.info("watch of %s interrupted: %s", self._base, type(error).__name__)
                failures += 1
            if failures:
                self._lose(first=failures == 1)

    def _load(self, reply: Reply) -> None:
        entries = entries_of(reply.node, self._base)
        with self._lock:
            changed = self._copy is None or entries != self._copy.entries or not self._healthy
            self._copy = Copy(entries, reply.index, reply.sent_at, reply.url)
            self._healthy = True
        if changed:
            self._tell()

    def _poll(self, reply: Reply) -> None:
        """Return when something below the directory changed after `reply`, or nothing did."""
        waiting = {"wait": "true", "recursive": "true", "waitIndex": reply.index + 1}
        try:
            self._transport.once(reply.url, "GET", self._base, waiting, POLL_SECONDS)
        except PollTimedOut:
            # A quiet directory and a frozen server look alike; the read that follows tells.
            return
        except Refused as refused:
            log.debug("watch of %s starts afresh: %s", self._base, refused)

    def _lose(self, *, first: bool) -> None:
        with self._lock:
            lost, self._healthy = self._healthy, False
        if lost or (first and self._copy is None):
            self._tell()

    def _tell(self) -> None:
        if not self._stopped.is_set():
            self._on_change()


def read_directory(transport: Etcd2Transport, base: str, deadline: float) -> Reply:
    """Read a directory with a quorum; a missing one is empty."""
    parameters = {"recursive": "true", "quorum": "true"}
    try:
        return transport.call("GET", base, parameters, deadline)
    except Refused as refused:
        if not refused.missing:
            raise
        return Reply({}, refused.index, refused.url, refused.sent_at, refused.after_loss)


def entries_of(node: Json, base: str) -> dict[str, Entry]:
    """Return the keys below a directory, named relative to `base`."""
    found: dict[str, Entry] = {}
    pending = [node]
    while pending:
        item = pending.pop()
        if item.get("dir"):
            pending.extend(item.get("nodes", []))
        elif "key" in item:
            name = str(item["key"]).removeprefix(base + "/")
            found[name] = Entry(str(item.get("value", "")), int(item.get("modifiedIndex", 0)))
    return found
