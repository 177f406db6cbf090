"""Tries an operation on one endpoint after the other until a deadline.

Belongs here: the order of the endpoints, each attempt's share of the time, pauses, and the final
error. Does not belong here: what an attempt sends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from shell.processes import now
from shell.stores.base import StoreMisconfigured, StoreUnavailable

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0

T = TypeVar("T")


class AttemptFailed(Exception):  # noqa: N818 - carries one attempt's outcome to the retry loop
    """One attempt at one endpoint failed.

    `maybe_done` says that the server may have carried it out, `hopeless` that this endpoint will
    fail again until a person changes something.
    """

    def __init__(self, text: str, *, maybe_done: bool, hopeless: bool = False) -> None:
        super().__init__(text)
        self.maybe_done = maybe_done
        self.hopeless = hopeless


class Endpoints:
    """The endpoints of one store cluster, the one that answered last in front. Thread-safe.

    `on_success(url, sent_at)` and `on_failure(url)` are told of every attempt's outcome.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self.on_success: Callable[[str, float], None] = lambda _url, _sent_at: None
        self.on_failure: Callable[[str], None] = lambda _url: None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._urls = list(dict.fromkeys(urls))

    @property
    def urls(self) -> list[str]:
        """The endpoints in the order in which they will be tried."""
        with self._lock:
            return list(self._urls)

    def add(self, urls: Iterable[str]) -> None:
        """Add endpoints behind the known ones, which stay."""
        with self._lock:
            self._urls = list(dict.fromkeys([*self._urls, *urls]))

    def close(self) -> None:
        """End the pauses between attempts."""
        self._closed.set()

    def run(
        self, what: str, attempt: Callable[[str, float, bool], tuple[T, float]], deadline: float
    ) -> T:
        """Call `attempt(url, seconds, after_loss)` until one succeeds.

        An attempt returns its result and when its request was sent, or raises `AttemptFailed`;
        `after_loss` says that an earlier attempt may have been carried out. Other exceptions of
        an attempt end the operation. Raises `StoreUnavailable` at the deadline, and
        `StoreMisconfigured` as soon as every endpoint is hopeless.
        """
        after_loss = False
        pause = FIRST_PAUSE_SECONDS
        failures: dict[str, AttemptFailed] = {}
        while True:
            urls = self.urls
            for position, url in enumerate(urls):
                remaining = deadline - now()
                if remaining <= 0:
                    causes = "; ".join(map(str, failures.values())) or "no time was left to try"
                    raise StoreUnavailable(f"{what} was not done in time: {causes}")
                # A share for each endpoint still to try, and one for a second round, so that a
                # silent endpoint (or a dead pooled connection) cannot eat everything.
                seconds = remaining / (len(urls) - position + 1)
                try:
                    result, sent_at = attempt(url, seconds, after_loss)
                except AttemptFailed as failed:
                    log.debug("%s: %s", what, failed)
                    after_loss = after_loss or failed.maybe_done
                    failures[url] = failed
                    self._move_past(url)
                else:
                    self._prefer(url)
                    self.on_success(url, sent_at)
                    return result
            if failures.keys() >= set(urls) and all(f.hopeless for f in failures.values()):
                raise StoreMisconfigured("; ".join(map(str, failures.values())))
            if self._closed.wait(min(pause, max(0.0, deadline - now()))):
                raise StoreUnavailable(f"{what} was given up: the store was closed")
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _prefer(self, url: str) -> None:
        with self._lock:
            while self._urls[0] != url and url in self._urls:
                self._urls.append(self._urls.pop(0))

    def _move_past(self, url: str) -> None:
        with self._lock:
            if self._urls[0] == url:
                self._urls.append(self._urls.pop(0))
        self.on_failure(url)
