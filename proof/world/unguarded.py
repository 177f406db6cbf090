"""Servers that nothing would end in time, and until when that excuses what happens.

A frozen or dead daemon can't end its primary, and without a fence nobody else does. Once it acts
again and has its server in hand, everything is checked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import views
from engine.state import Snapshot
from proof.invariants import Toleration

if TYPE_CHECKING:
    from proof.world.daemon import Daemon
    from proof.world.host import Host


class Unguarded:
    """The hosts with such a server, and why."""

    def __init__(self) -> None:
        self._why: dict[str, Toleration] = {}
        self._decided: dict[str, tuple[Daemon, int]] = {}

    @property
    def tolerated(self) -> frozenset[Toleration]:
        """What excuses the world at this moment."""
        return frozenset(self._why.values())

    def left(self, host: Host, why: Toleration) -> None:
        """Nothing would end that host's server in time any more."""
        self._why[host.name] = why
        self._decided.pop(host.name, None)

    def decided(self, host: Host, s: Snapshot) -> bool:
        """Its daemon has decided; whether nothing is excused any more since then.

        The first decision may rest on what was seen before a freeze.
        """
        if host.name not in self._why:
            return False
        life, host_life = self._decided.get(host.name), host.attendance.present()
        if host_life is not None:
            self._decided[host.name] = host_life
        if life is None or life != host_life or s.job is not None or not _has_in_hand(host):
            return False
        del self._why[host.name]
        return not self._why


def _has_in_hand(host: Host) -> bool:
    """Whether its server is none that writes, or writes under a lock that is its daemon's."""
    server, daemon = host.server, host.daemon
    if server is None or not (server.acknowledges or server.promoting):
        return True
    if daemon is None or server.promoting or host.world.store.cluster.leader != host.name:
        return False
    until = views.certain_until(daemon.lease, daemon.memory)
    return until is not None and host.now() < until
