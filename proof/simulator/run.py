"""One run: a world lives through its plan, is healed, and must come back.

Phase 1, safety: anything may happen, and no invariant may break.  Phase 2, liveness: every fault
ends, and within a bounded number of cycles there is a leader from which everybody streams; after
that decisions must come to rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.actions import (
    Answer,
    ArmFence,
    AskFailsafe,
    AskLeader,
    AskPeers,
    FeedWatchdog,
    Hold,
    PublishMember,
    Remember,
    RenewLock,
    Report,
    WriteStatus,
)
from engine.tables.steps import FALLBACK_START_SECONDS
from proof.invariants import Violation, unfinished
from proof.simulator.draw import Plan
from proof.simulator.steps import Step, heal, perform
from proof.world.world import World

# The bound of the second phase: so many loops, twice ttl, and primary_start_timeout, or as long as
# a slow recovery that was under way, and the copy and the start that waited for it.
HEALING_LOOPS = 40
SLOWEST_SECONDS = 90.0
REST_LOOPS = 3
SETTLING_SECONDS = 40.0  # a slow copy and start, where loops are short
# Moments that are moved on and on; consent is given anew while failsafe mode is active.  A longer
# ttl from before is forgotten in its own time.
TIMES = frozenset(
    {*("status_at", "consented_until", "consented_to"), *("failsafe_until", "failsafe_lease")}
    | {"longest_ttl_seconds"}
)
ROUTINE = (
    Answer,
    ArmFence,
    AskFailsafe,
    AskLeader,
    AskPeers,
    FeedWatchdog,
    Hold,
    PublishMember,
    RenewLock,
    Report,
    WriteStatus,
)


@dataclass
class Outcome:
    """What a run came to.  `steps` are those that were carried out, with names and moments."""

    violations: list[Violation]
    cycles: int
    seconds: float
    steps: tuple[Step, ...]
    fired: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    healed_after: float | None = None


def run(plan: Plan, log: Callable[[float, str, str], None] | None = None) -> Outcome:
    """Let the world of that plan live; `log(moment, who, what)` is told of every event."""
    world = World(plan.setup)
    if log is not None:
        told = log
        world.log = lambda name, text: told(world.clock.now, name, text)
    done: list[Step] = []
    _schedule(world, plan, done)
    for host in world.hosts.values():
        host.start_daemon()
    world.clock.run(plan.heal_at, world.violations)
    healed_after = None
    if not world.violations:
        world.told("STEP", "every fault ends")
        heal(world)
        healed_after = _come_back(world, plan)
    world.clock.end()
    return Outcome(
        world.violations,
        world.cycles,
        world.clock.now,
        tuple(done),
        world.fired,
        world.counts,
        healed_after,
    )


def _schedule(world: World, plan: Plan, done: list[Step]) -> None:
    waiting = [step for step in plan.steps if step.after]

    def act(step: Step, subject: str) -> None:
        if world.clock.now < plan.heal_at:
            performed = perform(world, step, subject)
            if performed is not None:
                done.append(performed)

    def occurred(what: str, subject: str) -> None:
        step = next((step for step in waiting if step.after == what), None)
        if step is not None:
            waiting.remove(step)
            world.clock.after(step.at, None, act, step, subject)

    for step in plan.steps:
        if not step.after:
            world.clock.at(step.at, None, act, step, "")
    world.on_note.append(occurred)


def _come_back(world: World, plan: Plan) -> float | None:
    """Seconds until everything is well; violations are added where it does not become so."""
    config = {**plan.setup.config, **(world.store.config or {})}
    loop = float(config.get("loop_wait_seconds", 10.0))
    ttl = float(config.get("ttl_seconds", 30.0))
    # A start that is under way goes by the timeout of when it began; without one it has the usual.
    starts = [c.get("primary_start_timeout_seconds") for c in (plan.setup.config, config)]
    patience = max(SLOWEST_SECONDS, *(float(x or FALLBACK_START_SECONDS) for x in starts))
    began = world.clock.now
    until = began + HEALING_LOOPS * loop + 2 * ttl + patience
    while world.clock.now < until and not world.violations:
        world.clock.run(world.clock.now + loop / 2, world.violations)
        if not asked_for(world) and not unfinished(world.ending()):
            took = world.clock.now - began
            _rest(world, loop, ttl)
            return took
    if not world.violations:
        world._violated(unfinished(world.ending()))
    return None


def asked_for(world: World) -> bool:
    """Whether something is still to come: a daemon's end or start, a hand-over, a reset."""
    daemons = [host.daemon for host in world.hosts.values() if not host.failed]
    ending = any(daemon is None or daemon.stopping for daemon in daemons)
    reset = any(host.is_to_be_reset for host in world.hosts.values())
    return ending or reset or world.store.cluster.failover is not None


def _rest(world: World, loop: float, ttl: float) -> None:
    """Nothing happens any more: decisions must come to rest.

    A watchdog that was refused is tried again in the first loop after ttl, and that decision is the
    last one for a loop more.
    """
    world.writes = False
    settled = max(6 * loop, ttl + 2 * loop, SETTLING_SECONDS)
    world.clock.run(world.clock.now + settled, world.violations)
    stirring: set[str] = set()
    until = world.clock.now + REST_LOOPS * loop
    while world.clock.now < until and not world.violations:
        world.clock.run(world.clock.now + loop / 7, world.violations)
        for name, host in world.hosts.items():
            decision = host.daemon.decision if host.daemon is not None else None
            for action in decision.actions if decision is not None else ():
                keeps_time = isinstance(action, Remember) and set(action.changes) <= TIMES
                if not isinstance(action, ROUTINE) and not keeps_time:
                    stirring.add(f"{name}: {type(action).__name__}")
    if not world.violations:
        world._violated(unfinished(world.ending(tuple(sorted(stirring)))))
