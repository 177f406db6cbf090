"""One life of the cluster after the fault, and what it came to.

Belongs here: when the fault comes, how long is looked on, and reading off one run.  Does not belong
here: what many runs say together (`answer.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from engine.decide import explain
from engine.state import Cluster, Snapshot
from proof.whatif.build import build
from proof.whatif.picture import Picture
from proof.whatif.questions import Question
from proof.whatif.watched import Event, Watched
from proof.world.wal import Branch, common_end

QUIET_SECONDS = 0.5  # between two acknowledged writes no outage is seen below this
STEP_SECONDS = 1.0
NOTHING = ()  # that time should stop for


@dataclass(frozen=True, slots=True)
class Held:
    """What kept a member from leading: the rule, and what its first fact saw."""

    rule: str
    title: str
    saw: str


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to.  Seconds count from the fault.

    `leader` acknowledges writes at the end (None: nobody); `out_seconds` is the longest time
    without an acknowledged write (None: for good).  `lost_bytes` is how far the new primary was
    behind, `lost_seconds` how long the old one went on acknowledging what it never got.
    `steady` says whether the model kept the cluster as it was until the fault.
    """

    leader: str | None
    out_seconds: float | None
    lost_bytes: int = 0
    lost_seconds: float = 0.0
    old_stopped_seconds: float | None = None
    events: tuple[Event, ...] = ()
    held: dict[str, Held] = field(default_factory=dict)
    ended_on: dict[str, str] = field(default_factory=dict)  # member: the rule it came to rest on
    steady: bool = True
    violations: tuple[str, ...] = ()


def live(picture: Picture, question: Question, seed: int) -> Run:
    """Let the cluster live until the fault, and on until it is clear what comes of it."""
    world = build(picture, seed)
    random = Random(f"what if {seed}/fault")
    loop, ttl = picture.policy.loop_wait_seconds, picture.policy.ttl_seconds
    world.clock.run(loop * (1.0 + random.random()) + 1.0, NOTHING)
    steady = _is_steady(world, picture)
    branch = world.hosts[picture.leader].disk.branch
    world.begin_fault(question.happens, frozenset(question.cut_off))
    soon, latest = ttl + 2 * loop, 3 * ttl + 3 * loop
    while not _is_over(world, picture):
        back = _writes_are_back(world)
        if world.seconds >= (soon if back else latest):
            break
        world.clock.run(world.clock.now + STEP_SECONDS, NOTHING)
    found = _read_off(world, picture, branch, steady)
    world.clock.end()
    return found


def _is_steady(world: Watched, picture: Picture) -> bool:
    server = world.hosts[picture.leader].server
    leads = server is not None and server.acknowledges
    keys = world.store.cluster
    return leads and keys.leader == picture.leader and _promise(keys) == _promise(picture.cluster)


def _promise(cluster: Cluster) -> tuple[str, tuple[str, ...], int] | None:
    key = cluster.sync
    return None if key is None else (key.leader, key.standbys, key.quorum)


def _is_over(world: Watched, picture: Picture) -> bool:
    """Writes were out and are taken again, by one server alone: nothing more will come of it."""
    old = world.hosts[picture.leader]
    newest = world.newest_write()
    if newest is None or not _writes_are_back(world) or not _out_seconds(world):
        return False
    return newest.name == old.name or old.server is None or not old.server.acknowledges


def _writes_are_back(world: Watched) -> bool:
    newest = world.newest_write()
    return newest is not None and world.seconds - newest.seconds < QUIET_SECONDS


def _read_off(world: Watched, picture: Picture, old: Branch, steady: bool) -> Run:
    newest = world.newest_write()
    leader = newest.name if newest is not None and _writes_are_back(world) else None
    lost_bytes, lost_seconds = _lost(world, picture, leader, old)
    return Run(
        leader=leader,
        out_seconds=_out_seconds(world) if leader is not None else None,
        lost_bytes=lost_bytes,
        lost_seconds=lost_seconds,
        old_stopped_seconds=_old_stopped(world, picture),
        events=tuple(world.events),
        held={name: _held(*found) for name, found in world.considered.items()},
        ended_on=_at_rest(world),
        steady=steady,
        violations=tuple(dict.fromkeys(v.invariant for v in world.violations)),
    )


def _out_seconds(world: Watched) -> float:
    """The longest gap between acknowledged writes, of those that clients can still make."""
    moments = [0.0, *(w.seconds for w in world.writes_told if w.name not in world.unreachable)]
    gap = max(b - a for a, b in pairwise(moments))
    return gap if gap >= QUIET_SECONDS else 0.0


def _lost(world: Watched, picture: Picture, leader: str | None, old: Branch) -> tuple[int, float]:
    """Bytes that the new primary was behind, and seconds of writes that it never was to get.

    A lag is the same at every moment until the primary stops, and sends the rest if it can.
    """
    if leader is None or leader == picture.leader:
        return 0, 0.0
    disk, lag = world.hosts[leader].disk, world.lags[leader]
    _, common = common_end(old, old.end, disk.branch, disk.end)
    cut_off = [w.seconds for w in world.writes_told if w.branch is old and w.lsn - lag > common]
    return min(lag, max(0, old.end - common)), max(cut_off, default=0.0)


def _old_stopped(world: Watched, picture: Picture) -> float | None:
    """When the old primary acknowledged its last write, if it does no more."""
    server = world.hosts[picture.leader].server
    if server is not None and server.acknowledges:
        return None
    own = [w.seconds for w in world.writes_told if w.name == picture.leader]
    return max(own, default=0.0)


def _held(rule: str, s: Snapshot) -> Held:
    """The rule that fired, with what its first fact saw."""
    step = next((x for x in explain(s).trace if x.rule == rule and x.fired), None)
    if step is None:
        return Held(rule, rule, "")
    return Held(rule, step.title, step.seen[0][2] if step.seen else "")


def _at_rest(world: Watched) -> dict[str, str]:
    """The rule that tells best what each living daemon does in the end."""
    found = {}
    for name, host in world.hosts.items():
        if host.daemon is None or name not in world.last:
            continue
        fired = world.last[name][0].fired
        roles = ("down.", "primary.", "standby.", "race.", "directory.", "silent.", "write.")
        told = [rule for rule in fired if rule.startswith(roles) and rule != "write.allowed"]
        found[name] = told[-1] if told else fired[-1]
    return found
