"""The fence process of one host: the steps of `shell/fence/watch.py`, on the host's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.state import Fence as Seen
from proof.world.events import Failure, Life
from proof.world.server import Server

if TYPE_CHECKING:
    from proof.world.host import Host

IDLE = Seen(ready=True)
LATENESS_SECONDS = 0.05  # how late the guard may get the processor


class FenceUnavailable(Failure):
    """No guard answers, or it refuses."""


class PostmasterGone(Failure):
    """The process to be guarded has ended."""


class Guard:
    """One guard process: idle, armed, quit (SIGQUIT is out), and idle again."""

    def __init__(self, host: Host) -> None:
        self.life = Life()
        self.phase = "idle"
        self.kill_at = 0.0
        self._host = host
        self._grace = 0.0
        self._target: Server | None = None
        self._turn = 0

    def seen(self) -> Seen:
        """What its status says."""
        if self.phase == "idle":
            return IDLE
        pid = self._target.identity.pid if self._target is not None else None
        return Seen(self.phase != "quit", "", pid, self.kill_at)

    def arm(self, pid: int, kill_at: float, grace: float) -> None:
        """Guard that postmaster, or with pid 0 whatever server is there at the deadline."""
        if self.phase == "quit":
            raise FenceUnavailable("the fence is shutting PostgreSQL down")
        server = self._host.server
        if pid and (server is None or server.identity.pid != pid):
            raise PostmasterGone("the postmaster has ended")
        self._target = server if pid else None
        self.kill_at, self._grace, self.phase = kill_at, grace, "armed"
        self._host.deadline_lost = False
        self._turn += 1
        turn, late = self._turn, self._host.between(0.0, LATENESS_SECONDS)
        self._at(kill_at, late, self._fire, turn)

    def disarm(self) -> None:
        """Guard nothing; refused once the signals are out."""
        if self.phase == "quit":
            raise FenceUnavailable("the fence is shutting PostgreSQL down")
        self._forget()

    def server_ended(self, server: Server) -> None:
        """A postmaster is gone, and its backends with it."""
        if server is self._target:
            self._forget()

    def _forget(self) -> None:
        self.phase, self.kill_at, self._target = "idle", 0.0, None
        self._turn += 1

    def _at(self, local: float, late: float, happen: Callable[..., None], *given: object) -> None:
        moment = self._host.true_moment(local) + late
        self._host.world.clock.at(moment, self.life, happen, *given)

    def _fire(self, turn: int) -> None:
        if turn != self._turn:
            return
        if self._target is None:
            self._target = self._host.server
        if self._target is None:  # one may be about to enter its directory
            if self._host.now() >= self.kill_at + self._grace:
                self._forget()
            else:
                self._at(self._host.now() + 0.02, 0.0, self._fire, turn)
            return
        self._host.world.fence_fires(self._host)
        target, self.phase = self._target, "quit"
        if target.frozen:
            target.end()
            return
        target.stop_immediately()
        self._at(self._host.now() + self._grace, 0.0, target.end)


class FenceClient:
    """A daemon's way to the guard."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def guard(self) -> Guard:
        """The guard that answers; raises FenceUnavailable when there is none."""
        guard = self._host.guard
        if guard is None:
            raise FenceUnavailable("no fence process runs")
        return guard

    def start(self) -> None:
        """Take over the running guard, or start one."""
        if self._host.guard is None:
            self._host.guard = Guard(self._host)

    def quit(self) -> None:
        """End the guard, unless it guards something."""
        guard = self._host.guard
        if guard is not None and guard.phase == "idle":
            guard.life.end()
            self._host.guard = None
