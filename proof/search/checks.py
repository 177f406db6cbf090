"""The state as the invariants see it: `proof/invariants.py` says what must hold of it.

Belongs here: what is true in a state, whatever the daemons believe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proof import invariants
from proof.invariants import Toleration
from proof.search import synchronous
from proof.search.model import NAMES, Node, Pg, Shared, Wal, World, is_beginning
from proof.search.together import Face, diverges, streams


class Look(NamedTuple):
    """All of a node that an invariant asks for, or the question whether all is well again."""

    pg: Pg
    wal: Wal
    upstream: int | None
    half: bool
    unguarded: bool
    acknowledged: Wal
    leads: bool  # a primary, with a daemon that does its work
    may_lead: bool  # its directory was a primary's


def look(node: Node) -> Look:
    """That node, as an invariant sees it."""
    return Look(
        node.pg,
        node.wal,
        node.upstream if node.pg is Pg.STANDBY else None,
        node.half and node.pg is not Pg.DOWN,
        node.unguarded and node.pg is not Pg.STANDBY,
        () if node.sync is None else node.sync.acknowledged,
        node.up and not node.frozen and node.pg is Pg.PRIMARY and not node.halting,
        not node.signal and node.control != "empty",
    )


def healed(looks: Sequence[Look], shared: Shared) -> bool:
    """The owner of the lock is a primary, and everybody else streams from it."""
    leader = shared.view.leader
    if leader is None or not looks[leader].leads:
        return False
    wal = looks[leader].wal
    return all(
        n == leader or (x.pg is Pg.STANDBY and x.upstream == leader and is_beginning(x.wal, wal))
        for n, x in enumerate(looks)
    )


def without_a_primary(looks: Sequence[Look], shared: Shared) -> bool:
    """Only standbys are left of a cluster whose keys are lost: it waits for an operator."""
    lost = shared.emptied and not shared.view.initialized
    return lost and not any(x.may_lead for x in looks)


def broken(world: World, looks: Sequence[Look], shared: Shared) -> list[str]:
    """Every invariant that this state breaks.

    Stricter than the sentence about promotions: a server that is writable, or is being promoted,
    is asked in every state whether it owns the leader key.  In failsafe mode the members' word may
    take the place of the key, so what is asked is that there is one writer.
    """
    instant = invariants.World(
        nodes=tuple(_node(world, n, looks, shared) for n in range(len(looks))),
        lock_owner=None if shared.view.leader is None else NAMES[shared.view.leader],
        paused=shared.view.pause,
        tolerated=_tolerated(looks, shared),
    )
    found = [str(violation) for violation in invariants.broken(instant)]
    found += [
        f"half_rewound_stays_down: {NAMES[n]} runs on what a cut off pg_rewind left"
        for n, seen in enumerate(looks)
        if seen.half
    ]
    if world.synchronous and shared.view.sync is not None:
        quorum_mode = world.policy.synchronous_mode == "quorum"
        wals, told = [seen.wal for seen in looks], [seen.acknowledged for seen in looks]
        lacking = synchronous.lacking(shared.view.sync, quorum_mode, wals, told)
        found += [f"whoever_may_lead_has_every_commit: {text}" for text in lacking]
    return found


def _node(world: World, n: int, looks: Sequence[Look], shared: Shared) -> invariants.Node:
    seen = looks[n]
    by_word = world.policy.failsafe_mode
    receives = diverged = False
    if seen.upstream is not None:
        upstream = looks[seen.upstream]
        source = Face(None, upstream.pg, False, upstream.wal)
        receives = streams(seen.wal, source)
        diverged = receives and diverges(seen.wal, source)
    return invariants.Node(
        name=NAMES[n],
        acknowledges=seen.pg is Pg.PRIMARY,
        promoting=seen.pg is Pg.PROMOTING,
        promoted_now=seen.pg in {Pg.PRIMARY, Pg.PROMOTING},
        kept_the_lock=shared.view.leader == n or by_word,
        streams=receives,
        diverged=diverged,
        missing=tuple(k for k, x in enumerate(looks) if not is_beginning(x.acknowledged, seen.wal)),
    )


def _tolerated(looks: Sequence[Look], shared: Shared) -> frozenset[Toleration]:
    """From the pause on no fence stands behind a primary, until its daemon has armed it again."""
    paused = shared.view.pause or any(seen.unguarded for seen in looks)
    return frozenset(
        ({Toleration.PAUSED} if paused else set())
        | ({Toleration.STORE_LOST_ITS_CONTENT} if shared.emptied else set())
    )
