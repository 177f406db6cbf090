"""The worlds that are searched, each with the sentence that says what it is for.

Two timings: the shortest lease that hae allows, where every margin is one tick of a second, and the
usual one in ticks of five.  A world's faults may come in any order and at any moment, `budget` of
them in one run.
"""

from __future__ import annotations

from dataclasses import replace

from engine.policy import Policy
from proof.search.model import World

USUAL = Policy(
    use_pg_rewind=True, remove_on_rewind_failure=True, use_slots=False, fence_required=True
)
SHORT = replace(USUAL, ttl_seconds=5.0, loop_wait_seconds=1.0, retry_timeout_seconds=1.0)


def _two(name: str, what: str, **faults: int) -> World:
    return World(name, what, 2, SHORT, 1.0, faults, min(2, sum(faults.values())))


FREEZE = replace(_two("freeze", "a daemon is frozen, and again", freeze=2), budget=2)
UNFENCED = replace(
    _two("unfenced", "no fence: daemons and immediate stops are in time", silent=1, slow=1),
    policy=replace(SHORT, fence_required=False),
    fence=False,
)


def _one_promotion(name: str, world: World) -> World:
    return replace(world, name=name, promotions=1)


_ENDS = _two("ends", "a daemon is told to end, and one is frozen", sigterm=1, freeze=1)
_HANDOVER = _two("handover", "a switchover, and a daemon is frozen", switchover=1, freeze=1)
_DAEMONS = _two("daemons", "a daemon dies, and one is frozen", daemon=1, freeze=1)
_PAUSE = _two("pause", "maintenance mode, and a daemon is frozen", pause=1, freeze=1)

# The biggest first, so that two processes end at about the same time.
WORLDS = (
    _two("jobs", "a job fails", job=1, postmaster=1, freeze=1),
    _two("crashes", "a postmaster and a host die", postmaster=1, host=1),
    _two("stale", "a view of the store stands still", stale=1, freeze=1, slow=1),
    UNFENCED,
    _one_promotion("end", _ENDS),
    _one_promotion("switch", _HANDOVER),
    replace(
        _two("requests", "a request is handled late, a daemon ends", slow=1, late=1, sigterm=1),
        budget=3,
        promotions=1,
        records=0,
    ),
    World("three", "three nodes, one fault", 3, SHORT, 1.0, {"host": 1, "freeze": 1}, 1, 1, 0),
)

# What takes longer than the usual run may: `make search-all`, or by name.
LARGER = (
    _ENDS,
    _HANDOVER,
    _PAUSE,
    _DAEMONS,
    replace(_two("usual", "the usual timings", freeze=1, silent=1), policy=USUAL, tick=5.0),
    _two("silence", "the store is silent, and slow", silent=1, slow=1),
    FREEZE,
)


def _small(world: World) -> World:
    return replace(world, name=f"small {world.name}", promotions=1, records=0, budget=1)


QUICK = tuple(
    _small(world) for world in (*WORLDS, *LARGER) if world.name in {"crashes", "ends", "pause"}
)
