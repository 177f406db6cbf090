"""What must hold in every world, as sentences with checkers: the one list of invariants.

Belongs here: the sentences, what they ask of a world, and the stated exceptions (`Toleration`).
Does not belong here: how a world comes about.  The simulator and the exhaustive search describe
what is true at one instant as a `World`, whatever the daemons believe, and ask `broken`.  The
output checker, for one decision about one snapshot, is `broken_by_decision`; its sentences are the
docstrings of `proof/promises.py`, which the property tests share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from engine.decide import Decision
from engine.state import Snapshot
from proof.promises import broken_promises


class Toleration(StrEnum):
    """A stated exception to an invariant; docs/safety.md argues each."""

    PAUSED = "in maintenance mode operators answer for what they start"
    GUARDS_KILLED = "the fence was killed, its daemon too or frozen, and PostgreSQL spared"
    NO_FENCE = "the daemon was frozen or killed, and the configuration has no fence"
    MACHINE_PAUSED = "a hypervisor stopped the whole machine, and its clocks"
    CLOCKS_BEYOND_THE_MARGIN = "a clock drifts by more than the share of ttl that is kept for it"
    STORE_LOST_ITS_CONTENT = "the store lost all keys, the leader key of a promotion among them"
    LOST_WITHOUT_A_PRIMARY = "the store lost all keys when only replicas were left"
    NOBODY_MAY_LEAD = "whoever has the cluster's data, or may found it, is tagged not to lead"
    UNWATCHED = "a standby's daemon was frozen or gone, and its upstream replaced by another server"


@dataclass(frozen=True, slots=True)
class Node:
    """One server of the cluster as it really is at this instant.

    `missing` names synchronous commits that clients were told of, made by anybody, and that this
    server's WAL does not have.
    """

    name: str
    acknowledges: bool = False  # a client that reaches it may be told now that its commit is done
    promoting: bool = False  # a promotion was begun and has not ended
    promoted_now: bool = False  # a promotion ended in this very step
    kept_the_lock: bool = True  # it has owned the leader key without a gap since it was promoted
    streams: bool = False  # it receives WAL from another server
    diverged: bool = False  # its WAL is not the beginning of that other server's
    missing: tuple[int, ...] = ()
    half_made: bool = False  # its directory was left half-made by pg_rewind
    starts: bool = False  # its server is being started
    acted_unasked: str = ""  # in pause: what was done to it that nobody asked for


@dataclass(frozen=True, slots=True)
class World:
    """Everything that the invariants ask about one instant."""

    nodes: tuple[Node, ...]
    lock_owner: str | None = None  # by the store's own books
    paused: bool = False
    tolerated: frozenset[Toleration] = frozenset()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a world looks a bounded number of cycles after its last fault."""

    nodes: tuple[Node, ...]
    lock_owner: str | None
    expected_down: frozenset[str] = frozenset()  # members that only an operator can bring back
    stirring: tuple[str, ...] = ()  # what decisions still change, although nothing happens
    tolerated: frozenset[Toleration] = frozenset()


@dataclass(frozen=True, slots=True)
class Invariant:
    """A sentence that must be true, and a look that yields every way in which it is not."""

    name: str
    sentence: str
    violations: Callable[[World], Iterator[str]]
    tolerations: frozenset[Toleration]


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken sentence, with what was seen."""

    invariant: str
    sentence: str
    seen: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.seen} (must hold: {self.sentence})"


# --- at every instant -----------------------------------------------------------------------------


def _writers(w: World) -> Iterator[str]:
    writers = [node.name for node in w.nodes if node.acknowledges]
    if len(writers) > 1:
        yield f"{' and '.join(writers)} can acknowledge writes, {w.lock_owner} owns the lock"


def _promoted_without_lock(w: World) -> Iterator[str]:
    for node in w.nodes:
        if node.promoted_now and not node.kept_the_lock:
            yield f"{node.name} was promoted without the lock, {w.lock_owner} owns it"


def _lost_commits(w: World) -> Iterator[str]:
    for node in w.nodes:
        if node.acknowledges and node.missing:
            yield f"{node.name} leads without the acknowledged commits {list(node.missing[:8])}"


def _diverged_streams(w: World) -> Iterator[str]:
    for node in w.nodes:
        if node.streams and node.diverged:
            yield f"{node.name} streams, and its WAL is not the beginning of its upstream's"


def _half_made_starts(w: World) -> Iterator[str]:
    for node in w.nodes:
        if node.half_made and node.starts:
            yield f"{node.name} starts a directory that a rewind left half-made"


def _unasked(w: World) -> Iterator[str]:
    for node in w.nodes:
        if w.paused and node.acted_unasked:
            yield f"{node.name}: {node.acted_unasked}"


_UNSAFE_CLOCKS = frozenset({Toleration.MACHINE_PAUSED, Toleration.CLOCKS_BEYOND_THE_MARGIN})
_UNGUARDED = frozenset({Toleration.GUARDS_KILLED, Toleration.NO_FENCE, Toleration.PAUSED})

INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "one_writer",
        "At any instant at most one node can acknowledge writes.",
        _writers,
        _UNSAFE_CLOCKS | _UNGUARDED,
    ),
    Invariant(
        "promoted_with_the_lock",
        "A promoted node had the leader lock, or in its place every member's word (failsafe mode), "
        "for the whole promotion.",
        _promoted_without_lock,
        _UNSAFE_CLOCKS | _UNGUARDED | {Toleration.STORE_LOST_ITS_CONTENT},
    ),
    Invariant(
        "no_lost_commit",
        "No commit that a client was told to be synchronous is missing on a node that leads.",
        _lost_commits,
        _UNSAFE_CLOCKS | _UNGUARDED | {Toleration.STORE_LOST_ITS_CONTENT},
    ),
    Invariant(
        "diverged_never_streams",
        "A diverged node never streams without a rewind or a new copy.",
        _diverged_streams,
        frozenset({Toleration.UNWATCHED}),
    ),
    Invariant(
        "half_made_never_starts",
        "A directory that a rewind left half-made is never started.",
        _half_made_starts,
        frozenset(),
    ),
    Invariant(
        "pause_is_quiet",
        "In maintenance mode nothing is started, stopped, promoted or removed by itself.",
        _unasked,
        frozenset(),
    ),
)


def broken(w: World) -> list[Violation]:
    """Every invariant that this world breaks, and that nothing tolerated excuses."""
    return [
        Violation(invariant.name, invariant.sentence, seen)
        for invariant in INVARIANTS
        if not invariant.tolerations & w.tolerated
        for seen in invariant.violations(w)
    ]


# --- once faults have ended -----------------------------------------------------------------------

A_LEADER = "Once faults end, a leader exists within a bounded number of cycles."
ALL_STREAM = "Once faults end, every other member soon streams from the leader."
AT_REST = "On a steady world decide() settles: decisions change nothing any more."
_HOPELESS = frozenset(
    {Toleration.PAUSED, Toleration.LOST_WITHOUT_A_PRIMARY, Toleration.NOBODY_MAY_LEAD}
)


def unfinished(e: Ending) -> list[Violation]:
    """What has not healed although it should have; empty when everything has."""
    if _HOPELESS & e.tolerated:
        return []
    leaders = [node.name for node in e.nodes if node.acknowledges]
    if len(leaders) != 1 or e.lock_owner != leaders[0]:
        seen = f"{leaders or 'nobody'} can acknowledge writes, {e.lock_owner} owns the lock"
        return [Violation("a_leader_comes", A_LEADER, seen)]
    still = [
        node.name
        for node in e.nodes
        if node.name not in {*leaders, *e.expected_down} and (not node.streams or node.diverged)
    ]
    found = []
    if still:
        seen = f"{', '.join(still)} do not stream from {leaders[0]}"
        found.append(Violation("everybody_streams", ALL_STREAM, seen))
    if e.stirring:
        found.append(Violation("decisions_settle", AT_REST, ", ".join(e.stirring)))
    return found


# --- one decision ---------------------------------------------------------------------------------

SANE = "A decision contradicts nothing, says why, and waits only for what it names."


def broken_by_decision(s: Snapshot, decision: Decision) -> list[Violation]:
    """The output checker: every promise that this decision about this snapshot breaks."""
    return [
        Violation("sane_decision", SANE, f"{s.me.name}: {text}")
        for text in broken_promises(s, decision)
    ]
