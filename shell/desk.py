"""The desk between the main loop and everybody else in the process.

The main loop lays down what it knows (`publish`) and picks up what others want (`pending`, the
wake-up).  Other threads read the newest publication and hand in requests.  Nothing here looks
inside a snapshot, and nothing here waits for PostgreSQL or for the store.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from engine.state import (
    Cluster,
    FailsafeCall,
    Known,
    Request,
    RequestKind,
    RestartCondition,
    Snapshot,
)
from shell.processes import now

# More requests than an operator could mean: the rest is answered at once instead of piling up.
MOST_PENDING_REQUESTS = 32


@dataclass(frozen=True, slots=True)
class Publication:
    """What one cycle of the main loop leaves for the other threads; instants are CLOCK_BOOTTIME.

    `decision` is the engine's decision about `snapshot`.  `numbers` are further measurements, shown
    by /metrics as `hae_<name>`.
    """

    sequence: int
    snapshot: Snapshot
    published_at: float
    settings: Any
    dynamic_config: Mapping[str, Any] | None = None
    loop_count: int = 0
    loop_seconds: float = 0.0
    fired_rules: tuple[str, ...] = ()
    decision: Any = None
    numbers: Mapping[str, float] = field(default_factory=dict)


Outcome = tuple[int, str]


class Desk:
    """Thread-safe exchange of publications, requests and wake-ups.

    `on_wake` is called with the reason, from any thread, whenever the main loop should run; it
    must not block.
    """

    def __init__(self) -> None:
        self.on_wake: Callable[[str], None] = lambda _why: None
        self._lock = threading.Lock()
        self._latest: Publication | None = None
        self._last_cluster: Known[Cluster] | None = None
        self._readers: list[Callable[[], None]] = []
        self._ids = itertools.count(1)
        self._requests: dict[int, tuple[Request, Future[Outcome]]] = {}
        self._fired: Counter[str] = Counter()
        self._failsafe_calls: dict[int, tuple[FailsafeCall, Future[Outcome]]] = {}

    def publish(self, publication: Publication) -> None:
        """Make `publication` the latest and tell the readers; called by the main loop."""
        with self._lock:
            self._latest = publication
            if isinstance(publication.snapshot.cluster, Known):
                self._last_cluster = publication.snapshot.cluster
            self._fired.update(publication.fired_rules)
            readers = tuple(self._readers)
        for reader in readers:
            reader()

    def latest(self) -> Publication | None:
        """Return the newest publication; None before the first cycle."""
        return self._latest

    def last_cluster(self) -> Known[Cluster] | None:
        """Return the newest view of the store that was ever published, however old."""
        return self._last_cluster

    def rule_counts(self) -> Mapping[str, int]:
        """Return how often each rule has fired since the start."""
        with self._lock:
            return dict(self._fired)

    def add_reader(self, reader: Callable[[], None]) -> None:
        """Call `reader` in the main loop's thread after each publication; it must not block."""
        with self._lock:
            self._readers.append(reader)

    def remove_reader(self, reader: Callable[[], None]) -> None:
        """Undo `add_reader`."""
        with self._lock:
            self._readers.remove(reader)

    def submit(
        self,
        kind: RequestKind,
        condition: RestartCondition = RestartCondition(),  # noqa: B008 - frozen
        *,
        force: bool = False,
        from_leader: bool = False,
    ) -> Future[Outcome]:
        """Hand in an operator's request; the future gives the HTTP status and the text.

        A caller that gives up cancels the future: the request then leaves the desk.
        """
        future: Future[Outcome] = Future()
        with self._lock:
            self._forget_cancelled()
            if len(self._requests) >= MOST_PENDING_REQUESTS:
                future.set_result((503, "too many requests are waiting for an answer"))
                return future
            number = next(self._ids)
            since = now()
            request = Request(number, kind, since, condition, force, from_leader)
            self._requests[number] = (request, future)
        self.on_wake(f"request: {kind.value}")
        return future

    def pending(self) -> tuple[Request, ...]:
        """Return the unanswered requests, oldest first, for the snapshot."""
        with self._lock:
            self._forget_cancelled()
            return tuple(request for request, _future in self._requests.values())

    def answer(self, request_id: int, status: int, text: str) -> None:
        """Answer a request; an unknown or already answered one is left alone."""
        with self._lock:
            found = self._requests.pop(request_id, None)
            call = self._failsafe_calls.pop(request_id, None)
        future = found[1] if found else call[1] if call else None
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result((status, text))

    def _forget_cancelled(self) -> None:
        for number in [n for n, (_request, future) in self._requests.items() if future.cancelled()]:
            del self._requests[number]
        for number in [n for n, (_c, future) in self._failsafe_calls.items() if future.cancelled()]:
            del self._failsafe_calls[number]

    def poke(self, why: str) -> None:
        """Wake the main loop: something happened that a fresh snapshot would show."""
        self.on_wake(why)

    def ask_consent(
        self, name: str, ttl_seconds: float, slots: Mapping[str, int]
    ) -> Future[Outcome]:
        """Hand in that a primary without the store asks to go on; the future gives the answer."""
        future: Future[Outcome] = Future()
        with self._lock:
            self._forget_cancelled()
            if len(self._failsafe_calls) >= MOST_PENDING_REQUESTS:
                future.set_result((503, "too many callers are waiting for an answer"))
                return future
            number = next(self._ids)
            call = FailsafeCall(number, name, now(), ttl_seconds, slots)
            self._failsafe_calls[number] = (call, future)
        self.on_wake(f"failsafe call of {name}")
        return future

    def failsafe_calls(self) -> tuple[FailsafeCall, ...]:
        """Return the primaries that wait for our consent, oldest first, for the snapshot."""
        with self._lock:
            self._forget_cancelled()
            return tuple(call for call, _future in self._failsafe_calls.values())
