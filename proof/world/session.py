"""One daemon's connection to the store: its watched copy, its requests and what becomes of them.

Belongs here: what an adapter promises (`shell/stores/base.py`): a copy that is honest about its
age, requests that are tried again until a deadline, and that a lost answer never becomes a wrong
yes.  Does not belong here: what the store does with a request (`store.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine.state import Cluster
from proof.world.events import Clock, Failure, Life, Signal, Steps, Task, Wait
from proof.world.network import STORE, Network
from proof.world.store import Store

if TYPE_CHECKING:
    from proof.world.host import Host

CATCH_UP_SECONDS = 0.5  # how long a view waits for the watch to bring our own last change
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0
READ_SECONDS = 3.0
RETRY_SECONDS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)


class StoreUnavailable(Failure):
    """The request was not done, or was done without our learning of it."""


class View:
    """What one look at the store gave."""

    __slots__ = ("cluster", "config", "seen_at")

    def __init__(self, cluster: Cluster, config: Mapping[str, Any] | None, seen_at: float) -> None:
        self.cluster = cluster
        self.config = config
        self.seen_at = seen_at


class Session:
    """A daemon's adapter; `lease` names the lease that its TTL keys hang on."""

    def __init__(
        self, clock: Clock, network: Network, store: Store, host: Host, life: Life
    ) -> None:
        self.lease: object = object()
        self._clock = clock
        self._network = network
        self._store = store
        self._host = host
        self._name = host.name
        self._life = life
        self._on_change: Callable[[], None] = lambda: None
        self._copy: tuple[Cluster, Mapping[str, Any] | None, int] = (Cluster(), None, -1)
        self._healthy = False
        self._watching = False
        self._seen_at = 0.0
        self._own_version = 0
        self._last_delivery = 0.0
        self._stalled: list[tuple[Cluster, Mapping[str, Any] | None, int]] = []
        self._broken = Signal()
        self._moved = Signal()

    # --- the watched copy -------------------------------------------------------------------------

    def watch(self, on_change: Callable[[], None]) -> None:
        """Follow the keys from now on."""
        self._on_change = on_change
        self._store.watchers.append(self)
        self._network.on_change.append(self._unstall)
        Task(self._clock, self._life, self._follow()).start()

    def close(self) -> None:
        """Follow nothing any more; TTL keys are left to expire."""
        if self in self._store.watchers:
            self._store.watchers.remove(self)
        if self._unstall in self._network.on_change:
            self._network.on_change.remove(self._unstall)

    def _follow(self) -> Steps:
        tries = 0
        while True:
            yield RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
            tries += 1
            self._broken = Signal()
            sent_at = self._host.now()
            try:
                found = yield from self._attempts(self._read, sent_at + READ_SECONDS)
            except StoreUnavailable:
                continue
            if self._broken.fired:
                continue
            changed = found[2] != self._copy[2]
            self._copy, self._seen_at = found, sent_at
            self._healthy = self._watching = True
            self._last_delivery = self._clock.now
            self._stalled.clear()
            if self._store.version != found[2]:  # what changed since the read comes by the watch
                self.changed(self._store.cluster, self._store.config, self._store.version)
            if changed or tries > 1:
                self._on_change()
            tries = 1
            yield Wait(self._broken)
            self._healthy = self._watching = False
            self._on_change()

    def changed(self, cluster: Cluster, config: Mapping[str, Any] | None, version: int) -> None:
        """The store tells of a change: it travels to us, in order."""
        if not self._watching:
            return
        if self._stalled or not self._network.open(STORE, self._name):
            self._stalled.append((cluster, config, version))
            return
        moment = self._clock.now + self._network.seconds(STORE, self._name)
        self._last_delivery = max(moment, self._last_delivery)
        stream = self._broken
        self._clock.at(
            self._last_delivery,
            self._life,
            self._deliver,
            (cluster, config, version),
            stream,
        )

    def _unstall(self) -> None:
        if self._stalled and self._network.open(STORE, self._name) and self._life.alive:
            waiting, self._stalled = self._stalled, []
            for what in waiting:
                self.changed(*what)

    def _deliver(self, what: tuple[Cluster, Mapping[str, Any] | None, int], stream: Signal) -> None:
        if stream is not self._broken or not self._healthy or what[2] <= self._copy[2]:
            return
        self._copy = what
        moved, self._moved = self._moved, Signal()
        moved.fire()
        self._on_change()

    # --- looking ----------------------------------------------------------------------------------

    def view_now(self) -> View | None:
        """The copy, if it is healthy and has our own last change: then no request is needed."""
        if self._healthy and self._copy[2] >= self._own_version:
            return View(self._copy[0], self._copy[1], self._seen_at)
        return None

    def view(self, deadline: float) -> Steps:
        """The copy once it has our own last change, else a read; raises StoreUnavailable."""
        until = min(self._host.now() + CATCH_UP_SECONDS, deadline)
        while self._healthy and self._copy[2] < self._own_version:
            left = until - self._host.now()
            if left <= 0.001:
                break
            yield Wait(self._moved, left)
        at_once = self.view_now()
        if at_once is not None:
            return at_once
        sent_at = self._host.now()
        cluster, config, version = yield from self._attempts(self._read, deadline)
        # The store may have lost its content, so our earlier changes are not to be awaited.
        self._own_version = min(self._own_version, version)
        return View(cluster, config, sent_at)

    def _read(self, _after_loss: bool) -> tuple[Cluster, Mapping[str, Any] | None, int]:
        return self._store.cluster, self._store.config, self._store.version

    # --- requests ---------------------------------------------------------------------------------

    def change(
        self, do: Callable[[bool], Any], deadline: float, begin_before: float | None = None
    ) -> Steps:
        """Let the store do something; `do` is told whether an earlier try may have been done.

        Raises StoreUnavailable when no certain answer came before the deadline, or it would have to
        be asked (again) after `begin_before`.
        """

        def noted(after_loss: bool) -> tuple[Any, int]:
            before = self._store.version
            result = do(after_loss)
            changed = self._store.version != before
            return result, self._store.version if changed else 0

        result, version = yield from self._attempts(noted, deadline, begin_before)
        self._own_version = max(self._own_version, version)
        return result

    def _attempts(
        self, do: Callable[[bool], Any], deadline: float, begin_before: float | None = None
    ) -> Steps:
        after_loss, pause = False, FIRST_PAUSE_SECONDS
        while True:
            left = deadline - self._host.now()
            if left <= 0.001:
                raise StoreUnavailable("not done in time")
            sent_at = self._host.now()
            if begin_before is not None and sent_at > begin_before:
                raise StoreUnavailable("too late to be sent")
            answer = yield from self._attempt(do, after_loss, left / 2)
            if answer is not None:
                if self._healthy and sent_at > self._seen_at:
                    self._seen_at = sent_at
                return answer[0]
            # Whoever got no answer cannot know; a refused connection did nothing for certain.
            after_loss = after_loss or self._store.up or not self._store.refuses
            self._healthy = self._watching = False
            self._broken.fire()
            yield min(pause, max(0.0, deadline - self._host.now()))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _attempt(self, do: Callable[[bool], Any], after_loss: bool, seconds: float) -> Steps:
        """One try; a tuple with the answer, or None after `seconds` or a refusal."""
        network, store, clock, name = self._network, self._store, self._clock, self._name
        reply = Signal()

        def arrive() -> None:
            if not store.up:
                if store.refuses and network.open(STORE, name):
                    clock.after(0.0, self._life, reply.fire, None)
                return
            answer = (do(after_loss),)
            if network.open(STORE, name) and not network.is_lost():
                back = network.seconds(STORE, name)
                clock.after(back, self._life, reply.fire, answer)

        if network.open(name, STORE) and not network.is_lost():
            there = network.seconds(name, STORE) + network.lateness()
            clock.after(there, store.life, arrive)
        yield Wait(reply, seconds)
        return reply.value
