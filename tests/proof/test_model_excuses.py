"""What the model excuses: each excuse ends where a mistake of the engine begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.state import DirectoryKind, Lease, Member, SyncState, Tags
from proof.invariants import Node, Toleration
from proof.simulator.draw import Plan
from proof.simulator.run import run
from proof.simulator.steps import STEPS, Step, heal
from proof.world.setup import Setup
from proof.world.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """Two members of a cluster in quorum mode whose daemons run, and nothing has happened yet."""
    tags = (Tags(failover_priority=0), Tags())
    model = World(Setup(nodes=2, tags=tags, config={"synchronous_mode": "quorum"}))
    for host in model.hosts.values():
        host.start_daemon()
    yield model
    model.clock.end()


def test_another_ttl_is_another_lease() -> None:
    """A member key that is published with a shorter ttl leaves the lock's lease as it is."""
    world = World(Setup(nodes=1))
    store, session = world.store, object()
    assert store.acquire("n1", 40.0, session, None)
    store.publish(Member("n1"), {"state": "running"}, 20.0, session)
    world.clock.run(30.0, ())
    assert store.cluster.leader == "n1"
    assert store.cluster.member("n1") is None
    assert store.renew("n1", 20.0, session, create=False)
    world.clock.run(55.0, ())
    assert store.cluster.leader is None
    world.clock.end()


@pytest.mark.parametrize(
    ("standbys", "ends", "excused"),
    [
        ((), (200, 100), True),  # whoever may lead lacks commits of the one that may not
        ((), (200, 200), False),  # n2 has everything, and n1 can say so
        (("n2",), (200, 100), True),
        (("n2",), (100, 200), False),
    ],
)
def test_a_cluster_without_a_leader_is_excused_where_no_race_can_be_won(
    world: World, standbys: tuple[str, ...], ends: tuple[int, int], excused: bool
) -> None:
    """In quorum mode a member without enough votes leads only when an operator says so."""
    for host, end in zip(world.hosts.values(), ends, strict=True):
        host.disk.kind, host.disk.system_identifier = DirectoryKind.VALID, "74"
        host.disk.branch, host.disk.end = world.root("74"), end
    quorum = 1 if standbys else 0
    world.store.configure({"synchronous_mode": "quorum"})
    world.store.write(initialize="74", sync=SyncState("n1", standbys, quorum, 7))
    assert (Toleration.NOBODY_MAY_LEAD in world.ending().tolerated) is excused


@pytest.mark.parametrize(("lag", "listed", "excused"), [(9, 1, True), (0, 2, False), (0, 1, True)])
def test_limits_that_leave_only_a_member_that_may_not_lead_excuse(
    world: World, lag: int, listed: int, excused: bool
) -> None:
    """n2 is beyond maximum_lag_on_failover, or `failsafe` does not name it."""
    for host in world.hosts.values():
        host.disk.kind, host.disk.system_identifier = DirectoryKind.VALID, "74"
        host.disk.branch, host.disk.end = world.root("74"), 100
    world.hosts["n2"].disk.end -= lag
    limits = {"maximum_lag_on_failover_bytes": 8, "failsafe_mode": True}
    world.store.configure(limits)
    names = dict.fromkeys(list(world.hosts)[:listed], "")
    world.store.write(initialize="74", optime=100, failsafe=names)
    assert (Toleration.NOBODY_MAY_LEAD in world.ending().tolerated) is excused


@pytest.mark.parametrize(("leader", "excused"), [("n2", False), ("n1", True)])
def test_no_limit_keeps_the_leader_that_sync_names_from_leading(
    world: World, leader: str, *, excused: bool
) -> None:
    """n2 is beyond maximum_lag_on_failover, and n1 is tagged not to lead."""
    for host in world.hosts.values():
        host.disk.kind, host.disk.system_identifier = DirectoryKind.VALID, "74"
        host.disk.branch, host.disk.end = world.root("74"), 100
    world.hosts["n2"].disk.end -= 9
    world.store.configure({"maximum_lag_on_failover_bytes": 8, "synchronous_mode": "on"})
    others = tuple({"n1", "n2"} - {leader})
    world.store.write(initialize="74", optime=100, sync=SyncState(leader, others, 0, 7))
    assert (Toleration.NOBODY_MAY_LEAD in world.ending().tolerated) is excused


def test_a_sync_key_that_names_nobody_with_data_excuses_nothing(world: World) -> None:
    """Whoever emptied the last directory with everything is to be found."""
    disk = world.hosts["n2"].disk
    disk.kind, disk.system_identifier, disk.branch = DirectoryKind.VALID, "74", world.root("74")
    world.store.configure({"synchronous_mode": "on"})
    world.store.write(initialize="74", sync=SyncState("n1", (), 0, 7))
    assert Toleration.NOBODY_MAY_LEAD not in world.ending().tolerated


def test_synchronous_commits_are_owed_until_somebody_leads_without_the_mode(world: World) -> None:
    """An operator who turns the mode off lets members lead that lack commits from before."""
    host, branch = world.hosts["n1"], world.root("74")
    host.disk.branch = branch
    for mode, missing in (("on", (1,)), ("off", ())):
        branch.told.append((50, 1, True))
        world.owed.promise(branch, 50)
        world.store.configure({"synchronous_mode": mode})
        assert world.owed.missing(host)
        assert world.store.acquire("n1", 30.0, host, None)
        assert world.owed.missing(host) == missing
        assert world.store.release("n1", host)


def test_a_failover_excuses_what_its_candidate_lacks_and_nothing_later(world: World) -> None:
    """Neither another one that leads in its place, nor its own next time."""
    host, other, branch = world.hosts["n1"], world.hosts["n2"], world.root("74")
    host.disk.branch = other.disk.branch = branch
    STEPS["failover"](world, "n1")
    branch.told.append((50, 1, True))
    world.owed.promise(branch, 50)
    assert world.store.acquire("n2", 30.0, other, None)
    assert world.owed.missing(other)
    assert world.store.release("n2", other)
    world.store.write(failover=None)  # who is named may take the lock a moment later
    for number, missing in ((1, ()), (2, (2,))):
        assert world.store.acquire("n1", 30.0, host, None)
        assert world.owed.missing(host) == missing
        assert world.store.release("n1", host)
        branch.told.append((50, number + 1, True))
        world.owed.promise(branch, 50)


def test_a_store_that_lost_its_keys_excuses_until_its_leader_has_written_them_again() -> None:
    """Commits from before are owed no more then; those from after are."""
    world = World(Setup(nodes=2, config={"synchronous_mode": "on"}))
    for host in world.hosts.values():
        host.start_daemon()
    world.clock.run(100.0, ())
    leader, empty = world.hosts[world.store.cluster.leader or ""], world.root("another")
    before = world.counts["commits"]
    assert world.counts["synchronous"]
    STEPS["store-loses-all"](world)
    assert Toleration.STORE_LOST_ITS_CONTENT in world.tolerated
    world.clock.run(300.0, ())
    assert Toleration.STORE_LOST_ITS_CONTENT not in world.tolerated
    assert world.store.cluster.leader == leader.name
    leader.disk.branch = empty
    assert min(world.owed.missing(leader)) > before
    world.clock.end()


def test_the_members_word_stands_for_the_lock_until_it_ends(world: World) -> None:
    """Only for the lease that it prolonged."""
    host = world.hosts["n1"]
    daemon = host.daemon
    assert daemon is not None
    daemon.lease = Lease(host.now() - 40.0, 30.0)
    assert not host.has_the_word
    sent, until = daemon.lease.sent_at, host.now() + 5.0
    daemon.memory = replace(daemon.memory, failsafe_lease=sent, failsafe_until=until)
    assert host.has_the_word
    daemon.lease = replace(daemon.lease, sent_at=host.now() - 39.0)
    assert not host.has_the_word
    daemon.memory = replace(daemon.memory, failsafe_lease=host.now() - 39.0)
    world.clock.run(6.0, ())
    assert not host.has_the_word


def test_a_fence_that_acts_in_maintenance_mode_is_noticed(world: World) -> None:
    """Unless that mode was only decided on: a frozen daemon may come a moment too late."""
    host = world.hosts["n1"]
    world.clock.run(1.0, ())
    daemon = host.daemon
    assert daemon is not None
    assert daemon.publication is not None
    seen = daemon.publication[0]
    paused = replace(seen, policy=replace(seen.policy, pause=True))
    daemon.publication = (paused, seen.now)
    world.fence_fires(host)
    assert not world.violations
    daemon.carried_out = paused
    world.fence_fires(host)
    assert [violation.invariant for violation in world.violations] == ["pause_is_quiet"]


def test_a_watchdog_that_was_refused_is_tried_again_before_rest_is_asked_for() -> None:
    """After ttl, which may be longer than six loops."""
    config = {"ttl_seconds": 90.0, "loop_wait_seconds": 10.0, "retry_timeout_seconds": 30.0}
    local = {"watchdog_mode": "automatic"}
    setup = Setup(nodes=1, config=config, local=local, watchdogs=("n1",))
    steps = (Step(5.0, "watchdog-refuses", ("n1", "200.0")), Step(6.0, "kill-daemon", ("n1",)))
    assert not run(Plan(setup, steps, 40.0)).violations


def test_no_daemon_runs_on_a_machine_that_is_frozen(world: World) -> None:
    """One that is started there does its first step when the machine thaws."""
    host = world.hosts["n1"]
    for _ in range(2):
        host.freeze()
    host.kill_daemon()
    world.clock.run(20.0, ())
    daemon = host.daemon
    assert daemon is not None
    host.thaw()
    world.clock.run(30.0, ())
    assert daemon.publication is None
    host.thaw()
    world.clock.run(40.0, ())
    assert daemon.publication is not None


def test_a_frozen_daemon_that_is_to_end_ends_when_faults_do(world: World) -> None:
    """It is started again, as every daemon is."""
    host = world.hosts["n1"]
    daemon = host.daemon
    assert daemon is not None
    daemon.freeze()
    daemon.stopping = True
    daemon.wake()
    world.clock.run(1.0, ())
    heal(world)
    world.clock.run(20.0, ())
    assert host.daemon not in {None, daemon}


def test_a_diverged_standby_is_excused_until_its_daemon_could_find_out() -> None:
    """From when it is frozen, or gone, until it has acted for three loops and five seconds."""
    world = World(Setup(nodes=2, config={"loop_wait_seconds": 2.0}))
    for host in world.hosts.values():
        host.start_daemon()
    world.clock.run(60.0, ())
    standby = next(host for name, host in world.hosts.items() if name != world.store.cluster.leader)
    daemon, stray = standby.daemon, Node(standby.name, streams=True, diverged=True)
    assert daemon is not None
    assert not standby.attendance.is_wanting
    daemon.freeze()
    world.clock.run(70.0, ())
    world._check((stray,))
    daemon.thaw()
    world.clock.run(80.0, ())
    world._check((stray,))
    assert not world.violations
    world.clock.run(82.0, ())
    world._check((stray,))
    assert [violation.invariant for violation in world.violations] == ["diverged_never_streams"]
    standby.kill_daemon()
    assert standby.attendance.is_wanting
    world.clock.run(95.0, ())
    assert standby.daemon is not None
    assert standby.attendance.is_wanting
    world.clock.run(110.0, ())
    assert not standby.attendance.is_wanting
    world.clock.end()


def test_nobody_is_excused_for_a_server_that_its_daemon_starts() -> None:
    """Nothing ran unwatched before."""
    world = World(Setup(nodes=1))
    host = world.hosts["n1"]
    host.start_daemon()
    world.clock.run(0.1, ())
    assert not host.attendance.is_wanting
    world.clock.end()


def test_a_server_left_in_maintenance_mode_is_excused_until_it_was_looked_at(world: World) -> None:
    """Seed 340082677: the daemon decides a few times before its first look has ended."""
    host = world.hosts["n1"]
    world.clock.run(30.0, ())
    daemon, server = host.daemon, host.server
    assert daemon is not None
    assert daemon.publication is not None
    assert server is not None
    seen = daemon.publication[0]
    daemon.note_pause(replace(seen, policy=replace(seen.policy, pause=True)), carried_out=True)
    assert host.is_paused
    unseen = replace(seen, postgres=replace(seen.postgres, outdated=True))
    daemon.note_pause(unseen, carried_out=True)
    assert host.is_paused
    daemon.note_pause(seen, carried_out=False)
    assert host.is_paused
    daemon.note_pause(seen, carried_out=True)
    assert not host.is_paused
    daemon.note_pause(unseen, carried_out=True)  # after some job
    assert not host.is_paused
