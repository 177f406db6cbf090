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

_SYNC = replace(SHORT, synchronous_mode="on")
_STRICT = replace(_SYNC, synchronous_mode_strict=True)
_QUORUM = replace(_SYNC, synchronous_mode="quorum")


def _synchronous(name: str, what: str, policy: Policy, **faults: int) -> World:
    world = _two(name, what, **faults)
    return replace(world, policy=policy, promotions=1, budget=1)


def _names(name: str, what: str, policy: Policy, **faults: int) -> World:
    """Three nodes, up to where a promotion would begin: who may lead by `sync` says the rest."""
    world = _synchronous(name, what, policy, **faults)
    return replace(world, nodes=3, promotions=0, budget=2)


def _more(name: str, names: World) -> World:
    """Also, the daemon dies between two steps."""
    return replace(names, name=name, faults={"cut": 2, "slow": 1, "daemon": 1})


_LEADER_OR_STANDBY = {"cut": 1, "host": 1, "freeze": 1}
_STEPS = {"cut": 1, "slow": 1}
SYNC = _synchronous("sync", "a standby or the leader is gone", _SYNC, **_LEADER_OR_STANDBY)
STRICT = _synchronous("strict", "the same in strict mode", _STRICT, **_LEADER_OR_STANDBY)
NAMES = _names("names", "a standby is gone, a write is late", _SYNC, **_STEPS)
QUORUM = _names("quorum", "the same with a quorum", _QUORUM, **_STEPS)

_LOST = {"keys": 1, "host": 1, "daemon": 1, "freeze": 1}
KEYS = replace(
    _two("keys", "all keys are lost, and somebody dies or is frozen", **_LOST),
    records=0,
    twins=True,
)

_SAFE = replace(SHORT, failsafe_mode=True)
FAILSAFE = replace(
    _two("failsafe", "the store is silent to one, and no other is reached", silent=1, apart=1),
    policy=_SAFE,
    promotions=1,
    records=0,
)

_JOBS = _two("more jobs", "a job fails", job=1, postmaster=1, freeze=1)
_CRASHES = _two("more crashes", "a postmaster and a host die", postmaster=1, host=1)
_STALE = _two("more stale", "a view of the store stands still", stale=1, freeze=1, slow=1)

# The biggest first, so that two processes end at about the same time.
WORLDS = (
    _one_promotion("jobs", _JOBS),
    SYNC,
    _one_promotion("stale", _STALE),
    _one_promotion("end", _ENDS),
    _one_promotion("crashes", _CRASHES),
    STRICT,
    replace(_one_promotion("switch", _HANDOVER), records=0),
    UNFENCED,
    FAILSAFE,
    replace(FAILSAFE, name="members", nodes=3, faults={"silent": 1, "outage": 1}, budget=1),
    replace(
        _two("requests", "a request is handled late, a daemon ends", slow=1, late=1, sigterm=1),
        budget=3,
        promotions=1,
        records=0,
    ),
    NAMES,
    QUORUM,
    World("three", "three nodes, one fault", 3, SHORT, 1.0, {"host": 1, "freeze": 1}, 1, 1, 0),
)

# What takes longer than the usual run may: `make search-all`, or by name.
LARGER = (
    _more("more names", NAMES),
    _more("more quorum", QUORUM),
    _JOBS,
    _CRASHES,
    _STALE,
    _ENDS,
    _HANDOVER,
    _PAUSE,
    _DAEMONS,
    KEYS,
    replace(KEYS, name="more keys", budget=3),
    replace(
        FAILSAFE,
        name="more failsafe",
        faults={"silent": 1, "outage": 1, "apart": 1, "freeze": 1, "daemon": 1},
        budget=2,
    ),
    replace(_two("usual", "the usual timings", freeze=1, silent=1), policy=USUAL, tick=5.0),
    _two("silence", "the store is silent, and slow", silent=1, slow=1),
    FREEZE,
)


def _small(world: World) -> World:
    return replace(world, name=f"small {world.name}", promotions=1, records=0, budget=1)


_CUT = {"cut": 1}
QUICK = (
    *(_small(x) for x in (*WORLDS, *LARGER) if x.name in {"crashes", "ends", "pause"}),
    replace(NAMES, name="small names", faults=_CUT, budget=1),
    replace(QUORUM, name="small quorum", faults=_CUT, budget=1),
    replace(SYNC, name="small sync", faults=_CUT),
    replace(FAILSAFE, name="small failsafe", faults={"silent": 1, "outage": 1}, budget=1),
)
