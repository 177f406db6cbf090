"""Commits that clients were told to be on a synchronous standby, and until when they are owed.

Belongs here: what whoever leads must have, and what operators and a store without keys change.
Does not belong here: when a client is told (`server.py`).
"""

from __future__ import annotations

from proof.world.host import Host
from proof.world.store import Store
from proof.world.wal import Branch, contains


class Owed:
    """What no leader may lack."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._branches: list[Branch] = []
        self._named: set[str] = set()  # whom operators failed over to, and who has not led since

    def promise(self, branch: Branch, lsn: int) -> None:
        """A client was told that a commit is on a synchronous standby."""
        if not branch.promised:
            self._branches.append(branch)
        branch.promised = max(branch.promised, lsn)

    def missing(self, host: Host) -> tuple[int, ...]:
        """The promised commits that this host's WAL lacks."""
        disk, found = host.disk, []
        for branch in self._branches:
            if contains(disk.branch, disk.end, branch, branch.promised):
                continue
            found += [
                number
                for lsn, number, synchronous in branch.told
                if synchronous and not contains(disk.branch, disk.end, branch, lsn)
            ]
        return tuple(found)

    def forgive(self) -> None:
        """Nobody owes any more what was promised before."""
        for branch in self._branches:
            branch.promised = 0
            branch.told = [(lsn, number, False) for lsn, number, _ in branch.told]
        self._branches.clear()

    def failed_over_to(self, name: str) -> None:
        """An operator asked for a failover to that member, whatever it lacks."""
        self._named.add(name)

    def leads(self, host: Host) -> None:
        """That host has taken the lock; what operators answer for is owed no more.

        Seen by the last leader or not.
        """
        if self._operators_answer_for(host):
            self.forgive()
        self._named.discard(host.name)

    def _operators_answer_for(self, leader: Host) -> bool:
        """Whether an operator let that host lead without what was acknowledged before.

        He has failed over to it, has turned synchronous mode off, or has it lead in maintenance
        mode as the primary that it is.
        """
        asked = self._store.cluster.failover
        named = asked is not None and asked.leader is None and asked.candidate == leader.name
        off = (self._store.config or {}).get("synchronous_mode") == "off"
        runs = leader.server is not None and leader.server.acknowledges
        left = runs and leader.is_paused and bool(self.missing(leader))
        return named or leader.name in self._named or off or left

    def is_owed_again(self, leader: Host) -> bool:
        """Whether the store, after it lost its keys, has all that promises rest on.

        That host leads by then, and the others can see who has what it promises.
        """
        cluster = self._store.cluster
        if cluster.leader != leader.name or not cluster.initialize or self._store.config is None:
            return False
        if leader.server is None or not leader.server.acknowledges:
            return False
        if leader.policy_of(self._store.config).synchronous_mode == "off":
            return True
        return cluster.sync is not None and cluster.sync.leader == leader.name
