"""What every handler may use: the desk, the store behind a bounded pool, the newest rendering.

Here belongs shared access and waiting; the meaning of the paths belongs to the handlers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from engine.state import Cluster, Known, Member, PeerAnswer, Snapshot
from shell.api.documents import ages, as_json, status_document
from shell.api.facts import Facts, facts_of
from shell.api.messages import JSON, Response, answer
from shell.api.options import ApiOptions
from shell.desk import Desk, Publication
from shell.processes import now
from shell.stores.base import Store

T = TypeVar("T")
AskPeers = Callable[[Sequence[Member], float], Iterable[PeerAnswer]]

STORE_SECONDS = 5.0
POOL_THREADS = 2
# Under load the store calls of callers wait in line; beyond this many they are refused at once.
MOST_WAITING_IN_POOL = 64


@dataclass(frozen=True, slots=True)
class Services:
    """What the rest of the daemon gives to the API.

    `ask_peers(members, timeout_seconds)` asks members over REST, blocking no longer than that;
    `explain(snapshot)` gives the engine's decision with its trace.
    """

    desk: Desk
    store: Store
    ask_peers: AskPeers
    explain: Callable[[Snapshot], Any]


@dataclass(slots=True)
class Rendering:
    """A publication with its facts and, once somebody asked, its status document."""

    publication: Publication
    facts: Facts
    last_view: Known[Cluster] | None
    document: dict[str, Any]
    prefix: bytes

    def body(self, now: float, asked_at: float) -> bytes:
        """Return the status document with the ages of this instant, for a call of that one."""
        return self.prefix + ages(self.facts, now, asked_at) + b"}"


class Office:
    """Shared state of one running listener; lives in the listener's event loop."""

    def __init__(self, services: Services, options: ApiOptions) -> None:
        self.services = services
        self.desk = services.desk
        self.store = services.store
        self.options = options
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="api-store")
        self._names_pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="api-names")
        self._in_pool = 0
        self._rendering: Rendering | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self.desk.add_reader(self._published)

    def close(self) -> None:
        """Stop listening to the desk and let the pool's threads end."""
        self.desk.remove_reader(self._published)
        for pool in (self._pool, self._names_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    # --- publications ---------------------------------------------------------------------------

    def rendering(self) -> Rendering | None:
        """Return the newest publication rendered; the work is done once for each publication."""
        publication = self.desk.latest()
        known = self._rendering
        if publication is None:
            return None
        if known is None or known.publication is not publication:
            facts = facts_of(publication)
            view = self.desk.last_cluster()
            document = status_document(publication, facts, self.options, view)
            prefix = as_json(document)[:-1] + b", "
            known = Rendering(publication, facts, view, document, prefix)
            self._rendering = known
        return known

    def _published(self) -> None:
        """Wake those who wait; runs in the main loop's thread, so it only passes the word on."""
        if self._waiters:
            with contextlib.suppress(RuntimeError):  # the listener's event loop has just ended
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        waiting, self._waiters = self._waiters, set()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def newer_than(self, sequence: int, timeout_seconds: float) -> bool:
        """Wait for a publication after `sequence`; False when none came in time."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    latest = self.desk.latest()
                    if latest is not None and latest.sequence > sequence:
                        return True
                    await waiter
                    waiter = self._loop.create_future()
                    self._waiters.add(waiter)
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)

    # --- the pool -------------------------------------------------------------------------------

    async def in_pool(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run something that may block in the pool; raises OSError when too much waits there."""
        if self._in_pool >= MOST_WAITING_IN_POOL:
            raise BlockingIOError("too many requests wait for the store")
        self._in_pool += 1
        future = self._loop.run_in_executor(self._pool, partial(work, *arguments, **named))
        future.add_done_callback(self._left_pool)
        return await asyncio.shield(future)

    async def in_names_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run something that may block on the resolver, and must not wait behind the store."""
        future = self._loop.run_in_executor(self._names_pool, partial(work, *arguments))
        return await asyncio.shield(future)

    def _left_pool(self, _future: asyncio.Future[Any]) -> None:
        self._in_pool -= 1


def store_deadline() -> float:
    """Return the instant by which a store call on behalf of a caller must have ended."""
    return now() + STORE_SECONDS


def not_ready() -> Response:
    """Return the answer of a daemon that has not finished its first cycle."""
    return Response(503, b'{"state": "unknown", "role": "uninitialized"}', JSON)


def unavailable(error: Exception) -> Response:
    """Return the answer when the store did not do it."""
    return answer(503, f"the store did not answer: {error}")
