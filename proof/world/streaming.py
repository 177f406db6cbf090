"""WAL on its way from one server to another: who may connect to whom, and what arrives when.

The rules of connecting are PostgreSQL's own, by timeline numbers and history; whether the bytes
then fit is what the checkers look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proof.world.compared import write_over
from proof.world.disk import Disk
from proof.world.events import Signal, Steps, Wait
from proof.world.wal import Branch, branch_at, contains, next_switch

if TYPE_CHECKING:
    from proof.world.server import Server


class Link:
    """A replication connection.  `flushed` is what the upstream knows that the other side has."""

    __slots__ = ("broken", "down", "flushed", "pid", "up")

    def __init__(self, up: Server, down: Server) -> None:
        self.up = up
        self.down = down
        self.flushed = 0
        self.pid = up.world.new_pid()  # of the walsender, and of the WAL receiver too
        self.broken = Signal()
        up.links.append(self)
        down.upstream = self
        up.version += 1
        down.version += 1

    def push(self) -> None:
        """Send what the upstream has by now."""
        if self.broken.fired:
            return
        world = self.up.world
        sender, receiver = self.up.host.name, self.down.host.name
        if not world.network.open(sender, receiver):
            return
        disk = self.up.host.disk
        branch, lsn = disk.branch, disk.end
        if self.up.serves:  # an orderly stop sends everything
            lsn -= self.down.host.behind_bytes
        world.clock.after(
            world.network.seconds(sender, receiver),
            self.down.life,
            self._arrive,
            branch,
            lsn,
        )

    def _arrive(self, branch: Branch, lsn: int) -> None:
        if self.broken.fired:
            return
        down, up = self.down, self.up
        disk = down.host.disk
        # Only the startup process, which is about to replay, asks for the next timeline.
        switch = next_switch(branch, down.replayed) if down.stands_still else None
        is_over = switch is not None and lsn > switch
        if switch is not None and is_over:
            branch, lsn = branch_at(branch, switch), switch
        if not contains(branch, lsn, disk.branch, disk.end):
            if not contains(disk.branch, disk.end, branch_at(branch, lsn), lsn):
                self.close()  # the timeline that it comes to has left ours before our end
            return
        take_in(down, branch, lsn)
        if disk.branch.timeline > disk.consistent_on.timeline and lacks_pages_of(branch, lsn, disk):
            down.end()  # PANIC: a newer timeline begins before the minimum recovery point
            return
        if is_over:
            self.close()
            return
        network, sender, receiver = down.world.network, down.host.name, up.host.name
        if network.open(sender, receiver):
            have = down.host.disk.end
            down.world.clock.after(network.seconds(sender, receiver), up.life, self._confirm, have)

    def _confirm(self, lsn: int) -> None:
        if lsn > self.flushed and not self.broken.fired:
            self.flushed = lsn
            self.up.version += 1
            slots = self.up.host.disk.slots
            name = self.down.host.slot
            if name in slots:
                slots[name] = max(slots[name], lsn)
            self.up.acknowledged()

    def network_changed(self) -> None:
        """Go on where the network lets us, or break when it stays closed for too long."""
        world = self.up.world
        one, other = self.up.host.name, self.down.host.name
        if world.network.both_ways(one, other):
            self.push()
            return
        timeout = world.setup.sender_timeout_seconds

        def perhaps_close() -> None:
            if not world.network.both_ways(one, other):
                self.close()

        world.clock.after(timeout, None, perhaps_close)

    def close(self) -> None:
        """The connection is over."""
        if self.broken.fired:
            return
        for server in (self.up, self.down):
            server.version += 1
        if self in self.up.links:
            self.up.links.remove(self)
        if self.down.upstream is self:
            self.down.upstream = None
        self.broken.fire()
        self.up.acknowledged()


def take_in(down: Server, branch: Branch, lsn: int) -> None:
    """A standby writes what it received."""
    disk = down.host.disk
    if lsn == disk.end and disk.branch is branch_at(branch, lsn):
        return
    disk.branch, disk.end = branch_at(branch, lsn), lsn
    disk.newest_timeline = max(disk.newest_timeline, branch.timeline)
    disk.writer = None
    down.version += 1
    moved, down.moved = down.moved, Signal()
    moved.fire()
    for link in down.links:
        link.push()


def refusal(up: Disk, down: Disk) -> str:
    """Why PostgreSQL would not let `down` stream from `up`; empty when it would."""
    mine, theirs = down.branch.timeline, up.branch.timeline
    if theirs < mine:
        return f"timeline {theirs} is behind recovery timeline {mine}"
    if theirs == mine:
        return ""
    for line in up.branch.history:
        if line.timeline == mine:
            return "" if down.end <= line.lsn else f"timeline {mine} was left at {line.lsn}"
    return f"timeline {mine} is not in the history"


def diverged(up: Disk, down: Disk) -> bool:
    """Whether neither's WAL is the beginning of the other's, with what the pages here come from."""
    wal = contains(up.branch, up.end, down.branch, down.end) or contains(
        down.branch, down.end, up.branch, up.end
    )
    return not wal or down.pages_lost or lacks_pages_of(up.branch, up.end, down)


def lacks_pages_of(branch: Branch, end: int, down: Disk) -> bool:
    """Whether that WAL leads away from where `down` becomes consistent, as its pages are now."""
    on, at = down.consistent_on, down.consistent_at
    if at == 0 or contains(branch, end, on, at):
        return False
    return not contains(on, at, branch_at(branch, end), end)


def receive(down: Server) -> Steps:
    """The WAL receiver: connect, stream until it breaks, try again."""
    world, host = down.world, down.host
    while down.phase != "gone" and down.in_recovery and not down.promoting:
        while down.replayed < host.disk.end:  # what is there is replayed first
            yield Wait(down.replays)
        up = _upstream(down)
        if up is not None:
            yield 2 * world.network.seconds(host.name, up.host.name)
            if up is _upstream(down) and down.in_recovery and not down.promoting:
                link = Link(up, down)
                down.receiving = True
                write_over(host.disk, up.host.disk)
                world.streams(host, up.host)
                link.push()
                changed = down.reconfigured
                while not link.broken.fired and host.disk.upstream == up.host.name:
                    yield Wait(_either(link.broken, changed))
                    changed = down.reconfigured
                link.close()
        yield Wait(down.reconfigured, world.setup.retrieve_retry_seconds)


def _either(one: Signal, other: Signal) -> Signal:
    """Fires with the first of two signals."""
    if one.fired or other.fired:
        both = Signal()
        both.fire()
        return both
    both = Signal()
    one.also(both)
    other.also(both)
    return both


def _upstream(down: Server) -> Server | None:
    """The server that the written configuration names, if it lets us connect now."""
    world, host = down.world, down.host
    name = host.disk.upstream
    if name is None or name not in world.hosts or down.phase == "stopping":
        return None
    up = world.hosts[name].server
    if up is None or up.phase != "up" or up.frozen or up.life.frozen:
        return None
    if not world.network.both_ways(host.name, name):
        return None
    if up.host.disk.system_identifier != host.disk.system_identifier:
        return None
    if host.disk.upstream_slot is not None and host.disk.upstream_slot not in up.host.disk.slots:
        return None  # "replication slot does not exist"
    return None if refusal(up.host.disk, host.disk) else up
