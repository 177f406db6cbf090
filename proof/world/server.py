"""A running PostgreSQL: start, promotion, shutdown, commits and who is told of them.

Belongs here: what a postmaster does by itself once it was asked.  Does not belong here: who asks
and how long that one waits (`instance.py`), and the way of WAL to others (`streaming.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine import quorum
from engine.state import Postmaster
from proof.world.events import Life, Signal, Steps, Task, Wait
from proof.world.streaming import Link, receive
from proof.world.wal import CHECKPOINT_BYTES, END_OF_RECOVERY_BYTES, Branch, branch_at, contains

if TYPE_CHECKING:
    from proof.world.host import Host

# How soon backends notice that they were told to end.
NOTICE_SECONDS = 0.02
CRASHED = frozenset({"in production", "in crash recovery", "shutting down"})


class Commit:
    """A commit that is on this server's disk and waits for standbys."""

    __slots__ = ("branch", "lsn", "number", "told")

    def __init__(self, number: int, branch: Branch, lsn: int, told: Callable[[bool], None]) -> None:
        self.number = number
        self.branch = branch
        self.lsn = lsn
        self.told = told


class Server:
    """One postmaster from its start to its end."""

    def __init__(self, host: Host, role: str) -> None:
        self.host = host
        self.left_in_pause = False  # see Daemon.note_pause
        self.outlived_its_lock = False  # in maintenance mode: it went on without it
        self.world = host.world
        self.life = Life()
        self.identity = Postmaster(host.world.new_pid(), 1)
        self.phase = "starting"  # then "up", "stopping", "gone"
        self.in_recovery = True
        self.serves = True  # its backends run
        self.frozen = False  # the postmaster has a SIGSTOP; its backends go on
        self.promoting = False
        self.kept_the_lock = True  # since the promotion was begun
        self.receiving = False  # a WAL receiver has run since the start
        self.started_wall = host.world.clock.now
        self.links: list[Link] = []
        self.upstream: Link | None = None
        self.reconfigured = Signal()
        self.ready = Signal()
        self.moved = Signal()
        self.gone = Signal()
        self._stands_at: int | None = None  # how far a replay has come that stands still
        self.replays = Signal()  # fires when replay goes on
        self.version = 0
        self.sync_names = host.disk.sync_names or ""  # as sessions see them,
        self.obeyed_names = self.sync_names  # as the checkpointer and the walsenders obey them
        self.waiting: list[Commit] = []
        if host.world.frozen_hosts.get(host.name):
            self.life.freeze()
        Task(self.world.clock, self.life, self._start(role)).start()

    @property
    def acknowledges(self) -> bool:
        """Whether a client that reaches it may be told now that its commit is done."""
        return self.serves and not self.in_recovery and not self.life.frozen

    @property
    def answers(self) -> bool:
        """Whether it takes new connections."""
        return self.phase == "up" and not self.frozen

    @property
    def stands_still(self) -> bool:
        """Whether replay does not go on, whatever is received."""
        return self._stands_at is not None

    @property
    def replayed(self) -> int:
        """How far a standby has replayed what it has."""
        end = self.host.disk.end
        return end if self._stands_at is None else min(self._stands_at, end)

    @property
    def replayed_branch(self) -> Branch:
        """The timeline that replay has come to."""
        branch = self.host.disk.branch
        return branch if self._stands_at is None else branch_at(branch, self.replayed)

    def stand_still(self) -> None:
        """Replay no further; WAL of the timeline is received all the same."""
        if self.in_recovery and self._stands_at is None:
            self._stands_at = self.host.disk.end
            self.version += 1

    def replay_on(self) -> None:
        """Replay everything that is there by now."""
        if self._stands_at is not None:
            self._stands_at = None
            self.version += 1
            replays, self.replays = self.replays, Signal()
            replays.fire()

    # --- start ------------------------------------------------------------------------------------

    def _start(self, role: str) -> Steps:
        host, disk = self.host, self.host.disk
        if disk.half_rewound:
            self.world.found_half_made(host.name)
        disk.rewound_in_boot = None  # recovery renames backup_label as it begins
        crashed = disk.state in CRASHED | {"in archive recovery"}
        yield host.seconds_for("recovery" if crashed else "start")
        failure = host.failure_of("start")
        if failure:
            self.end()
            return
        if role == "primary":
            self._open_for_writes(crashed)
        else:
            yield from self._open_as_standby()

    def _open_for_writes(self, crashed: bool) -> None:
        disk = self.host.disk
        if disk.writer is not disk or disk.branch.end != disk.end:
            # Nobody promoted it: it writes under a timeline number that others may use as well.
            disk.branch = Branch(disk.branch.timeline, disk.branch, disk.end)
            disk.writer = disk
        if crashed:
            self._append(CHECKPOINT_BYTES)
        disk.state = "in production"
        disk.checkpoint_lsn, disk.checkpoint_timeline = disk.end, disk.branch.timeline
        self.in_recovery = False
        self._is_up()

    def _open_as_standby(self) -> Steps:
        disk = self.host.disk
        disk.state = "in archive recovery"
        if self.host.replay_stands:
            self._stands_at = min(disk.end, max(disk.min_recovery_lsn, disk.checkpoint_lsn))
        Task(self.world.clock, self.life, receive(self)).start()
        while disk.end < disk.consistent_at:
            yield Wait(self.moved)
        self._is_up()

    def _is_up(self) -> None:
        self.phase = "up"
        self.version += 1
        self.ready.fire()
        self.world.look(self.host.name)

    # --- promotion --------------------------------------------------------------------------------

    def promote(self) -> None:
        """Begin a promotion, which cannot be taken back; asked twice, it is one."""
        if self.promoting or not self.in_recovery or self.phase != "up":
            return
        self.promoting = True
        self.kept_the_lock = self.host.may_be_promoted
        self.world.note("promotion", self.host.name)
        Task(self.world.clock, self.life, self._promote()).start()

    def _promote(self) -> Steps:
        yield self.host.seconds_for("promotion")
        if self.phase != "up":
            return
        failure = self.host.failure_of("promotion")
        if failure:
            self.end()
            return
        disk = self.host.disk
        if self.upstream is not None:
            self.upstream.close()
        while self._stands_at is not None:  # what was received is replayed before
            yield Wait(self.replays)
        if self.phase != "up":
            return
        disk.newest_timeline = max(disk.newest_timeline, disk.branch.timeline) + 1
        disk.branch = Branch(disk.newest_timeline, disk.branch, disk.end, self.host.name)
        disk.writer, disk.written_over = disk, None
        disk.standby_signal = False
        disk.state = "in production"
        for link in tuple(self.links):  # who has more than we had does not come along
            if not contains(
                disk.branch, disk.end, link.down.host.disk.branch, link.down.host.disk.end
            ):
                link.close()
        self._append(END_OF_RECOVERY_BYTES)
        self.promoting, self.in_recovery = False, False
        self.version += 1
        self.world.promoted(self.host.name)

    def checkpoint(self) -> None:
        """A checkpoint has ended."""
        disk = self.host.disk
        if not self.in_recovery:
            self._append(CHECKPOINT_BYTES)
        at, timeline = self.replayed, self.replayed_branch.timeline
        if self.in_recovery:
            disk.min_recovery_lsn, disk.min_recovery_timeline = at, timeline
        disk.checkpoint_lsn, disk.checkpoint_timeline = at, timeline
        self.version += 1

    # --- the end ----------------------------------------------------------------------------------

    def stop_fast(self) -> None:
        """SIGINT: end backends, write the shutdown checkpoint, let standbys receive it, end."""
        if self.phase not in {"stopping", "gone"} and not self.frozen:
            starting, self.phase = self.phase == "starting", "stopping"
            self.version += 1
            Task(self.world.clock, self.life, self._stop_fast(starting)).start()

    def _stop_fast(self, starting: bool) -> Steps:
        host, disk = self.host, self.host.disk
        if starting:
            yield NOTICE_SECONDS
            self.end()
            return
        yield NOTICE_SECONDS
        self.serves = False
        self.waiting.clear()  # those clients hear nothing good
        if self.upstream is not None:
            self.upstream.close()
        yield host.seconds_for("stop")
        if self.in_recovery:
            disk.state = "shut down in recovery"
            disk.min_recovery_lsn = self.replayed
            disk.min_recovery_timeline = self.replayed_branch.timeline
        else:
            disk.checkpoint_lsn, disk.checkpoint_timeline = disk.end, disk.branch.timeline
            disk.state = "shut down"
            self._append(CHECKPOINT_BYTES)
            until = self.world.clock.now + host.world.setup.sender_timeout_seconds
            while self.world.clock.now < until and any(x.flushed < disk.end for x in self.links):
                self.moved = Signal()
                yield Wait(self.moved, until - self.world.clock.now)
        self.end()

    def stop_immediately(self) -> None:
        """SIGQUIT: end without a checkpoint; until then backends may answer."""
        if not self.frozen and self.phase != "gone":
            self.phase = "stopping"
            self.version += 1
            self.world.clock.after(self.host.seconds_for("quit"), self.life, self.end)

    def end(self) -> None:
        """It is gone: crashed, killed, or done with stopping."""
        if self.phase == "gone":
            return
        disk, host = self.host.disk, self.host
        if disk.state == "in archive recovery":
            low = max(disk.min_recovery_lsn, disk.checkpoint_lsn)
            if low <= self.replayed:  # else it was not even consistent
                disk.min_recovery_lsn = host.random.randint(low, self.replayed)
                disk.min_recovery_timeline = self.replayed_branch.timeline
        self.phase = "gone"
        self.serves = False
        self.waiting.clear()
        self.life.end()
        for link in (*self.links, *([self.upstream] if self.upstream else [])):
            link.close()
        host.server_ended(self)
        self.gone.fire()
        self.ready.fire()

    # --- writing ----------------------------------------------------------------------------------

    def commit(self, number: int, size: int, told: Callable[[bool], None]) -> None:
        """A client commits; `told(synchronous)` is called when it is told so, if it ever is."""
        self._append(size)
        self.version += 1
        disk = self.host.disk
        commit = Commit(number, disk.branch, disk.end, told)
        if self.needed():
            self.waiting.append(commit)
        else:
            told(False)
            disk.branch.told.append((commit.lsn, number, False))

    def _append(self, size: int) -> None:
        disk = self.host.disk
        disk.end += size
        disk.branch.end = disk.end
        self.version += 1
        for link in self.links:
            link.push()

    def needed(self) -> quorum.Names | None:
        """Whom a commit must wait for; None: for nobody."""
        return self.world.sync_rule(self.obeyed_names)

    def acknowledged(self) -> None:
        """A standby has confirmed a position, or the rule has changed: tell waiting clients."""
        moved, self.moved = self.moved, Signal()
        moved.fire()
        if not self.waiting or not self.serves:
            return
        rule = self.needed()
        still = []
        for commit in self.waiting:
            if rule is None or self._is_enough(commit.lsn, rule):
                synchronous = rule is not None and not self.outlived_its_lock
                commit.branch.told.append((commit.lsn, commit.number, synchronous))
                if synchronous:
                    self.world.owed.promise(commit.branch, commit.lsn)
                commit.told(synchronous)
            else:
                still.append(commit)
        self.waiting = still

    def _is_enough(self, lsn: int, rule: quorum.Names) -> bool:
        have = {link.down.host.name.lower() for link in self.links if link.flushed >= lsn}
        return len(have & rule.members) >= rule.needed

    def reload(self) -> None:
        """Read the files again."""
        names = self.host.disk.sync_names or ""
        if names != self.sync_names:
            self.sync_names = names
            self.world.clock.after(self.host.seconds_for("hangup"), self.life, self._obey)
        self.version += 1
        signal, self.reconfigured = self.reconfigured, Signal()
        signal.fire()

    def _obey(self) -> None:
        """The other processes have handled the signal, whatever came since."""
        self.obeyed_names = self.sync_names
        self.version += 1
        self.acknowledged()
