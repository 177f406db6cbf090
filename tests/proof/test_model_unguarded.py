"""Servers that nothing would end in time excuse the world until their daemons have them in hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proof.invariants import Toleration
from proof.simulator.steps import STEPS
from proof.world.fence import Guard
from proof.world.host import Host
from proof.world.setup import Setup
from proof.world.unguarded import Unguarded
from proof.world.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A leader and a synchronous standby without a fence."""
    config, local = {"synchronous_mode": "on"}, {"remove_on_diverged": True}
    model = World(Setup(nodes=2, fence=False, config=config, local=local))
    for host in model.hosts.values():
        host.start_daemon()
    model.clock.run(100.0, ())
    yield model
    model.clock.end()


@pytest.fixture
def guarded() -> Iterator[Host]:
    """A leader with a fence, and nobody beside it."""
    model = World(Setup(nodes=1))
    (host,) = model.hosts.values()
    host.start_daemon()
    model.clock.run(100.0, ())
    yield host
    model.clock.end()


def leader_of(world: World) -> Host:
    """The host that has the leader key."""
    return world.hosts[world.store.cluster.leader or ""]


def test_a_leader_that_thaws_within_its_lease_is_excused_for_a_moment(world: World) -> None:
    """Its first decision may rest on what it saw before; with the second it leads as before."""
    leader = leader_of(world)
    STEPS["freeze-daemon"](world, leader.name, "5.0")
    assert world.unguarded.tolerated == {Toleration.NO_FENCE}
    world.clock.run(104.0, ())
    assert world.unguarded.tolerated
    world.clock.run(130.0, ())
    assert not world.unguarded.tolerated
    assert leader_of(world) is leader
    assert not world.violations


def test_two_writers_are_excused_until_the_frozen_one_has_ended(world: World) -> None:
    """What either of them acknowledged by then is owed no more; what follows is."""
    old = leader_of(world)
    (other,) = set(world.hosts.values()) - {old}
    STEPS["freeze-daemon"](world, old.name, "150.0")
    world.clock.run(240.0, ())
    assert leader_of(world) is other
    assert [h.server is not None and h.server.acknowledges for h in (old, other)] == [True, True]
    assert world.unguarded.tolerated == {Toleration.NO_FENCE}
    world.clock.run(400.0, ())
    assert not world.unguarded.tolerated
    assert not world.violations
    assert leader_of(world) is other
    assert not world.owed.missing(other)
    other.disk.branch = world.root("another")
    assert world.owed.missing(other)


def test_a_killed_fence_excuses_where_no_daemon_acts(guarded: Host) -> None:
    """A daemon that has its lease ends its server by itself, and needs no excuse."""
    world = guarded.world
    STEPS["kill-fence"](world, guarded.name)
    assert not world.unguarded.tolerated
    world.clock.run(130.0, ())
    guarded.kill_daemon()
    STEPS["kill-fence"](world, guarded.name)
    assert world.unguarded.tolerated == {Toleration.GUARDS_KILLED}
    world.clock.run(200.0, ())
    assert not world.unguarded.tolerated


def test_a_guard_without_a_deadline_in_place_of_a_killed_one_excuses_a_freeze(
    guarded: Host,
) -> None:
    """As soon as its daemon has armed it, as it does in its next cycles, nothing is excused."""
    world = guarded.world
    STEPS["kill-fence"](world, guarded.name)
    guarded.guard = Guard(guarded)
    STEPS["freeze-host"](world, guarded.name, "0.5")
    assert world.unguarded.tolerated == {Toleration.GUARDS_KILLED}
    world.clock.run(130.0, ())
    assert guarded.guard.phase == "armed"
    assert not world.unguarded.tolerated
    STEPS["freeze-host"](world, guarded.name, "0.5")
    assert not world.unguarded.tolerated


def test_a_killed_guard_that_had_no_deadline_excuses_no_freeze_after_it() -> None:
    """That its successor has none either is nothing that the fault did."""
    world = World(Setup(nodes=1))
    (host,) = world.hosts.values()
    host.guard = Guard(host)
    STEPS["kill-fence"](world, host.name)
    host.start_daemon()
    host.guard = Guard(host)
    world.unguarded = Unguarded()  # the fault itself is excused, beside no daemon
    STEPS["freeze-daemon"](world, host.name, "0.5")
    assert not world.unguarded.tolerated
    world.clock.end()


def test_two_hosts_are_each_excused_on_their_own(world: World) -> None:
    """The world is checked again once both have their servers in hand."""
    for number, name in enumerate(sorted(world.hosts)):
        STEPS["freeze-daemon"](world, name, f"{5.0 + 40.0 * number}")
    world.clock.run(130.0, ())
    assert world.unguarded.tolerated
    world.clock.run(250.0, ())
    assert not world.unguarded.tolerated
