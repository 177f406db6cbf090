"""Whether somebody looks after a running standby: what it does unwatched is excused for a while.

A daemon that is frozen, or gone, can't stop a server that connects to a wrong upstream; once it
acts again, and knows who leads, it has to find out within a few loops.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from engine.state import Known, Snapshot

if TYPE_CHECKING:
    from proof.world.daemon import Daemon
    from proof.world.host import Host

# So long it may take until a daemon that acts, and knows who leads, has stopped a diverged standby:
# the rest of the time that an older answer counts, a question without an answer, and a stop.
FINDS_OUT_LOOPS = 3
FINDS_OUT_SECONDS = 5.0


class Attendance:
    """Of one host: since when its daemon has looked after its server without a gap."""

    __slots__ = ("_host", "_life", "_since")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._life: tuple[Daemon, int] | None = None  # a daemon, and how often it was thawed
        self._since: float | None = None

    def decided(self, s: Snapshot) -> None:
        """Its daemon has decided: in maintenance mode nothing, and without a leader about none."""
        life = self.present()
        if life != self._life:
            self._life, self._since = life, None
            if s.postgres.postmaster is None:
                self._since = -inf  # nothing ran meanwhile
        knows = isinstance(s.cluster, Known) and s.cluster.value.leader not in {None, s.me.name}
        able = knows and not s.policy.pause and s.job is None
        if self._since is None and able and isinstance(s.postgres.server, Known):
            self._since = self._host.world.clock.now

    @property
    def is_wanting(self) -> bool:
        """Whether nobody looks after the server, or not for long enough to find out."""
        if self.present() is None or self.present() != self._life or self._since is None:
            return True
        host = self._host
        loop = host.policy_of(host.world.store.config).loop_wait_seconds
        patience = FINDS_OUT_LOOPS * loop + FINDS_OUT_SECONDS
        return host.world.clock.now < self._since + patience

    def present(self) -> tuple[Daemon, int] | None:
        """The daemon that acts, if one does, and how often it was thawed."""
        daemon = self._host.daemon
        if daemon is None or daemon.life.frozen or daemon.loop.frozen:
            return None
        return daemon, daemon.life.thaws + daemon.loop.thaws
