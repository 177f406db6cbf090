"""Small worlds of the search in which a mistake shows soon: a few faults, at most one promotion."""

from __future__ import annotations

from dataclasses import replace

from proof.search.explore import State, first_state
from proof.search.model import Pg, World
from proof.search.worlds import FREEZE, KEYS, NAMES, QUORUM, SYNC, UNFENCED


def _world(of: World, records: int = 0, **faults: int) -> World:
    """That world with other faults, all of which may happen in one run."""
    budget = sum(faults.values())
    promotions = min(of.promotions, 1)
    return replace(of, faults=faults, budget=budget, records=records, promotions=promotions)


# Without a fence a daemon that goes on too long meets nobody who stops it.
STORE_SILENT = _world(UNFENCED, silent=1, host=1)
UNGUARDED = _world(UNFENCED, freeze=1)
PROMOTION_FAILS = _world(FREEZE, job=1, host=1)
TOLD_TO_END = _world(FREEZE, sigterm=1)
FAILOVER = _world(FREEZE, records=1, host=1)
SWITCHOVER = _world(FREEZE, switchover=1)
KEYS_LOST = replace(_world(KEYS, keys=1), promotions=2)
# Synchronous standbys come and go.
COMINGS = _world(NAMES, records=1, cut=1)
QUORUM_COMINGS = _world(QUORUM, records=1, cut=1)
LATE_KEY = replace(_world(SYNC, records=1, cut=2, slow=1, late=1), promotions=0)
SLOW_AND_SILENT = _world(FREEZE, slow=1, silent=1)
NO_FAULT = _world(FREEZE)
RESTART_WHILE_FROZEN = _world(FREEZE, postmaster=1, freeze=1)
FROZEN = _world(FREEZE, freeze=1)
RELEASED_LATE = _world(FREEZE, slow=1, late=1, sigterm=1)


def two_standbys(world: World) -> State:
    """Nobody leads, and n1 is a standby like n2: both race."""
    budget, shared, nodes = first_state(world)
    view = shared.view
    replica = view.members[1]
    shared = shared._replace(
        view=view._replace(leader=None, members=(replica,) * len(nodes)), key_left=0.0
    )
    first = nodes[1]._replace(upstream=None, pg=Pg.STANDBY)
    return budget, shared, [first, *nodes[1:]]
