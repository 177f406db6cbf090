"""The whole: hosts, store, network, clients, and the checkers that only observe.

Belongs here: putting the parts together, what they report, and what the invariants are asked.
Does not belong here: which faults happen (`proof/simulator/steps.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from engine import quorum
from engine.actions import AskLeader, Hold, JobAction, StopPostgres
from engine.decide import Decision
from engine.policy import Policy
from engine.rendering import action_text, render_short
from engine.state import DirectoryKind, ReplicationRow, Snapshot, Tags
from proof import invariants
from proof.invariants import Ending, Node, Toleration, Violation
from proof.world.disk import Disk
from proof.world.events import Clock, Life, Steps, Task
from proof.world.host import Host
from proof.world.network import Network
from proof.world.owed import Owed
from proof.world.server import Server
from proof.world.setup import Setup
from proof.world.store import Store
from proof.world.streaming import diverged
from proof.world.unguarded import Unguarded
from proof.world.wal import Branch, contains


class World:
    """One model world.  `violations` is empty as long as everything holds."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.clock = Clock()
        self.random = Random(f"{setup.background}/world")
        self.network = Network(Random(f"{setup.background}/network"), setup.network_seconds)
        slack = Random(f"{setup.background}/store")
        self.store = Store(
            self.clock,
            rate=setup.store_rate,
            slack=lambda: slack.uniform(0.0, setup.store_slack_seconds),
        )
        self.store.on_leader = self._leader_changed
        self.owed = Owed(self.store)
        self.unguarded = Unguarded()
        self.network.on_change.append(self._network_changed)
        self.frozen_hosts: dict[str, int] = {}
        self.violations: list[Violation] = []
        self.tolerated: set[Toleration] = set()
        self._waiting: set[str] = set()
        self.cycles = 0
        self._fired: Counter[tuple[str, ...]] = Counter()
        self.counts: Counter[str] = Counter()
        self.log: Callable[[str, str], None] | None = None
        self.on_note: list[Callable[[str, str], None]] = []
        self.writes = True
        self.healed = False  # every fault has ended, and none begins any more
        self._numbers: dict[str, int] = {"pid": 1000, "commit": 0, "identifier": 0}
        self._roots: dict[str, Branch] = {}
        self._writers: frozenset[str] = frozenset()
        self._rules: dict[str, quorum.Names | None] = {"": None}
        self._policies: dict[str, tuple[Mapping[str, Any] | None, Policy]] = {}
        self._routine: dict[str, tuple[str, ...]] = {}
        tags = setup.tags or (Tags(),) * setup.nodes
        rates = setup.rates or (1.0,) * setup.nodes
        self.hosts: dict[str, Host] = {}
        self._fixed = dict(zip(setup.names, setup.policies, strict=False))
        for number in range(1, setup.nodes + 1):
            host = Host(self, number, tags=tags[number - 1], rate=rates[number - 1])
            self.hosts[host.name] = host
        Task(self.clock, Life(), self._clients()).start()

    @property
    def fired(self) -> Counter[str]:
        """How often each rule has fired."""
        found: Counter[str] = Counter()
        for rules, times in self._fired.items():
            found.update(dict.fromkeys(rules, times))
        return found

    # --- numbers and names ------------------------------------------------------------------------

    def _next(self, what: str) -> int:
        self._numbers[what] += 1
        return self._numbers[what]

    def new_pid(self) -> int:
        """A process number that nobody had before."""
        return self._next("pid")

    def new_identifier(self) -> str:
        """A system identifier that no cluster had before."""
        return f"74{self._next('identifier'):017d}"

    def root(self, identifier: str) -> Branch:
        """The first timeline of that system."""
        return self._roots.setdefault(identifier, Branch(1, None, 0))

    def policy_of(self, host: Host, config: Mapping[str, Any] | None) -> Policy:
        """The policy under that configuration; the same object for the same configuration."""
        kept = self._policies.get(host.name)
        if kept is None or kept[0] is not config:
            kept = (config, self._fixed.get(host.name) or self.setup.policy(config, "{}"))
            self._policies[host.name] = kept
        return kept[1]

    def is_silent(self, name: str) -> bool:
        """Whether that machine answers nothing at all, so that who asks waits in vain."""
        host = self.hosts[name]
        frozen = host.daemon is not None and bool(host.daemon.life.frozen)
        return not host.up or name in self.frozen_hosts or frozen

    def sync_rule(self, text: str) -> quorum.Names | None:
        """What a synchronous_standby_names asks; None: no commit waits."""
        if text not in self._rules:
            names = quorum.names_of(text)
            self._rules[text] = names if names.needed else None
        return self._rules[text]

    def replication_rows(self, server: Server) -> tuple[ReplicationRow, ...]:
        """pg_stat_replication of that server."""
        rule = self.sync_rule(server.obeyed_names)
        rows = []
        for link in server.links:
            name = link.down.host.name
            state, priority = "async", 0
            if rule is not None and name.lower() in rule.members:
                everybody = rule.needed == len(rule.members)
                priority, state = 1, "sync" if everybody else "quorum"
            rows.append(
                ReplicationRow(
                    name,
                    "streaming",
                    state,
                    priority,
                    flush_lsn=link.flushed,
                    write_lsn=link.flushed,
                    replay_lsn=min(link.flushed, link.down.replayed),
                    pid=link.pid,
                )
            )
        return tuple(sorted(rows, key=lambda row: row.application_name))

    # --- clients ----------------------------------------------------------------------------------

    def _clients(self) -> Steps:
        random = Random(f"{self.setup.background}/clients")
        while True:
            yield self.setup.write_every_seconds * (0.2 + 1.6 * random.random())
            if not self.writes:
                continue
            size = random.randint(60, self.setup.biggest_write)
            for host in self.hosts.values():
                server = host.server
                if server is not None and server.acknowledges:
                    self.counts["commits"] += 1
                    server.commit(self._next("commit"), size, self._count)

    def _count(self, synchronous: bool) -> None:
        self.counts["synchronous" if synchronous else "asynchronous"] += 1

    def lost_commits(self, host: Host) -> int:
        """How many acknowledged commits, synchronous or not, are not in this host's WAL."""
        branches: dict[int, Branch] = {}
        for other in self.hosts.values():
            for branch in (other.disk.branch, *other.disk.branch.limits):
                branches[id(branch)] = branch
        disk = host.disk
        return sum(
            not contains(disk.branch, disk.end, branch, lsn)
            for branch in branches.values()
            for lsn, _, _ in branch.told
        )

    # --- what the parts report --------------------------------------------------------------------

    def told(self, name: str, text: str) -> None:
        """A line for the log."""
        if self.log is not None:
            self.log(name, text)

    def note(self, occurrence: str, name: str) -> None:
        """Something happened at which a fault may be planned."""
        for told in tuple(self.on_note):
            told(occurrence, name)

    def decided(self, name: str, s: Snapshot, decision: Decision) -> None:
        """A node has decided: the output checker looks at it."""
        self._fired[decision.fired] += 1
        self._note_waiting(name, decision)
        self.hosts[name].attendance.decided(s)
        if self.unguarded.decided(self.hosts[name], s):
            self.owed.forgive()  # what several may have acknowledged at a time
        self._see_whether_keys_are_back(name)
        found = invariants.broken_by_decision(s, decision)
        if found:
            self._violated(found)
        if self.log is not None and decision.fired != self._routine.get(name):
            self._routine[name] = decision.fired
            acts = [x for x in decision.actions if not isinstance(x, Hold)]
            if acts or found:
                self.log(name, render_short(decision))

    def lose_keys(self) -> None:
        """The store forgets everything; promotions and commits are excused until it is back."""
        self.tolerated.add(Toleration.STORE_LOST_ITS_CONTENT)
        self.store.lose_everything()

    def _see_whether_keys_are_back(self, leader: str) -> None:
        if Toleration.STORE_LOST_ITS_CONTENT not in self.tolerated:
            return
        promoting = any(h.server is not None and h.server.promoting for h in self.hosts.values())
        if not promoting and self.owed.is_owed_again(self.hosts[leader]):
            self.tolerated.discard(Toleration.STORE_LOST_ITS_CONTENT)
            self.owed.forgive()

    def _note_waiting(self, name: str, decision: Decision) -> None:
        """Who waits for a person; to ask the leader once more changes nothing about that."""
        if any(isinstance(action, AskLeader) for action in decision.actions):
            return
        holds = [x.waiting_for for x in decision.actions if isinstance(x, Hold)]
        if any(text.startswith(("an operator", "the operator")) for text in holds):
            self._waiting.add(name)
        else:
            self._waiting.discard(name)

    def job_begins(self, name: str, action: JobAction) -> None:
        """Long work is begun."""
        self.told(name, action_text(action))
        occurrence = type(action).__name__
        if isinstance(action, StopPostgres):
            occurrence += f" {action.mode}"
        self.counts[f"job {occurrence}"] += 1
        self.note(occurrence, name)

    def _leader_changed(self, owner: str | None) -> None:
        self.told("store", f"the leader key is {owner or 'gone'}")
        if owner is not None:
            self.owed.leads(self.hosts[owner])
            self.hosts[owner].disk.never_led = False
        for server in (h.server for h in self.hosts.values() if h.server is not None):
            if server.promoting:
                server.kept_the_lock &= server.host.may_be_promoted
            if owner == server.host.name:
                server.outlived_its_lock = False
            elif server.acknowledges and server.host.is_paused:
                server.outlived_its_lock = True
        self.note("lock free" if owner is None else "lock taken", owner or "")

    def _network_changed(self) -> None:
        for host in self.hosts.values():
            if host.server is not None:
                for link in tuple(host.server.links):
                    link.network_changed()

    def fence_fires(self, host: Host) -> None:
        """A deadline has passed."""
        self.counts["fence fired"] += 1
        self.told(host.name, "the fence ends PostgreSQL")
        daemon = host.daemon
        if daemon is not None and daemon.carried_out is not None:
            s = daemon.carried_out  # what it decides right now may come a moment too late
            if s.policy.pause and not daemon.life.frozen and not daemon.loop.frozen:
                node = Node(host.name, acted_unasked="the fence ended PostgreSQL")
                self._check((node,), paused=True)
        self.note("fence fires", host.name)

    # --- checks -----------------------------------------------------------------------------------

    def look(self, name: str) -> None:
        """Something about that server has changed: see who can acknowledge writes now."""
        writers = frozenset(
            h.name for h in self.hosts.values() if h.server is not None and h.server.acknowledges
        )
        if writers != self._writers:
            new, self._writers = writers - self._writers, writers
            self.told(name, f"can acknowledge writes: {', '.join(sorted(writers)) or 'nobody'}")
            if new or len(writers) > 1:
                self._check(self._nodes())

    def promoted(self, name: str) -> None:
        """A promotion has ended: see whether the lock was kept, and nothing promised lost."""
        self.counts["promotions"] += 1
        self._writers = self._writers | {name}
        self.told(name, f"is promoted to timeline {self.hosts[name].disk.branch.timeline}")
        self._check(self._nodes(promoted=name))
        self.note("promoted", name)

    def streams(self, host: Host, up: Host) -> None:
        """A WAL receiver has connected."""
        self.told(host.name, f"streams from {up.name}")
        if diverged(up.disk, host.disk):
            self._check((Node(host.name, streams=True, diverged=True),))

    def found_half_made(self, name: str) -> None:
        """A directory that pg_rewind left half-made is started."""
        self._check((Node(name, half_made=True, starts=True),))

    def _nodes(self, promoted: str = "") -> tuple[Node, ...]:
        return tuple(self._node(host, promoted == host.name) for host in self.hosts.values())

    def _node(self, host: Host, promoted: bool) -> Node:
        server = host.server
        if server is None:
            return Node(host.name)
        up = server.upstream
        return Node(
            host.name,
            acknowledges=server.acknowledges,
            promoting=server.promoting,
            promoted_now=promoted,
            kept_the_lock=server.kept_the_lock,
            streams=up is not None,
            diverged=up is not None and diverged(up.up.host.disk, host.disk),
            missing=self.owed.missing(host) if server.acknowledges else (),
        )

    def _check(self, nodes: tuple[Node, ...], *, paused: bool = False) -> None:
        tolerated = self.unguarded.tolerated | self.tolerated
        if any(host.is_paused for host in self.hosts.values()):
            tolerated |= {Toleration.PAUSED}
        strays = [self.hosts[node.name] for node in nodes if node.streams and node.diverged]
        if strays and all(host.attendance.is_wanting for host in strays):
            tolerated |= {Toleration.UNWATCHED}
        owner = self.store.cluster.leader
        found = invariants.broken(invariants.World(nodes, owner, paused, tolerated))
        if found:
            self._violated(found)

    def _violated(self, found: list[Violation]) -> None:
        self.violations += found
        for violation in found:
            self.told("CHECK", str(violation))

    # --- the end ----------------------------------------------------------------------------------

    def ending(self, stirring: tuple[str, ...] = ()) -> Ending:
        """How the world looks now, for the last question."""
        if self.store.emptied and not self.store.cluster.initialize:
            hosts = [host for host in self.hosts.values() if host.disk.system_identifier]
            if all(host.disk.was_standby or host.failed for host in hosts):
                self.tolerated.add(Toleration.LOST_WITHOUT_A_PRIMARY)
        tolerated = self.tolerated | (
            {Toleration.NOBODY_MAY_LEAD} if self._is_leaderless() else set()
        )
        return Ending(
            self._nodes(),
            self.store.cluster.leader,
            frozenset(name for name in self.hosts if self.waits_for_operator(name)),
            stirring,
            frozenset(tolerated),
        )

    def _is_leaderless(self) -> bool:
        """Whether the operator's tags exclude everybody who has data, or who could make some."""
        able, store = [h for h in self.hosts.values() if h.disk.system_identifier], self.store
        if not able and not store.cluster.initialize:
            able = list(self.hosts.values())
        able = [h for h in able if self._may_win(h)]
        return bool(able) and not any(map(self._may_ever_lead, able))

    def _may_win(self, host: Host) -> bool:
        """Whether limits and keys let that host win a race once everybody answers."""
        view, policy = self.store.cluster, host.policy_of(self.store.config)
        listed = view.failsafe if policy.failsafe_mode else None
        mode, sync = policy.synchronous_mode, view.sync
        if mode == "off" or sync is None or not sync.leader:
            sync = None
        lags = (view.optime or 0) - host.disk.end > policy.maximum_lag_on_failover_bytes
        lags = lags and (sync is None or host.name != sync.leader)
        if lags or host.name not in (listed or {host.name}):
            return False
        if sync is None:
            return True
        named = {sync.leader, *sync.standbys}
        if mode == "on" or host.name == sync.leader:
            return host.name in named
        others = [self.hosts[name].disk for name in named - {host.name} if name in self.hosts]
        votes = sum(_is_not_ahead(disk, host.disk) for disk in others)
        return votes - (host.name not in named) >= sync.quorum

    def _may_ever_lead(self, host: Host) -> bool:
        required = host.policy_of(self.store.config).watchdog_mode == "required"
        unguarded = required and host.device is None
        return not (unguarded or host.tags.never_leads)

    def waits_for_operator(self, name: str) -> bool:
        """Whether the last decision there waits for a person, or its daemon ends with an error.

        What a bootstrap has just made, and nobody has led with, is no reason for that.
        """
        host = self.hosts[name]
        if host.failed:
            return not (host.disk.never_led and self.store.cluster.leader)
        decided = host.daemon is not None and host.daemon.decision is not None
        return decided and name in self._waiting


def _is_not_ahead(one: Disk, other: Disk) -> bool:
    """Whether that server can tell that it has no more WAL than the other one."""
    if one.kind is not DirectoryKind.VALID:
        return False
    return (one.branch.timeline, one.end) <= (other.branch.timeline, other.end)
