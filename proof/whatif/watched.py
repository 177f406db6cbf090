"""A model world that notes who does what after the fault, and when writes are acknowledged.

Belongs here: only looking on.  A client tries a small write again and again, as applications do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine import actions as a
from engine.decide import Decision
from engine.rendering import action_text, shares
from engine.state import Snapshot
from proof.world.events import Life, Steps, Task
from proof.world.host import Host
from proof.world.setup import Setup
from proof.world.wal import Branch
from proof.world.world import World

TRY_SECONDS = 0.1
# What changes the course of things; the rest of a decision is upkeep.
TURNS = (
    *(a.AcquireLock, a.ReleaseLock, a.Promote, a.StartPostgres, a.StopPostgres),
    *(a.RecoverFromCrash, a.Rewind, a.Clone, a.RemoveDataDirectory, a.Exit),
    *(a.WriteSync, a.DeleteSync, a.SetSyncNames, a.AskFailsafe),
)
# Rules of the race that only prepare the answer.
PREPARING = frozenset({"race.begin", "race.ask", "race.look", "race.store_busy"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a member's rule did, or that happened to it; `rule` is empty for the latter.

    `seconds` count from the fault; `kinds` are the classes of the rule's actions.
    """

    seconds: float
    name: str
    rule: str
    text: str
    kinds: frozenset[type] = frozenset()


@dataclass(frozen=True, slots=True)
class Write:
    """An acknowledged write: where its record ends, and when the client was told."""

    seconds: float
    name: str
    branch: Branch
    lsn: int


class Watched(World):
    """A world with an onlooker.  Nothing is noted before `begin_fault`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.fault_at: float | None = None
        self.events: list[Event] = []
        self.writes_told: list[Write] = []
        self.lags: dict[str, int] = {}  # how far behind each standby stays in this run
        self.unreachable: frozenset[str] = frozenset()  # where clients do not come any more
        self.considered: dict[str, tuple[str, Snapshot]] = {}  # why a standby does not lead
        self.last: dict[str, tuple[Decision, Snapshot]] = {}
        self._told_of: set[tuple[str, str]] = set()
        self._tries = 0

    @property
    def seconds(self) -> float:
        """Since the fault."""
        return self.clock.now - (self.fault_at or 0.0)

    def begin_fault(self, happens: Callable[[Watched], None], cut_off: frozenset[str]) -> None:
        """Let it happen now; from now on everything is noted, and the client writes."""
        self.fault_at, self.unreachable = self.clock.now, cut_off
        happens(self)
        Task(self.clock, Life(), self._client()).start()

    # --- what the parts report --------------------------------------------------------------------

    def decided(self, name: str, s: Snapshot, decision: Decision) -> None:
        """A node has decided."""
        super().decided(name, s, decision)
        if self.fault_at is None:
            return
        self.last[name] = (decision, s)
        race = next((rule for rule in decision.fired if rule.startswith("race.")), None)
        if race is not None and race not in PREPARING and self.store.cluster.leader is None:
            self.considered[name] = (race, s)
        for rule, acts in shares(s, decision.fired):
            turns = [x for x in acts if isinstance(x, TURNS)]
            if turns and (name, rule) not in self._told_of:
                self._told_of.add((name, rule))
                text = "; ".join(action_text(x) for x in turns)
                self._happens(name, rule, text, frozenset(map(type, turns)))

    def _leader_changed(self, owner: str | None) -> None:
        super()._leader_changed(owner)
        text = f"{owner} owns the leader lock" if owner else "the leader lock is free"
        self._happens("store", "", text)

    def fence_fires(self, host: Host) -> None:
        """A deadline has passed."""
        super().fence_fires(host)
        self._happens(host.name, "", "the fence ends PostgreSQL")

    def promoted(self, name: str) -> None:
        """A promotion has ended."""
        super().promoted(name)
        for host in self.hosts.values():
            host.behind_bytes = 0  # the new primary is another upstream
        self._happens(name, "", "takes writes")

    def _happens(
        self, name: str, rule: str, text: str, kinds: frozenset[type] = frozenset()
    ) -> None:
        if self.fault_at is not None:
            self.events.append(Event(self.seconds, name, rule, text, kinds))

    # --- the client -------------------------------------------------------------------------------

    def _client(self) -> Steps:
        while True:
            for host in self.hosts.values():
                if host.server is not None and host.server.acknowledges:
                    self._write(host)
            yield TRY_SECONDS

    def _write(self, host: Host) -> None:
        server = host.server
        assert server is not None
        self._tries += 1
        disk = host.disk
        where = Branch(0, None, 0), 0

        def told(_synchronous: bool) -> None:
            self.writes_told.append(Write(self.seconds, host.name, *where))

        where = disk.branch, disk.end + 1
        server.commit(-self._tries, 1, told)

    def newest_write(self) -> Write | None:
        """The last write that a client which can reach everybody left was told of."""
        reached = [w for w in self.writes_told if w.name not in self.unreachable]
        return reached[-1] if reached else None
