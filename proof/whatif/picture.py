"""What is known of a real cluster at one moment, put together from its members' snapshots.

Belongs here: choosing whom to believe (positions, tags, policy), and saying what had to be guessed.
Pure.  Does not belong here: fetching snapshots (`ctl/whatif.py`), and building the model world
(`build.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from engine import views
from engine.policy import Policy
from engine.state import (
    Cluster,
    HistoryLine,
    Known,
    Member,
    ReplicationRow,
    Server,
    Snapshot,
    Unknown,
)

RATE_SECONDS = 1.0  # over less than that no rate of writing is worked out


class Unanswerable(Exception):  # noqa: N818 - it says what cannot be asked of this cluster
    """No question makes sense about the cluster as it is; the text says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """One member.  `snapshot` is its own latest one; None: known only from what others told.

    `lag_bytes` is how far it was behind the primary (None: unknown, and taken as 0).
    """

    name: str
    member: Member
    policy: Policy
    snapshot: Snapshot | None = None
    is_up: bool = True  # its daemon and its machine
    runs: bool = True  # its PostgreSQL answers
    timeline: int = 1
    lag_bytes: int | None = 0
    replay_lag_bytes: int | None = None  # received, and not replayed yet


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole cluster.  `lsn` is the primary's position, `rate` its bytes a second if known.

    `notes` say what was guessed.
    """

    cluster: Cluster
    leader: str
    parts: tuple[Part, ...]
    system_identifier: str
    timeline: int
    lsn: int
    history: tuple[HistoryLine, ...]
    rate: float | None
    notes: tuple[str, ...] = ()

    def part(self, name: str) -> Part:
        """The member of that name."""
        return next(part for part in self.parts if part.name == name)

    @property
    def replicas(self) -> tuple[Part, ...]:
        """Everybody but the leader."""
        return tuple(part for part in self.parts if part.name != self.leader)

    @property
    def policy(self) -> Policy:
        """The leader's policy."""
        return self.part(self.leader).policy


def look(snapshots: Iterable[Snapshot], silent: Mapping[str, str]) -> Picture:
    """The picture that these snapshots give; `silent` says why a member has given none.

    Raises Unanswerable when nobody leads, or nobody sees the store.
    """
    found = {s.me.name: s for s in snapshots}
    cluster = _newest_view(found.values())
    if cluster.leader is None:
        raise Unanswerable(
            "nobody owns the leader lock at this moment; `hae explain` tells what is going on"
        )
    names = sorted({m.name for m in cluster.members} | set(found))
    if cluster.leader not in names:
        raise Unanswerable(f"the leader, {cluster.leader}, has no member key yet")
    return _Sight(cluster, found, silent).picture(names)


def _newest_view(snapshots: Iterable[Snapshot]) -> Cluster:
    known = [s for s in snapshots if isinstance(s.cluster, Known)]
    if not known:
        raise Unanswerable("no member that answered sees the store at this moment")
    newest = max(known, key=lambda s: s.wall)
    assert isinstance(newest.cluster, Known)
    return newest.cluster.value


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was given, and the questions about it that several members need."""

    cluster: Cluster
    found: Mapping[str, Snapshot]
    silent: Mapping[str, str]
    notes: list[str] = field(default_factory=list)

    def picture(self, names: list[str]) -> Picture:
        leader = self.cluster.leader
        assert leader is not None
        own, key = self.found.get(leader), self._key(leader)
        here = _answers(own)
        if own is not None and (here is None or here.in_recovery):
            what = "is a standby's" if here is not None else "does not answer"
            raise Unanswerable(f"{leader} owns the leader lock, but its PostgreSQL {what}")
        lsn, flow = self._leading_position(here, key), _rows(here)
        if lsn is None:
            raise Unanswerable(f"the position of the primary, {leader}, is not known")
        timeline = (here.timeline if here else None) or key.timeline or 1
        parts = tuple(self._part(name, here, lsn, timeline, flow) for name in names)
        return Picture(
            cluster=self.cluster,
            leader=leader,
            parts=parts,
            system_identifier=self._identifier(here),
            timeline=timeline,
            lsn=lsn,
            history=self._history(here, timeline),
            rate=_rate(own, here),
            notes=tuple(self.notes),
        )

    def _key(self, name: str) -> Member:
        return self.cluster.member(name) or self.found[name].me

    def _identifier(self, here: Server | None) -> str:
        return (here.system_identifier if here else "") or self.cluster.initialize or "1"

    def _leading_position(self, here: Server | None, key: Member) -> int | None:
        if here is not None and here.write_lsn is not None:
            return here.write_lsn
        known = [x for x in (key.xlog_location, self.cluster.optime) if x is not None]
        return max(known, default=None)

    def _history(self, here: Server | None, timeline: int) -> tuple[HistoryLine, ...]:
        """The finished timelines below that one, oldest first."""
        told = here.timeline_history if here and here.timeline_history else self.cluster.history
        return tuple(line for line in told or () if line.timeline < timeline)

    def _part(
        self,
        name: str,
        leading: Server | None,
        lsn: int,
        timeline: int,
        flow: Mapping[str, ReplicationRow],
    ) -> Part:
        own, key = self.found.get(name), self._key(name)
        row = flow.get(name.lower())
        policy = self._policy(name)
        if name == self.cluster.leader:
            if own is None:
                self._tell_unseen(name, "from its key in the store")
            return Part(name, key, policy, own, timeline=timeline)
        if own is None:
            return self._unseen(
                Part(name, key, policy, timeline=key.timeline or timeline), row, lsn
            )
        here = _answers(own)
        part = Part(name, replace(key, tags=own.me.tags), policy, own, timeline=timeline)
        if here is None:
            why = own.postgres.server.why if isinstance(own.postgres.server, Unknown) else ""
            self.notes.append(
                f"{name}: PostgreSQL does not answer ({why}); taken as not coming back by itself"
            )
            return replace(part, runs=False)
        if row is None and here.replication_state != "streaming":
            self.notes.append(f"{name} does not stream from {self.cluster.leader} at this moment")
        position = max(_positions(here, row), default=None)
        lag = None if position is None else max(0, lsn - position)
        if leading is None and lag == 0:
            lag = self._lag_by_key(key, lsn)
        return replace(
            part,
            timeline=here.timeline or timeline,
            lag_bytes=lag,
            replay_lag_bytes=_replay_lag(here),
        )

    def _unseen(self, part: Part, row: ReplicationRow | None, lsn: int) -> Part:
        """A member that gave no snapshot: as others see it, or down."""
        streams = row is not None and row.state == "streaming"
        why = self.silent.get(part.name)
        if why is not None and not streams and self._leader_was_seen():
            self.notes.append(f"{part.name} gives no snapshot ({why}); taken as down")
            return replace(
                part, is_up=False, runs=False, lag_bytes=self._lag_by_key(part.member, lsn)
            )
        if part.member.state != "running":
            state = part.member.state or "unknown"
            self.notes.append(f"{part.name}: state {state}; taken as not coming back by itself")
            return replace(part, runs=False)
        source = "its key in the store" + (" and the primary's view" if streams else "")
        self._tell_unseen(part.name, f"from {source}")
        positions = [row.flush_lsn] if row is not None and row.flush_lsn is not None else []
        lag = max(0, lsn - positions[0]) if positions else self._lag_by_key(part.member, lsn)
        return replace(part, lag_bytes=lag)

    def _leader_was_seen(self) -> bool:
        return self.cluster.leader in self.found

    def _tell_unseen(self, name: str, how: str) -> None:
        why = self.silent.get(name)
        self.notes.append(f"{name} is known only {how}" + (f" ({why})" if why else ""))

    @staticmethod
    def _lag_by_key(key: Member, lsn: int) -> int | None:
        told = (key.receive_lsn, key.replay_lsn, key.xlog_location)
        known = [x for x in told if x is not None]
        return max(0, lsn - max(known)) if known else None

    def _policy(self, name: str) -> Policy:
        """Its own policy, else the leader's, else anybody's: most of it is the cluster's."""
        order = (name, self.cluster.leader or "", *sorted(self.found))
        return next(self.found[n].policy for n in order if n in self.found)


def _answers(s: Snapshot | None) -> Server | None:
    return s.postgres.server.value if s and isinstance(s.postgres.server, Known) else None


def _rows(here: Server | None) -> dict[str, ReplicationRow]:
    """Who streams from the primary; a base backup bears its member's name too."""
    rows = here.replication if here is not None else ()
    return {r.application_name.lower(): r for r in rows if r.state == "streaming"}


def _positions(here: Server, row: ReplicationRow | None) -> list[int]:
    """What is known of a standby's position; the primary's view is of the primary's own moment."""
    own = views.position(here)
    told = row.flush_lsn if row is not None else None
    return [x for x in (own, told) if x is not None]


def _replay_lag(here: Server) -> int | None:
    if here.receive_lsn is None or here.replay_lsn is None:
        return None
    return max(0, here.receive_lsn - here.replay_lsn)


def _rate(s: Snapshot | None, here: Server | None) -> float | None:
    """Bytes a second that the primary has written since it published its position last."""
    if s is None or here is None or here.write_lsn is None or not isinstance(s.cluster, Known):
        return None
    optime, seconds = s.cluster.value.optime, s.now - s.memory.status_at
    if optime is None or not s.memory.status_at or seconds < RATE_SECONDS:
        return None
    return max(0, here.write_lsn - optime) / seconds
