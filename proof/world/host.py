"""A machine: its clocks, its disk, and the processes that run on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from engine import upstreams, views
from engine.actions import Exit, Upstream
from engine.policy import Policy
from engine.state import (
    DataDirectory,
    DirectoryKind,
    Known,
    Member,
    Postgres,
    Postmaster,
    Tags,
    Unknown,
)
from engine.state import Server as Answers
from proof.world.attendance import Attendance
from proof.world.daemon import Daemon
from proof.world.disk import Disk
from proof.world.fence import Guard
from proof.world.server import Server
from proof.world.watchdog import Device
from shell import layout

if TYPE_CHECKING:
    from proof.world.world import World

BOOT_LOCAL_SECONDS = 100.0  # CLOCK_BOOTTIME when its daemon starts for the first time
WALL_START = 1.8e9
RESPAWN_SECONDS = (1.0, 6.0)  # the init system starts a dead daemon again


class Host:
    """One member's machine.  `rate` is how fast its clocks go."""

    def __init__(self, world: World, number: int, *, tags: Tags, rate: float) -> None:
        self.world = world
        self.name = world.setup.names[number - 1] if world.setup.names else f"n{number}"
        self.slot = upstreams.slot_name(self.name)
        self.rate = rate
        self.random = Random(f"{world.setup.background}/{self.name}")
        self.up = True
        self.disk = Disk(rewindable=world.setup.rewindable)
        self.server: Server | None = None
        self.guard: Guard | None = None
        self.deadline_lost = False  # its guard was killed, and no other one has a deadline yet
        self.device = Device(self) if self.name in world.setup.watchdogs else None
        self.daemon: Daemon | None = None
        self.attendance = Attendance(self)
        self.wanted_running = True  # an operator wants the daemon to run,
        self.start_again = False  # or to run again once it has ended
        self.failed = False  # its last daemon ended with an error
        self.tags = tags
        self.address = f"10.0.0.{number}:5432"
        self._document: Mapping[str, Any] | None = None
        self._member = Member(self.name)
        self.me = replace(self.member_record({}), version="4.1.5", tags=tags)
        self.behind_bytes = 0  # so far behind its upstream a standby stays
        self.silent_until = 0.0
        self.slow_until = 0.0
        self.slow_seconds = 0.0
        self.replay_stands = 0  # how many reasons there are that replay stands still
        self.wall_offset = 0.0
        self.troubles: dict[str, list[float | str]] = {}
        self.boots = 0
        self._booted_at = world.clock.now
        self._boot_local = BOOT_LOCAL_SECONDS + number

    # --- clocks -----------------------------------------------------------------------------------

    def now(self) -> float:
        """CLOCK_BOOTTIME here."""
        return self._boot_local + (self.world.clock.now - self._booted_at) * self.rate

    def wall(self) -> float:
        """Seconds since 1970, as this machine believes."""
        return WALL_START + self.wall_offset + self.world.clock.now * self.rate

    def set_clocks(self, now: float, wall: float) -> None:
        """Let its clocks show that at this moment."""
        self._booted_at, self._boot_local = self.world.clock.now, now
        self.wall_offset += wall - self.wall()

    def true_moment(self, local: float) -> float:
        """When this machine's clock shows that."""
        return self._booted_at + (local - self._boot_local) / self.rate

    def seconds_until(self, local: float) -> float:
        """How long until its clock shows that; none if it did already."""
        return max(self.true_moment(local) - self.world.clock.now, 0.0)

    def true_seconds(self, local_seconds: float) -> float:
        """How long that many of its seconds are."""
        return local_seconds / self.rate

    # --- chance -----------------------------------------------------------------------------------

    def between(self, low: float, high: float) -> float:
        """Draw seconds in between."""
        return self.random.uniform(low, high)

    def seconds_for(self, work: str) -> float:
        """Draw how long that work takes here, this time."""
        planned = self.troubles.get(work)
        if planned and isinstance(planned[0], float):
            seconds = planned.pop(0)
            assert isinstance(seconds, float)
            return seconds
        return self.world.setup.seconds[work] * (0.5 + self.random.random())

    def failure_of(self, work: str) -> str:
        """Why that work fails this time; mostly empty."""
        planned = self.troubles.get(work)
        if planned and isinstance(planned[0], str):
            return str(planned.pop(0))
        return ""

    def look_seconds(self) -> float:
        """How long a look at PostgreSQL takes now."""
        return self.slow_seconds if self.slow_until > self.world.clock.now else 0.0

    # --- identity and configuration ---------------------------------------------------------------

    def address_of(self, name: str | None) -> str | None:
        """host:port of a member."""
        return None if name is None else self.world.hosts[name].address

    def member_at(self, upstream: Upstream | None) -> str | None:
        """The member whose server that is; a standby without the store knows its address alone."""
        if upstream is None:
            return None
        hosts, at = self.world.hosts, upstream.address
        return next((name for name in hosts if hosts[name].address == at), upstream.name)

    def member_record(self, document: Mapping[str, Any]) -> Member:
        """The member as others read it from the store."""
        if document == self._document:
            return self._member
        told = {
            "conn_url": f"postgres://{self.address}/postgres",
            "api_url": f"http://{self.name}:8008/patroni",
            **document,
        }
        self._document, self._member = document, layout.parse_member(self.name, told)
        return self._member

    def policy_of(self, config: Mapping[str, Any] | None) -> Policy:
        """The policy that follows from that dynamic configuration."""
        return self.world.policy_of(self, config)

    def known_config(self) -> Mapping[str, Any] | None:
        """The dynamic configuration that the daemon goes by."""
        config = self.daemon.config if self.daemon is not None else self.disk.config
        return config if config is not None else self.world.setup.config

    def wanted_parameters(self) -> int:
        """The version of PostgreSQL's parameters in that configuration."""
        config = self.known_config()
        return int(config.get("parameters", 0)) if config is not None else 0

    def unseen_postgres(self) -> Postgres:
        """What a daemon knows before its first look."""
        nothing = DataDirectory(DirectoryKind.ALIEN, "not looked at yet")
        return Postgres(nothing, None, Unknown(self.now(), "not yet"))

    def postmaster(self, server: Server) -> Postmaster:
        """The process as it is seen."""
        return replace(server.identity, frozen=True) if server.frozen else server.identity

    @staticmethod
    def with_server(seen: Postgres, answers: Known[Answers] | Unknown) -> Postgres:
        """The same look with other answers."""
        return replace(seen, server=answers)

    @staticmethod
    def marked(seen: Postgres, *, outdated: bool, checkpointing: bool) -> Postgres:
        """The look as the snapshot carries it."""
        if not outdated and not checkpointing:
            return seen
        return replace(seen, outdated=outdated, checkpointing=checkpointing)

    # --- processes --------------------------------------------------------------------------------

    def start_daemon(self) -> None:
        """The init system starts the daemon, if the machine is up and it is wanted."""
        if self.up and self.wanted_running and self.daemon is None:
            self.daemon = Daemon(self)
            for _ in range(self.world.frozen_hosts.get(self.name, 0)):
                self.daemon.freeze()  # as everything else on a machine that stands still
            self.world.told(self.name, "daemon starts")
            self.daemon.start()

    def daemon_left(self, order: Exit) -> None:
        """The daemon has ended by itself; after an error the init system tries again."""
        self.daemon = None
        self.world.told(self.name, f"daemon ends with {order.code}: {order.why}")
        self.failed = bool(order.code)
        self.wanted_running = self.start_again or self.failed
        if self.wanted_running:
            self._respawn()

    def kill_daemon(self) -> None:
        """SIGKILL to the daemon; PostgreSQL and the fence are left running."""
        if self.daemon is not None:
            self.daemon.die()
            self.daemon = None
            self._respawn()

    @property
    def is_paused(self) -> bool:
        """Whether its daemon is in maintenance mode, or its server was left unguarded in it."""
        paused = self.daemon is not None and self.daemon.policy.pause
        return paused or (self.server is not None and self.server.left_in_pause)

    @property
    def has_the_word(self) -> bool:
        """Whether the members let it lead without the store at this moment (failsafe mode)."""
        daemon = self.daemon
        if daemon is None or daemon.memory.failsafe_lease != daemon.lease.sent_at:
            return False
        until = views.certain_until(daemon.lease, daemon.memory)
        return until is not None and self.now() < min(until, daemon.memory.failsafe_until)

    @property
    def may_be_promoted(self) -> bool:
        """Whether it has the leader key, or, where nobody has that, the members' word."""
        owner = self.world.store.cluster.leader
        return owner == self.name or (owner is None and self.has_the_word)

    def _respawn(self) -> None:
        seconds = self.between(*RESPAWN_SECONDS)
        self.world.clock.after(seconds, None, self.start_daemon)

    def start_server(self, role: str) -> None:
        """A postmaster is started."""
        assert self.server is None
        self.server = Server(self, role)

    def server_ended(self, server: Server) -> None:
        """The postmaster is gone: whoever holds a pidfd of it knows."""
        self.server = None
        self.deadline_lost = False
        if self.guard is not None:
            self.guard.server_ended(server)
        if self.daemon is not None:
            self.daemon.wake()
        self.world.look(self.name)

    def stop_replay(self) -> None:
        """Let replay stand still, here and after a start: a conflict, or a slow disk."""
        self.replay_stands += 1
        if self.server is not None:
            self.server.stand_still()

    def resume_replay(self) -> None:
        """Undo one `stop_replay`."""
        self.replay_stands = max(0, self.replay_stands - 1)
        if self.server is not None and not self.replay_stands:
            self.server.replay_on()

    def crash(self) -> None:
        """The machine loses power; its disk stays."""
        if not self.up:
            return
        self.up = False
        if self.daemon is not None:
            self.daemon.die()
            self.daemon = None
        if self.guard is not None:
            self.guard.life.end()
            self.guard = None
        if self.device is not None:
            self.device.stop()
        if self.server is not None:
            self.server.end()
        self.world.frozen_hosts.pop(self.name, None)

    @property
    def is_to_be_reset(self) -> bool:
        """Whether its watchdog counts, and whoever had opened it is gone."""
        held = self.daemon is not None and self.daemon.watchdog.is_open
        return self.device is not None and self.device.counts and not held

    def boot(self) -> None:
        """The machine comes back, and CLOCK_BOOTTIME begins anew."""
        if self.up:
            return
        self.up = True
        self.boots += 1
        self._booted_at, self._boot_local = self.world.clock.now, 10.0
        self.start_daemon()

    def freeze(self) -> None:
        """The whole machine is suspended; its clocks go on."""
        self.world.frozen_hosts[self.name] = self.world.frozen_hosts.get(self.name, 0) + 1
        for life in self._lives():
            life.freeze()
        self.world.look(self.name)

    def thaw(self) -> None:
        """The machine goes on; the fence is first to act on what it missed."""
        left = self.world.frozen_hosts.get(self.name, 0) - 1
        if left < 0:
            return
        if left:
            self.world.frozen_hosts[self.name] = left
        else:
            self.world.frozen_hosts.pop(self.name)
        guard, server = self.guard, self.server
        overdue = guard is not None and guard.phase == "armed" and guard.kill_at <= self.now()
        if overdue and not left and server is not None:
            # What a backend can still answer in the milliseconds before is not modelled.
            self.world.fence_fires(self)
            server.end()
        for life in self._lives():
            if life.alive:
                life.thaw()
        self.world.look(self.name)

    def _lives(self) -> list[Any]:
        lives = [self.guard.life] if self.guard is not None else []
        if self.server is not None:
            lives.append(self.server.life)
        if self.daemon is not None:
            lives += [self.daemon.life, self.daemon.loop]
        return lives
