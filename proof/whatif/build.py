"""From the picture of a real cluster to a model world in the same state.

Belongs here: what the members, the store and the disks hold at the first moment.  Every host's
clocks go on from its own snapshot, so that whatever is remembered by them keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from engine import quorum
from engine.policy import Policy
from engine.state import Cluster, DirectoryKind, Lease, Memory, Tags
from proof.whatif.picture import Part, Picture
from proof.whatif.watched import Watched
from proof.world.daemon import Daemon
from proof.world.setup import Setup
from proof.world.wal import Branch

IN_FLIGHT_BYTES = 64 * 1024  # a standby that is no further behind is as quick as the others
CONNECT_SECONDS = 0.5  # until every standby streams as it did
NEVER = ["it does not come back by itself"] * 100_000  # how often work may be tried in vain


def build(picture: Picture, seed: int) -> Watched:
    """A world that goes on from the picture; equal seeds give equal worlds."""
    world = Watched(_setup(picture, seed))
    world.writes = False
    _fill_store(world, picture)
    trunk, world.lags = _trunk(picture), _lags(picture, seed)
    for part in picture.parts:
        _furnish(world, picture, part, trunk)
    for part in (
        picture.part(picture.leader),
        *picture.replicas,
    ):  # who is to be connected to first
        _begin(world, picture, part)
    return world


def _setup(picture: Picture, seed: int) -> Setup:
    return Setup(
        nodes=len(picture.parts),
        names=tuple(part.name for part in picture.parts),
        policies=tuple(_policy(part.policy) for part in picture.parts),
        tags=tuple(_tags(part, picture) for part in picture.parts),
        background=f"what if {seed}",
    )


def _policy(policy: Policy) -> Policy:
    """The policy without what the model does not know."""
    physical = tuple(slot for slot in policy.permanent_slots if slot.kind == "physical")
    return replace(policy, watchdog_mode="off", permanent_slots=physical, callbacks=())


def _tags(part: Part, picture: Picture) -> Tags:
    names = {other.name for other in picture.parts}
    source = part.member.tags.replicatefrom
    return replace(part.member.tags, replicatefrom=source if source in names else None)


# --- the store ------------------------------------------------------------------------------------


def _fill_store(world: Watched, picture: Picture) -> None:
    """The keys without those on a lease, which their owners bring."""
    real, store = picture.cluster, world.store
    store.config = {}
    store.cluster = replace(
        real,
        initialize=real.initialize or picture.system_identifier,
        leader=None,
        leader_revision=0,
        members=(),
        config_present=True,
        slots={},
        retain_slots=(),
    )
    store.version = max(_revisions(real)) + 1


def _revisions(cluster: Cluster) -> list[int]:
    return [
        cluster.leader_revision,
        cluster.failsafe_revision,
        cluster.founder_revision,
        cluster.initialize_revision,
        cluster.sync.revision if cluster.sync else 0,
        cluster.failover.revision if cluster.failover else 0,
    ]


# --- disks ----------------------------------------------------------------------------------------


def _trunk(picture: Picture) -> dict[int, Branch]:
    """The primary's timeline and those that it came from, by number."""
    first = picture.history[0].timeline if picture.history else picture.timeline
    branch = Branch(first, None, 0)
    trunk = {first: branch}
    for line in picture.history:
        branch.end = line.lsn
        branch = Branch(line.timeline + 1, branch, line.lsn)
        trunk[branch.timeline] = branch
    branch.end = picture.lsn
    return trunk


def _furnish(world: Watched, picture: Picture, part: Part, trunk: dict[int, Branch]) -> None:
    host = world.hosts[part.name]
    disk, leads = host.disk, part.name == picture.leader
    lag = world.lags.get(part.name, 0)
    disk.kind = DirectoryKind.VALID
    disk.system_identifier = picture.system_identifier
    disk.end = max(0, picture.lsn - lag)
    disk.branch = _branch(picture, part, trunk, disk.end)
    disk.newest_timeline = max(picture.timeline, disk.branch.timeline)
    disk.writer = disk if leads else None
    disk.state = "shut down" if leads else "shut down in recovery"
    disk.checkpoint_lsn, disk.checkpoint_timeline = disk.end, disk.branch.timeline
    disk.min_recovery_lsn, disk.min_recovery_timeline = disk.end, disk.branch.timeline
    disk.standby_signal = disk.recovery_written = not leads
    if not leads and not host.tags.nostream:
        disk.upstream = host.tags.replicatefrom or picture.leader
        disk.upstream_slot = host.slot if part.policy.use_slots else None
    disk.sync_names = _sync_names(picture, part)
    disk.slots = {h.slot: disk.end for h in world.hosts.values() if h is not host}
    disk.config = {}
    host.behind_bytes = lag


def _lags(picture: Picture, seed: int) -> dict[str, int]:
    """How far behind each standby stays.

    What is in flight differs from moment to moment, so who is ahead by it is drawn.  Whoever a
    commit waits for catches up before it is acknowledged.
    """
    random = Random(f"what if {seed}/lags")
    lags = {part.name: part.lag_bytes or 0 for part in picture.replicas}
    in_flight = [lag for lag in lags.values() if lag <= IN_FLIGHT_BYTES]
    for name, lag in sorted(lags.items()):
        if lag <= IN_FLIGHT_BYTES:
            lags[name] = random.randint(0, max(in_flight))
    return lags | dict.fromkeys(_waited_for(picture, lags), 0)


def _waited_for(picture: Picture, lags: Mapping[str, int]) -> list[str]:
    """The replicas without which no commit is acknowledged, the quickest of them in quorum mode."""
    key, mode = picture.cluster.sync, picture.policy.synchronous_mode
    if mode == "off" or key is None:
        return []
    voters = {name.lower() for name in key.standbys}
    ranked = sorted((x for x in lags if x.lower() in voters), key=lambda name: (lags[name], name))
    return ranked[: len(voters) - key.quorum] if mode == "quorum" else ranked


def _branch(picture: Picture, part: Part, trunk: dict[int, Branch], end: int) -> Branch:
    """The timeline that a member is on: one of the primary's, or one that has left them."""
    found = trunk.get(part.timeline)
    leaves = {line.timeline: line.lsn for line in picture.history}
    if found is not None and end <= leaves.get(part.timeline, end):
        return found
    below = max((t for t in trunk if t < part.timeline), default=min(trunk))
    fork = min(end, leaves.get(below, end))
    return Branch(part.timeline, trunk[below], fork)


def _sync_names(picture: Picture, part: Part) -> str | None:
    if part.snapshot is not None:
        return part.snapshot.postgres.written_sync_names
    key = picture.cluster.sync
    if picture.policy.synchronous_mode == "off" or key is None:
        return None
    voters = frozenset(name.lower() for name in key.standbys)
    if picture.policy.synchronous_mode == "quorum":
        return quorum.text_of(quorum.some_of(voters, len(voters) - key.quorum)[0])
    return quorum.text_of(quorum.all_of(voters)[0])


# --- processes ------------------------------------------------------------------------------------


def _begin(world: Watched, picture: Picture, part: Part) -> None:
    """Let the machine, its server and its daemon run as they did."""
    host, random = world.hosts[part.name], Random(f"{world.setup.background}/{part.name}/begin")
    leading = picture.part(picture.leader).snapshot
    clock = part.snapshot or leading
    if clock is not None:
        host.set_clocks(clock.now if part.snapshot else host.now(), clock.wall)
    host.disk.memory = _memory(part)
    daemon = Daemon(host)
    key = replace(
        part.member, host=host.me.host, port=host.me.port, api_url=host.me.api_url, tags=host.tags
    )
    world.store.publish(key, {}, part.policy.ttl_seconds, daemon.session.lease)
    if not part.is_up:
        host.crash()
        return
    host.daemon = daemon
    daemon.memory = host.disk.memory
    _give_fence(daemon, part)
    if part.snapshot is not None:
        daemon.started_at = part.snapshot.started_at
    else:
        daemon.started_at = host.now() - 10 * part.policy.ttl_seconds
    if part.name == picture.leader:
        ttl = part.policy.ttl_seconds
        daemon.lease = Lease(host.now(), ttl)
        world.store.acquire(part.name, ttl, daemon.session.lease, None)
    if part.runs:
        host.troubles["start"] = [0.0]
        host.start_server("primary" if part.name == picture.leader else "standby")
    else:
        host.troubles |= {work: list(NEVER) for work in ("start", "clone", "rewind")}
    first_cycle = CONNECT_SECONDS + random.uniform(0.0, part.policy.loop_wait_seconds)
    world.clock.after(first_cycle, daemon.life, daemon.start)


def _memory(part: Part) -> Memory:
    if part.snapshot is None:
        ttl = part.policy.ttl_seconds
        return Memory(ttl_seconds=ttl, longest_ttl_seconds=ttl)
    return replace(part.snapshot.memory, logical_slots=(), covered_by="", covered_from={})


def _give_fence(daemon: Daemon, part: Part) -> None:
    ready = part.snapshot is None or part.snapshot.fence.ready
    if not ready or daemon.fence_client is None:
        daemon.fence_client = None
    else:
        daemon.fence_client.start()
