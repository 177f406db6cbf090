"""A small world of synchronous replication: one leader that decides, and what may go wrong.

Belongs here: what PostgreSQL, the store and the network make of each action, and the slow, obvious
check that nobody who may lead lacks an acknowledged commit.  Must not: use the engine's arithmetic.

Commits are numbers in a row, so a position says which ones a server has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine import actions as a
from engine.actions import Action
from engine.policy import Policy
from engine.rule import Fact
from engine.state import Known, Lease, Memory, ReplicationRow, Slot, Snapshot, SyncState, Tags
from engine.tables.sync import SYNC
from tests.support.scenes import BASES
from tests.support.snapshots import NOW, cluster, member, primary_server

ME = "n1"
OTHERS = ("n2", "n3", "n4")
SETTLE_SECONDS = 0.9  # a process of PostgreSQL needs less to read a changed file


@dataclass
class Standby:
    """A member that streams, or does not, and has all commits up to `position`.

    A slow one streams and falls behind.
    """

    connected: bool = True
    slow: bool = False
    position: int = 0
    tags: Tags = field(default_factory=Tags)


def waits_for(names: str) -> tuple[int, set[str]]:
    """How many of whom a commit waits for, by the plain grammar that the engine writes."""
    if not names:
        return 0, set()
    listed = re.fullmatch(r"(?:ANY )?(\d+) \((.*)\)", names)
    needed, text = (int(listed[1]), listed[2]) if listed else (1, names)
    return needed, {name.strip('"') for name in text.split(",")}


@dataclass
class World:
    """Everything that is true, and what the daemon remembers."""

    policy: Policy = field(default_factory=lambda: Policy(synchronous_mode="on"))
    now: float = NOW
    standbys: dict[str, Standby] = field(
        default_factory=lambda: {name: Standby() for name in OTHERS}
    )
    position: int = 10  # the last commit of the primary
    acknowledged: int = 0
    key: SyncState | None = None
    revision: int = 0
    late: list[a.WriteSync] = field(default_factory=list)  # writes that may still arrive
    file: str | None = None  # the names that are written; None: none of ours
    force: str = ""  # those that a new session sees
    obeyed: list[str] = field(default_factory=lambda: [""])  # those that some process goes by
    changed_at: float = 0.0
    full: bool = False  # the disk: nothing can be written
    listens: bool = True  # the checkpointer is not busy
    memory: Memory = field(default_factory=Memory)

    # ------------------------------------------------------------ what happens

    def write(self) -> None:
        """A client commits; nobody has told it so yet."""
        self.position += 1

    def replicate(self, name: str) -> None:
        """A standby receives everything."""
        if self.standbys[name].connected and not self.standbys[name].slow:
            self.standbys[name].position = self.position

    def acknowledge(self) -> None:
        """PostgreSQL tells clients of as many commits as any names in use allow."""
        self.acknowledged = max(
            self.acknowledged, *(self._acknowledged_under(names) for names in self.obeyed)
        )

    def _acknowledged_under(self, names: str) -> int:
        needed, who = waits_for(names)
        have = sorted(
            (x.position for n, x in self.standbys.items() if n in who and x.connected), reverse=True
        )
        if needed == 0:
            return self.position
        return have[needed - 1] if len(have) >= needed else 0

    def wait(self, seconds: float) -> None:
        """Time passes; once the checkpointer listens, everything obeys the new names."""
        self.acknowledge()
        self.now += seconds
        if self.listens and self.now - self.changed_at >= SETTLE_SECONDS:
            self.obeyed = [self.force]

    def toggle(self, name: str) -> None:
        """A standby goes, or comes back."""
        self.standbys[name].connected = not self.standbys[name].connected

    def slow(self, name: str) -> None:
        """A standby falls behind from now on, or no more."""
        self.standbys[name].slow = not self.standbys[name].slow

    def reload(self) -> None:
        """PostgreSQL reads its file again, whoever asked for that."""
        if (self.file or "") != self.force:
            self.force = self.file or ""
            self.obeyed.append(self.force)
            self.changed_at = self.now

    def restart_postgres(self) -> None:
        """The primary crashes and comes back in place, with what is written."""
        self.acknowledge()
        self.force = self.file or ""
        self.obeyed, self.changed_at = [self.force], self.now

    def restart_daemon(self) -> None:
        """What was remembered is gone."""
        self.memory = Memory()

    def arrive(self, number: int) -> None:
        """A write whose answer was lost is done after all, long after."""
        if self.late:
            self._replace(self.late.pop(number % len(self.late)))

    def calm(self, loops: int = 8) -> None:
        """Clients commit and nothing else happens for some loops."""
        for _ in range(loops):
            self.loop()
            self.wait(0.5)

    def loop(self, stop_after: int = 99, loses_the_answer: bool = False) -> list[Action]:
        """One decision between commits that reach all but the slow."""
        self.write()
        for name in self.standbys:
            self.replicate(name)
        actions = self.cycle(stop_after, loses_the_answer)
        self.acknowledge()
        return actions

    def cycle(self, stop_after: int = 99, loses_the_answer: bool = False) -> list[Action]:
        """One decision, carried out up to a point at which the daemon dies or an answer is lost."""
        actions = _decided(self.snapshot())
        for action in actions[:stop_after]:
            if isinstance(action, a.WriteSync) and loses_the_answer:
                self.late.append(action)
                break
            if not self._carry_out(action):
                break
        if stop_after < len(actions):
            self.restart_daemon()
        return actions

    def _carry_out(self, action: Action) -> bool:
        match action:
            case a.Remember():
                self.memory = replace(self.memory, **action.changes)
            case a.WriteSync():
                return self._replace(action)
            case a.DeleteSync():
                if self.key is None or self.key.revision != action.revision:
                    return False
                self.key = None
            case a.SetSyncNames() if not self.full:
                self.file = action.text
                self.reload()
        return True

    def _replace(self, action: a.WriteSync) -> bool:
        if (self.key.revision if self.key else 0) != action.revision:
            return False
        self.revision += 1
        self.key = SyncState(action.leader, action.standbys, action.quorum, self.revision)
        return True

    # ------------------------------------------------------------ what is seen

    def snapshot(self) -> Snapshot:
        """What the leader's daemon sees."""
        base = BASES["sync primary"]()
        members = tuple(
            member(
                name,
                int(name[1:]),
                tags=x.tags,
                state="running" if x.connected else "stopped",
                replication_state="streaming" if x.connected else None,
            )
            for name, x in self.standbys.items()
        )
        view = cluster(members=(member(ME, 1, role="primary"), *members), sync=self.key)
        server = primary_server(
            write_lsn=self.position,
            slots=tuple(
                Slot(name, active=x.connected, active_pid=100 if x.connected else None)
                for name, x in self.standbys.items()
            ),
            replication=tuple(self._rows()),
            sync_names=self.force,
            checkpointer_listens=self.listens,
        )
        postgres = replace(
            base.postgres, server=Known(server, self.now), written_sync_names=self.file
        )
        return replace(
            base,
            now=self.now,
            policy=self.policy,
            cluster=Known(view, self.now),
            lease=Lease(sent_at=self.now - 1),
            postgres=postgres,
            memory=self.memory,
            published_at=self.now,
        )

    def _rows(self) -> Sequence[ReplicationRow]:
        needed, who = waits_for(self.force)
        kind = "quorum" if self.force.startswith("ANY") else "sync"
        return [
            ReplicationRow(
                *(name, "streaming", kind if needed and name in who else "async"),
                flush_lsn=x.position,
                pid=100,
            )
            for name, x in self.standbys.items()
            if x.connected
        ]

    # ------------------------------------------------------------ what must hold

    def lacking(self) -> list[str]:
        """Who may win by the key, as it is or by a late write of it, and lacks a commit."""
        self.acknowledge()
        current = self.key.revision if self.key else 0
        keys = [self.key, *(self._as_key(x) for x in self.late if x.revision == current)]
        return [
            f"{name} has {x.position} of {self.acknowledged} and may win by {now}"
            for now in keys
            if now is not None and self.policy.synchronous_mode != "off"
            for name, x in self.standbys.items()
            if x.position < self.acknowledged and self._may_win(now, name)
        ]

    def _as_key(self, action: a.WriteSync) -> SyncState:
        return SyncState(action.leader, action.standbys, action.quorum, 0)

    def _may_win(self, now: SyncState, name: str) -> bool:
        """Whether there are enough others not ahead of it; who answers is anybody's guess."""
        named = {now.leader, *now.standbys}
        if name not in named and self.policy.synchronous_mode == "on":
            return False
        mine = self.standbys[name].position
        positions = {ME: self.position, **{n: x.position for n, x in self.standbys.items()}}
        votes = sum(positions[other] <= mine for other in named - {name})
        return votes - (name not in named) >= now.quorum


def _decided(s: Snapshot) -> list[Action]:
    """What the one table says that this world is about."""

    def hold(facts: tuple[Fact, ...]) -> bool:
        return all(fact.holds(s) for fact in facts)

    assert hold(SYNC.applies)
    rule = next(rule for rule in SYNC.rules if hold(rule.when))
    return [x for x in rule.then(s) if not isinstance(x, a.Hold | a.Report)]
