"""The store as its servers see it: keys with revisions, TTL keys on leases, watchers.

Belongs here: what one linearizable store does with a request at the moment when it arrives, when
TTL keys end, outages and the loss of everything.  Does not belong here: the way of a request
(`session.py`).  The engine's `Cluster` is kept up to date key by key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from engine.state import Cluster, FailoverRequest, HistoryLine, Member, SyncState
from proof.world.events import Clock, Life


class Watcher(Protocol):
    """Who is told of every change."""

    def changed(self, cluster: Cluster, config: Mapping[str, Any] | None, version: int) -> None:
        """The store has this content from now on."""


class Store:
    """The keys of one cluster.

    `session` arguments and a TTL together name the lease that TTL keys hang on: a lease has one TTL
    for good, as in etcd, so what asks for another TTL takes another lease.
    """

    def __init__(self, clock: Clock, *, rate: float, slack: Callable[[], float]) -> None:
        """`rate` is how fast its clock goes; `slack` draws how much longer than TTL a key lives."""
        self.life = Life()
        self.up = True
        self.refuses = True  # while down: connections are refused, else there is silence
        self.cluster = Cluster()
        self.config: Mapping[str, Any] | None = None
        self.version = 0
        self.watchers: list[Watcher] = []
        self.on_leader: Callable[[str | None], None] = lambda _owner: None
        self.leader_session: object = None
        self.emptied = 0  # how often everything was lost
        self._clock = clock
        self._rate = rate
        self._slack = slack
        self._ends: dict[str, float] = {}
        self._ttl: dict[str, float] = {}
        self._lease_of: dict[str, object] = {}
        self._documents: dict[str, Mapping[str, Any]] = {}

    # --- TTL keys ---------------------------------------------------------------------------------

    def acquire(self, name: str, ttl: float, session: object, initialize: str | None) -> bool:
        """Create the leader key if nobody has it, or say that it is on this very lease.

        Only while `initialize` holds that value, where one is given.
        """
        if self.cluster.leader is None:
            if initialize not in {None, self.cluster.initialize}:
                return False
            self._lead(name, ttl, session)
            return True
        if self.cluster.leader == name and self._is_on("leader", session, ttl):
            self._keep_alive(session, ttl)
            return True
        return False

    def renew(self, name: str, ttl: float, session: object, *, create: bool) -> bool:
        """Prolong the leader key if it holds our name; create a missing one if that is asked."""
        self._keep_alive(session, ttl)
        if self.cluster.leader == name:
            if not self._is_on("leader", session, ttl):
                self._lead(name, ttl, session)
            return True
        if self.cluster.leader is None and create:
            self._lead(name, ttl, session)
            return True
        return False

    def release(self, name: str, held_on: object) -> bool:
        """Delete the leader key if it holds that name and still hangs on that lease."""
        if self.cluster.leader != name or self.leader_session is not held_on:
            return False
        self._drop("leader")
        return True

    def publish(self, member: Member, document: Mapping[str, Any], ttl: float, on: object) -> None:
        """Write a member key on that lease, or only prolong it."""
        self._keep_alive(on, ttl)
        key = f"members/{member.name}"
        if self._documents.get(key) == document and self._is_on(key, on, ttl):
            return
        self._documents[key] = document
        self._hang(key, ttl, on)
        others = [m for m in self.cluster.members if m.name != member.name]
        members = tuple(sorted([*others, member], key=lambda m: m.name))
        self._now(replace(self.cluster, members=members))

    def withdraw(self, name: str) -> None:
        """Delete a member key."""
        if f"members/{name}" in self._documents:
            self._drop(f"members/{name}")

    def _lead(self, name: str, ttl: float, session: object) -> None:
        self.leader_session = session
        self._hang("leader", ttl, session)
        self._now(replace(self.cluster, leader=name, leader_revision=self.version + 1))

    def _hang(self, key: str, ttl: float, session: object) -> None:
        self._lease_of[key] = session
        self._prolong(key, ttl)

    def _is_on(self, key: str, session: object, ttl: float) -> bool:
        return self._lease_of.get(key) is session and self._ttl[key] == ttl

    def _keep_alive(self, session: object, ttl: float) -> None:
        for key in self._lease_of:
            if self._is_on(key, session, ttl):
                self._prolong(key, ttl)

    def _prolong(self, key: str, ttl: float) -> None:
        scheduled = key in self._ends
        self._ttl[key] = ttl
        self._ends[key] = self._clock.now + ttl / self._rate
        if not scheduled:
            self._expect_end(key)

    def _expect_end(self, key: str) -> None:
        moment = self._ends[key] + self._slack()
        self._clock.at(moment, self.life, self._perhaps_end, key)

    def _perhaps_end(self, key: str) -> None:
        if key not in self._ends:
            return
        if not self.up:  # nothing ends while nobody is there to end it
            self._clock.after(1.0, self.life, self._perhaps_end, key)
        elif self._ends[key] > self._clock.now:
            self._expect_end(key)
        else:
            self._drop(key)

    def _drop(self, key: str) -> None:
        self._ends.pop(key, None)
        self._lease_of.pop(key, None)
        self._documents.pop(key, None)
        if key == "leader":
            self.leader_session = None
            self._now(replace(self.cluster, leader=None, leader_revision=0))
            return
        name = key.removeprefix("members/")
        kept = tuple(m for m in self.cluster.members if m.name != name)
        self._now(replace(self.cluster, members=kept))

    # --- permanent keys ---------------------------------------------------------------------------

    def write(self, **fields: Any) -> None:
        """Set permanent parts of the cluster record, each the content of one key."""
        self._now(replace(self.cluster, **fields))

    def create_founder(self, name: str) -> bool:
        """Create `hae/founder`, only if absent."""
        if self.cluster.founder is not None:
            return False
        self.write(founder=name, founder_revision=self.version + 1)
        return True

    def drop_founder(self, revision: int, *, founded: bool = True) -> bool:
        """Delete `hae/founder`, only at that revision; perhaps not where `initialize` is there."""
        if self.cluster.founder is None or self.cluster.founder_revision != revision:
            return False
        if not founded and self.cluster.initialize is not None:
            return False
        self.write(founder=None, founder_revision=0)
        return True

    def create_initialize(
        self, value: str, founder_revision: int | None = None, leader_revision: int | None = None
    ) -> bool:
        """Create `initialize`, only if absent, and while that claim, or that lock, stands."""
        if self.cluster.initialize is not None:
            return False
        if founder_revision not in {None, self.cluster.founder_revision}:
            return False
        if leader_revision not in {None, self.cluster.leader_revision}:
            return False
        self.write(initialize=value, initialize_revision=self.version + 1)
        return True

    def fill_initialize(self, value: str, revision: int) -> bool:
        """Write `initialize` over that revision."""
        if self.cluster.initialize is None or self.cluster.initialize_revision != revision:
            return False
        self.write(initialize=value, initialize_revision=self.version + 1)
        return True

    def drop_initialize(self, revision: int) -> bool:
        """Delete `initialize`, only at that revision."""
        if self.cluster.initialize is None or self.cluster.initialize_revision != revision:
            return False
        self.write(initialize=None, initialize_revision=0)
        return True

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write the dynamic configuration."""
        self.config = config
        self._now(replace(self.cluster, config_present=True))

    def create_config(self, config: Mapping[str, Any]) -> bool:
        """Write the dynamic configuration if there is none."""
        if self.config is not None:
            return False
        self.configure(config)
        return True

    def ask_failover(self, leader: str | None, candidate: str | None, at: float | None) -> None:
        """Write the `failover` key, as an operator does."""
        self.write(failover=FailoverRequest(leader, candidate, at, self.version + 1))

    def clear_failover(self, revision: int) -> bool:
        """Delete the `failover` key, only at that revision."""
        request = self.cluster.failover
        if request is None or request.revision != revision:
            return False
        self.write(failover=None)
        return True

    def write_history(self, lines: tuple[HistoryLine, ...]) -> None:
        """Write `history`."""
        self.write(history=lines)

    def write_sync(self, state: SyncState | None, revision: int) -> bool:
        """Write `sync` over that revision (0: only if absent); None deletes it."""
        held = self.cluster.sync
        if (held.revision if held else 0) != revision:
            return False
        self.write(sync=None if state is None else replace(state, revision=self.version + 1))
        return True

    def write_failsafe(self, members: Mapping[str, str], revision: int) -> bool:
        """Write `failsafe` over that revision (0: only if absent); without members delete it."""
        held = self.cluster.failsafe
        if (self.cluster.failsafe_revision if held is not None else 0) != revision:
            return False
        if members:
            kept = dict(sorted(members.items()))
            self.write(failsafe=kept, failsafe_revision=self.version + 1)
        else:
            self.write(failsafe=None, failsafe_revision=0)
        return True

    # --- trouble ----------------------------------------------------------------------------------

    def go_down(self, *, refuses: bool) -> None:
        """Answer nothing any more; TTL keys do not end meanwhile."""
        self.up, self.refuses = False, refuses

    def come_back(self, *, grants_anew: bool) -> None:
        """Answer again; `grants_anew`: every lease gets its whole TTL again."""
        if self.up:
            return
        self.up = True
        for key in list(self._ends):
            if grants_anew:
                self._prolong(key, self._ttl[key])
            elif self._ends[key] <= self._clock.now:
                self._drop(key)

    def lose_everything(self) -> None:
        """Forget every key, as a store that was restored from nothing."""
        self.emptied += 1
        for kept in (self._ends, self._lease_of, self._documents):
            kept.clear()
        self.leader_session, self.config = None, None
        self._now(Cluster())

    def _now(self, cluster: Cluster) -> None:
        owner_before = self.cluster.leader
        self.version += 1
        self.cluster = cluster
        if cluster.leader != owner_before:
            self.on_leader(cluster.leader)
        for watcher in self.watchers:
            watcher.changed(cluster, self.config, self.version)
