"""The steps of a plan: faults and operators, as text and as what they do to a world.

A step is a moment, a name and words; what undoes it is a moment of its own, so that a plan can be
cut anywhere.  Words name members, or `leader`, `replica`, `subject` (whom the occurrence that it
waits for is about); when a step is carried out it is written down with the names that were meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.state import Request, RequestKind, RestartCondition
from proof.invariants import Toleration
from proof.world.host import Host
from proof.world.network import STORE
from proof.world.world import World

ROLES = ("leader", "replica", "subject", "other")


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at `at` (true seconds), or `at` seconds after that occurrence."""

    at: float
    name: str
    words: tuple[str, ...] = ()
    after: str = ""

    def __str__(self) -> str:
        when = f"{self.at:.3f}" if not self.after else f"{self.after} + {self.at:.3f}"
        return f"{when}: {' '.join((self.name, *self.words))}"


def parse_step(line: str) -> Step:
    """The step of such a line; raises ValueError for anything else."""
    when, colon, what = line.partition(": ")
    name, *words = what.split()
    if not colon or name not in STEPS:
        raise ValueError(f"no step: {line!r}")
    after, plus, seconds = when.rpartition(" + ")
    return Step(float(seconds), name, tuple(words), after if plus else "")


def perform(world: World, step: Step, subject: str = "") -> Step | None:
    """Carry a step out now; the step as it was, with names, or None if it meant nobody."""
    words = []
    for word in step.words:
        meant = _named(world, word, subject) if word in ROLES else word
        if meant is None:
            return None
        words.append(meant)
    done = replace(step, at=world.clock.now, words=tuple(words), after="")
    world.told("STEP", " ".join((done.name, *done.words)))
    world.counts[f"step {step.name}"] += 1
    STEPS[step.name](world, *words)
    return done


def _named(world: World, word: str, subject: str) -> str | None:
    leader = world.store.cluster.leader
    if word == "subject":
        return subject if subject in world.hosts else None
    if word == "leader":
        return leader if leader in world.hosts else world.random.choice(sorted(world.hosts))
    apart = {leader} if word == "replica" else {subject}
    others = sorted(set(world.hosts) - apart)
    return world.random.choice(others) if others else None


def _later(world: World, seconds: str, undo: Callable[[], None]) -> None:
    world.clock.after(float(seconds), None, undo)


def _tolerate_unfenced(world: World, host: Host) -> None:
    """What may go on without its daemon, because no deadline stands behind it."""
    if host.deadline_lost:  # another guard may run by now, which its daemon has not armed yet
        world.unguarded.left(host, Toleration.GUARDS_KILLED)
    elif host.guard is None:
        world.unguarded.left(host, Toleration.NO_FENCE)


# --- processes and machines -----------------------------------------------------------------------


def _kill_daemon(world: World, name: str) -> None:
    _tolerate_unfenced(world, world.hosts[name])
    world.hosts[name].kill_daemon()


def _freeze_daemon(world: World, name: str, seconds: str) -> None:
    host = world.hosts[name]
    daemon = host.daemon
    if daemon is not None:
        _tolerate_unfenced(world, host)
        daemon.freeze()
        _later(world, seconds, daemon.thaw)


def _hang_loop(world: World, name: str, seconds: str) -> None:
    host = world.hosts[name]
    daemon = host.daemon
    if daemon is not None:
        _tolerate_unfenced(world, host)
        daemon.loop.freeze()
        _later(world, seconds, daemon.loop.thaw)


def _stop_daemon(world: World, name: str, seconds: str) -> None:
    host = world.hosts[name]
    if host.daemon is not None:
        host.start_again = False
        host.daemon.stopping = True
        host.daemon.wake()
    _later(world, seconds, lambda: _want(host))


def _want(host: Host) -> None:
    host.wanted_running = host.start_again = True
    host.start_daemon()


def _crash_host(world: World, name: str, seconds: str) -> None:
    host = world.hosts[name]
    host.crash()
    _later(world, seconds, host.boot)


def _lose_disk(world: World, name: str, seconds: str) -> None:
    """The machine is replaced by one with an empty disk, while the leader, another one, serves."""
    host, leader = world.hosts[name], world.hosts.get(world.store.cluster.leader or name)
    if leader is not None and leader is not host and leader.server and leader.server.acknowledges:
        host.crash()
        host.disk.replace()
        _later(world, seconds, host.boot)


def _freeze_host(world: World, name: str, seconds: str) -> None:
    host = world.hosts[name]
    if host.up:
        _tolerate_unfenced(world, host)
        host.freeze()
        _later(world, seconds, host.thaw)


def _kill_postgres(world: World, name: str) -> None:
    server = world.hosts[name].server
    if server is not None:
        server.end()


def _freeze_postgres(world: World, name: str, seconds: str) -> None:
    server = world.hosts[name].server
    if server is not None:
        server.frozen = True
        server.version += 1

        def thaw() -> None:
            server.frozen = False
            server.version += 1

        _later(world, seconds, thaw)


def _kill_fence(world: World, name: str) -> None:
    host = world.hosts[name]
    if host.guard is not None:
        host.deadline_lost = host.deadline_lost or host.guard.phase == "armed"
        host.guard.life.end()
        host.guard = None
        daemon = host.daemon
        acts = daemon is not None and not (daemon.life.frozen or daemon.loop.frozen)
        # One that was started anew counts on the fence until it has its lease back.
        if daemon is None or not acts or daemon.lease.sent_at is None:
            world.unguarded.left(host, Toleration.GUARDS_KILLED)


def _slow_look(world: World, name: str, look: str, seconds: str) -> None:
    host = world.hosts[name]
    host.slow_seconds = float(look)
    host.slow_until = world.clock.now + float(seconds)


def _stop_replay(world: World, name: str, seconds: str) -> None:
    host = world.hosts[name]
    host.stop_replay()
    _later(world, seconds, host.resume_replay)


def _watchdog_refuses(world: World, name: str, seconds: str) -> None:
    device = world.hosts[name].device
    if device is not None:
        device.broken_until = world.clock.now + float(seconds)


def _silent_postgres(world: World, name: str, seconds: str) -> None:
    world.hosts[name].silent_until = world.clock.now + float(seconds)


def _trouble(world: World, name: str, work: str, how: str) -> None:
    """The next such work takes that many seconds, or fails."""
    what: float | str = "failed" if how == "fail" else float(how)
    world.hosts[name].troubles.setdefault(work, []).append(what)


def _wall(world: World, name: str, seconds: str) -> None:
    world.hosts[name].wall_offset += float(seconds)
    daemon = world.hosts[name].daemon
    if daemon is not None:
        daemon.wake()


# --- network and store ----------------------------------------------------------------------------


def _cut(world: World, one: str, other: str, seconds: str) -> None:
    """Nothing gets through from one to the other; the way back stays open."""
    if one != other:
        world.network.close(one, other)
        _later(world, seconds, lambda: world.network.reopen(one, other))


def _split(world: World, one: str, other: str, seconds: str) -> None:
    _cut(world, one, other, seconds)
    _cut(world, other, one, seconds)


def _isolate(world: World, name: str, seconds: str) -> None:
    for other in (*sorted(world.hosts), STORE):
        _split(world, name, other, seconds)


def _swizzle(world: World, name: str, seconds: str) -> None:
    """Close a member's links one after the other, and open them in another order."""
    others = [x for x in (*sorted(world.hosts), STORE) if x != name]
    world.random.shuffle(others)
    step = float(seconds) / (2 * len(others))

    def close(other: str, keep: float) -> None:
        if not world.healed:
            _split(world, name, other, str(keep))

    for place, other in enumerate(others):
        keep = step * (1 + world.random.randrange(2 * len(others)))
        world.clock.after(place * step, None, close, other, keep)


def _slow_link(world: World, one: str, other: str, delay: str, seconds: str) -> None:
    world.network.slow_down(one, other, float(delay))
    _later(world, seconds, lambda: world.network.slow_down(one, other, 0.0))


def _lossy(world: World, share: str, seconds: str) -> None:
    world.network.loss = float(share)
    _later(world, seconds, lambda: setattr(world.network, "loss", 0.0))


def _late(world: World, share: str, seconds: str) -> None:
    """Some requests arrive at the store long after their sender gave up."""
    world.network.late = float(share)
    _later(world, seconds, lambda: setattr(world.network, "late", 0.0))


def _store_down(world: World, how: str, seconds: str, back: str) -> None:
    world.store.go_down(refuses=how == "refusing")
    _later(world, seconds, lambda: world.store.come_back(grants_anew=back == "anew"))


def _store_lost(world: World) -> None:
    world.lose_keys()


# --- operators ------------------------------------------------------------------------------------


def _switchover(world: World, candidate: str) -> None:
    leader = world.store.cluster.leader
    if leader is not None:
        world.store.ask_failover(leader, None if candidate == "anybody" else candidate, None)


def _failover(world: World, candidate: str) -> None:
    world.owed.failed_over_to(candidate)
    world.store.ask_failover(None, candidate, None)


def _switchover_later(world: World, candidate: str, seconds: str) -> None:
    leader = world.store.cluster.leader
    if leader is not None:
        at = world.hosts[leader].wall() + float(seconds)
        world.store.ask_failover(leader, None if candidate == "anybody" else candidate, at)


def _edit(world: World, key: str, value: str) -> None:
    """Change the dynamic configuration, if there is one."""
    if world.store.config is not None:
        world.store.configure({**world.store.config, key: _value(value)})


def _retime(world: World, ttl: str, loop_wait: str, retry_timeout: str) -> None:
    """Change the three timings at once, as they must fit together."""
    if world.store.config is not None:
        timings = {
            "ttl_seconds": float(ttl),
            "loop_wait_seconds": float(loop_wait),
            "retry_timeout_seconds": float(retry_timeout),
        }
        world.store.configure({**world.store.config, **timings})


def _value(text: str) -> object:
    if text in {"true", "false"}:
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _pause(world: World, seconds: str) -> None:
    _edit(world, "pause", "true")
    _later(world, seconds, lambda: _edit(world, "pause", "false"))


def _ask(world: World, name: str, kind: RequestKind, *, force: bool = False) -> None:
    daemon = world.hosts[name].daemon
    if daemon is not None and daemon.replies:
        request = Request(
            world.new_pid(), kind, daemon.now(), RestartCondition(), force, from_leader=False
        )
        daemon.requests.append(request)
        daemon.wake()


def _restart(world: World, name: str) -> None:
    _ask(world, name, RequestKind.RESTART)


def _reinitialize(world: World, name: str) -> None:
    _ask(world, name, RequestKind.REINITIALIZE, force=True)


STEPS: dict[str, Callable[..., None]] = {
    "kill-daemon": _kill_daemon,
    "freeze-daemon": _freeze_daemon,
    "hang-loop": _hang_loop,
    "stop-daemon": _stop_daemon,
    "crash-host": _crash_host,
    "lose-disk": _lose_disk,
    "freeze-host": _freeze_host,
    "kill-postgres": _kill_postgres,
    "freeze-postgres": _freeze_postgres,
    "kill-fence": _kill_fence,
    "slow-look": _slow_look,
    "silent-postgres": _silent_postgres,
    "watchdog-refuses": _watchdog_refuses,
    "stop-replay": _stop_replay,
    "trouble": _trouble,
    "wall-jump": _wall,
    "cut": _cut,
    "split": _split,
    "isolate": _isolate,
    "swizzle": _swizzle,
    "slow-link": _slow_link,
    "lossy": _lossy,
    "late-requests": _late,
    "store-down": _store_down,
    "store-loses-all": _store_lost,
    "switchover": _switchover,
    "switchover-later": _switchover_later,
    "failover": _failover,
    "edit": _edit,
    "retime": _retime,
    "pause": _pause,
    "restart": _restart,
    "reinitialize": _reinitialize,
}


def heal(world: World) -> None:
    """End every fault, and let operators want a running cluster and nothing later."""
    world.healed = True
    world.network.mend()
    world.store.come_back(grants_anew=True)
    for host in world.hosts.values():
        host.troubles.clear()
        host.slow_until = host.silent_until = 0.0
        if host.device is not None:
            host.device.broken_until = 0.0
        while host.replay_stands:
            host.resume_replay()
        while host.name in world.frozen_hosts:
            host.thaw()
        daemon = host.daemon
        if daemon is not None:  # it may have been told to end, and does so as soon as it thaws
            while daemon.life.frozen:
                daemon.life.thaw()
            while daemon.loop.frozen:
                daemon.loop.thaw()
        if host.server is not None:
            host.server.frozen = False
            host.server.version += 1
        host.wanted_running = host.start_again = True
        host.boot()
        host.start_daemon()
    for host in world.hosts.values():  # after a loss of all keys a copy may say more than the store
        known = world.store.config or host.known_config() or {}
        if known.get("pause"):
            world.store.configure({**known, "pause": False})
    request = world.store.cluster.failover
    if request is not None and request.scheduled_epoch is not None:
        world.store.clear_failover(request.revision)
