"""What a daemon of the model learns by asking: peers, within its patience, and its own server."""

from __future__ import annotations

from engine.asking import has_not_looked
from engine.state import Known, Tags
from proof.world.setup import Setup
from proof.world.world import World

TIMEOUT_SECONDS = 2.0


def running(setup: Setup) -> World:
    """A world whose daemons have run for half a minute."""
    world = World(setup)
    for host in world.hosts.values():
        host.start_daemon()
    world.clock.run(30.0, ())
    return world


def test_a_machine_that_crashes_keeps_nobody_waiting() -> None:
    """The asked machine crashes while its daemon looks for its position, and boots again.

    Found by seed 132384942: its clock began anew, and who had asked waited for ever.
    """
    tags = (Tags(), Tags(nofailover=True))
    world = running(Setup(nodes=2, tags=tags))
    asker, asked = world.hosts["n1"].daemon, world.hosts["n2"]
    assert asker is not None
    assert asked.daemon is not None
    asked.daemon.loop.freeze()
    answer = asker.task(asker.questions._ask_peer("n2", TIMEOUT_SECONDS))
    world.clock.run(30.5, ())
    assert not answer.over
    asked.crash()
    asked.boot()
    world.clock.run(30.0 + TIMEOUT_SECONDS + 0.2, ())
    assert answer.over
    assert not answer.ended.value.reachable
    world.clock.end()


def test_a_look_shows_what_standbys_have_confirmed() -> None:
    """A position that a standby confirms is in the primary's next answer, if nothing else changes.

    Found by seed 180000813: the names stood, nobody wrote, and the leader waited for a minute.
    """
    world = running(Setup(nodes=2))
    primary = next(h for h in world.hosts.values() if h.server and not h.server.in_recovery)
    assert primary.server is not None
    assert primary.daemon is not None
    primary.daemon.instance.observe()
    (link,) = primary.server.links
    link._confirm(link.flushed + 8)
    seen = primary.daemon.instance.observe().server
    assert isinstance(seen, Known)
    assert [row.flush_lsn for row in seen.value.replication] == [link.flushed]
    world.clock.end()


def test_a_daemon_that_has_not_looked_yet_says_so() -> None:
    """As the shell's API does before the first publication (`shell.api.office.not_ready`)."""
    world = running(Setup(nodes=2))
    asker, asked = world.hosts["n1"].daemon, world.hosts["n2"]
    assert asker is not None
    assert asked.daemon is not None
    asked.slow_seconds, asked.slow_until = 1.0, 60.0
    asked.daemon.die()
    asked.daemon = None
    asked.start_daemon()
    answer = asker.task(asker.questions._ask_peer("n2", TIMEOUT_SECONDS))
    world.clock.run(30.5, ())
    assert answer.over
    assert answer.ended.value.reachable
    assert has_not_looked(answer.ended.value)
    world.clock.end()
