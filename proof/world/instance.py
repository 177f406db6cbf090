"""What the shell's `Instance` does to PostgreSQL, step by step, as tasks that can be cancelled.

Belongs here: the steps of `shell/postgres/` as far as a decision can see their outcome or their
half-way state.  A task that is killed with its daemon leaves things as they lie; a cancelled one
cleans up as the shell does.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from engine.actions import Upstream
from engine.state import DirectoryKind, Known, Postgres, Server, Unknown
from proof.world import server as running
from proof.world.compared import told
from proof.world.events import Cancelled, Failure, Steps, Wait
from proof.world.wal import CHECKPOINT_BYTES, Branch, common_end

if TYPE_CHECKING:
    from proof.world.host import Host

PG_CTL_TIMEOUT_SECONDS = 60.0
ATTEMPT_PAUSE_SECONDS = 5.0
POLL_SECONDS = 0.01
SERVER_VERSION = 160004


class PostgresError(Failure):
    """An operation failed; the text is for the operator."""


class Instance:
    """The local server, as one life of the daemon sees and handles it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.world = host.world
        self.loaded = True
        self._failing_since: float | None = None
        self._identifier = ""
        self._seen: tuple[running.Server, int, Server] | None = None

    # --- looking ----------------------------------------------------------------------------------

    def observe(self) -> Postgres:
        """Directory, process and answers, at this instant."""
        host, disk, server = self.host, self.host.disk, self.host.server
        wanted, applied = self.digests()
        answers: Known[Server] | Unknown
        starting = False
        if server is None:
            answers = self._unknown("PostgreSQL is not running")
        elif server.frozen:
            answers = self._unknown("the postmaster is suspended (SIGSTOP)")
        elif server.phase != "up":
            starting = True  # PostgreSQL answers 57P03 while it starts, and while it stops
            answers = self._unknown("the database system is not accepting connections")
        elif host.silent_until > self.world.clock.now:
            answers = self._unknown("no answer in time")
        else:
            self._failing_since = None
            self._identifier = disk.system_identifier
            answers = Known(self._answer(server), host.now())
        directory = disk.look(running=server is not None, identifier_seen=self._identifier)
        if directory.kind is not DirectoryKind.VALID:
            self._identifier = ""
        self._identifier = directory.system_identifier or self._identifier
        return Postgres(
            directory=directory,
            postmaster=None if server is None else host.postmaster(server),
            server=answers,
            starting=starting,
            must_reach=disk.must_reach if starting else None,
            wanted_config=wanted,
            applied_config=applied,
            configured_upstream=host.address_of(disk.upstream) if disk.recovery_written else None,
            configured_slot=disk.upstream_slot if disk.recovery_written else None,
            written_sync_names=disk.sync_names if disk.kind is DirectoryKind.VALID else None,
        )

    def digests(self) -> tuple[str, str]:
        """The configuration that should be in force, and the one that was loaded last."""
        disk = self.host.disk
        if disk.kind is not DirectoryKind.VALID:
            return "", ""
        wanted = _digest(self.host.wanted_parameters(), disk.standby_signal)
        if not self.loaded:
            return wanted, "not loaded"
        return wanted, _digest(disk.parameters, disk.recovery_written)

    def _unknown(self, why: str) -> Unknown:
        if self._failing_since is None:
            self._failing_since = self.host.now()
        return Unknown(self._failing_since, why)

    def _answer(self, server: running.Server) -> Server:
        seen = self._seen
        if seen is not None and seen[0] is server and seen[1] == server.version:
            return seen[2]
        answer = describe(server)
        self._seen = (server, server.version, answer)
        return answer

    # --- start, stop, promote ---------------------------------------------------------------------

    def start(
        self, role: str, upstream: Upstream | None, seconds: float, begin_before: float | None
    ) -> Steps:
        """Write the configuration, start, and wait until it answers or the time is over."""
        host = self.host
        if host.server is None:
            self._write(role, upstream)
            yield host.seconds_for("spawn")
        if host.server is None:
            if begin_before is not None and host.now() > begin_before:
                raise PostgresError("too little of the lease was left when all was ready to start")
            host.start_server(role)
        server = host.server
        assert server is not None
        yield Wait(server.ready, seconds)
        if server.phase == "gone":
            raise PostgresError("PostgreSQL ended while starting")
        if server.phase == "up":
            self.loaded = True

    def stop(self, mode: str, kill_at: float, checkpoint_first: bool) -> Steps:
        """Stop; an immediate one sends SIGKILL at `kill_at`."""
        server = self.host.server
        if server is None:
            return
        if mode == "fast":
            if checkpoint_first and server.answers:
                yield self.host.seconds_for("checkpoint")
                if server.phase == "up":
                    server.checkpoint()
            if server.frozen:
                raise PostgresError("the postmaster is suspended: only an immediate stop ends it")
            server.stop_fast()
            came = yield Wait(server.gone, PG_CTL_TIMEOUT_SECONDS)
            if not came:
                raise PostgresError("PostgreSQL did not stop in time")
        else:
            if not server.frozen:
                server.stop_immediately()
                yield Wait(server.gone, self.host.seconds_until(kill_at))
            server.end()

    def promote(self, seconds: float) -> Steps:
        """Promote the running standby; ends when it accepts writes."""
        server, until = self.host.server, self.host.now() + seconds
        if server is None:
            raise PostgresError("no PostgreSQL runs: nothing to promote")
        if not server.in_recovery:
            return
        yield POLL_SECONDS
        server.promote()
        pause = POLL_SECONDS
        while server.in_recovery and server.phase != "gone":
            if self.host.now() >= until:
                raise PostgresError("the promotion did not end in time")
            yield pause
            pause = min(2 * pause, 0.25)
        if server.phase == "gone":
            raise PostgresError("PostgreSQL ended during the promotion")

    def checkpoint(self) -> Steps:
        """Run CHECKPOINT and wait for its end."""
        server = self.host.server
        if server is None or not server.answers:
            raise PostgresError("cannot connect")
        yield self.host.seconds_for("checkpoint")
        if server.phase != "up":
            raise PostgresError("the server ended")
        server.checkpoint()

    # --- configuration ----------------------------------------------------------------------------

    def _write(self, role: str, upstream: Upstream | None, *, running: bool = False) -> None:
        disk = self.host.disk
        disk.recovery_written = role == "standby"
        disk.upstream = self.host.member_at(upstream) if role == "standby" else None
        disk.upstream_slot = upstream.slot if disk.upstream and upstream else None
        disk.parameters = self.host.wanted_parameters()
        if not running:
            disk.standby_signal = role == "standby"

    def apply_configuration(self) -> None:
        """Write the files for the current role and upstream, and reload."""
        disk, server = self.host.disk, self.host.server
        disk.recovery_written = disk.standby_signal
        if not disk.standby_signal:
            disk.upstream = None
        disk.parameters = self.host.wanted_parameters()
        disk.config = self.host.known_config()
        self.loaded = True
        if server is not None:
            server.reload()

    def set_sync_names(self, text: str | None) -> Steps:
        """Write these names, reload, and see them in force."""
        server = self._own()
        yield self.host.seconds_for("side")
        self.host.disk.sync_names = text
        self.loaded = True
        server.reload()
        if server.phase == "gone":
            raise PostgresError("the server ended")

    def follow(self, upstream: Upstream | None) -> None:
        """Point the running standby at that upstream by a reload."""
        self._write("standby", upstream, running=True)
        self.loaded = True
        if self.host.server is not None:
            self.host.server.reload()

    # --- making and unmaking the data directory ---------------------------------------------------

    def initdb(self) -> Steps:
        """Create a new cluster."""
        disk, host = self.host.disk, self.host
        disk.unfinished = True
        disk.kind = DirectoryKind.VALID
        yield host.seconds_for("initdb")
        failure = host.failure_of("initdb")
        if failure:
            disk.empty()
            raise PostgresError(failure)
        disk.system_identifier = self.world.new_identifier()
        disk.never_led = True
        disk.branch = self.world.root(disk.system_identifier)
        disk.end = disk.branch.end = disk.checkpoint_lsn = disk.branch.end + 0x1000028
        disk.writer = disk
        disk.end += CHECKPOINT_BYTES
        disk.branch.end = disk.end
        disk.state = "shut down"
        disk.unfinished = False

    def create_roles(self) -> Steps:
        """The SQL part of the bootstrap."""
        host = self.host
        yield host.seconds_for("roles")
        failure = host.failure_of("roles")
        if failure or host.server is None or not host.server.acknowledges:
            raise PostgresError(failure or "cannot connect")

    def clone(self, source: Upstream) -> Steps:
        """pg_basebackup, twice at most; it is a standby's directory afterwards."""
        host, disk = self.host, self.host.disk
        for attempt in range(2):
            disk.empty()
            disk.kind, disk.unfinished = DirectoryKind.VALID, True
            try:
                done = yield from self._copy(source.name)
            except Cancelled:
                disk.empty()
                raise
            if done:
                disk.unfinished = False
                disk.standby_signal = disk.recovery_written = True
                disk.upstream = None
                return
            disk.empty()
            if attempt == 0:
                yield ATTEMPT_PAUSE_SECONDS
        raise PostgresError(f"pg_basebackup from {host.address_of(source.name)} failed")

    def _copy(self, source: str) -> Steps:
        host, world = self.host, self.world
        up = self._reachable(source)
        if up is None:
            yield 0.1
            return False
        until = world.clock.now + host.seconds_for("clone")
        failure = host.failure_of("clone")
        while world.clock.now < until:
            yield min(1.0, until - world.clock.now)
            if up is not self._reachable(source) or up.phase != "up":
                return False
        if failure:
            return False
        host.disk.copy_wal_of(up.host.disk)
        host.disk.kind, host.disk.unfinished = DirectoryKind.VALID, True
        return True

    def recover_from_crash(self) -> Steps:
        """Single-user recovery: a clean shutdown on the same timeline."""
        host, disk = self.host, self.host.disk
        if host.server is not None:
            raise PostgresError("PostgreSQL runs: stop it first")
        standby, disk.standby_signal = disk.standby_signal, False
        yield from self._recover()
        disk.standby_signal = standby

    def _recover(self) -> Steps:
        """A single-user server recovers with the WAL that is here, and is shut down."""
        disk = self.host.disk
        yield self.host.seconds_for("recovery")
        disk.pages_lost |= not disk.is_consistent
        if disk.writer is not disk:
            disk.branch = Branch(disk.branch.timeline, disk.branch, disk.end)
            disk.writer = disk
        disk.checkpoint_lsn, disk.checkpoint_timeline = disk.end, disk.branch.timeline
        disk.end += CHECKPOINT_BYTES
        disk.branch.end = disk.end
        disk.state = "shut down"

    def rewind(self, source: Upstream) -> Steps:
        """pg_rewind: the directory is a standby's afterwards, half-made if it was cut off."""
        host, disk = self.host, self.host.disk
        if host.server is not None:
            raise PostgresError("PostgreSQL runs: stop it first")
        self._write("standby", source)
        if disk.rewound_in_boot is not None:
            disk.standby_signal = True
            if disk.rewound_in_boot != host.boots:
                raise PostgresError("pg_rewind ended before the machine did, and can't be repeated")
            return  # it ended unseen: it is not repeated
        disk.standby_signal = False
        up = self._reachable(source.name)
        if up is None:
            disk.standby_signal = True
            yield 0.1
            raise PostgresError("pg_rewind: no connection")
        theirs = up.host.disk
        try:
            if disk.state not in {"shut down", "shut down in recovery"}:
                yield from self._recover()  # pg_rewind does that by itself
            if theirs.checkpoint_timeline == disk.checkpoint_timeline and not disk.half_rewound:
                disk.standby_signal = True
                yield 0.1
                return  # "no rewind required": all that it compares are the control files
            disk.half_rewound = True
            wal, wal_end = theirs.branch, theirs.end  # it copies the segments that there are now
            yield host.seconds_for("rewind")
        except Cancelled:
            disk.standby_signal = True
            raise
        disk.standby_signal = True
        if host.failure_of("rewind") or up is not self._reachable(source.name):
            raise PostgresError("pg_rewind failed")
        branch, end = common_end(disk.branch, disk.end, theirs.branch, theirs.end)
        disk.branch, disk.end, disk.writer = wal, wal_end, None
        disk.written_over = None
        disk.newest_timeline = theirs.newest_timeline
        disk.sync_names = theirs.sync_names
        disk.checkpoint_lsn, disk.checkpoint_timeline = end, branch.timeline
        disk.min_recovery_lsn, disk.min_recovery_timeline = theirs.end, theirs.branch.timeline
        disk.consistent_on, disk.consistent_at = theirs.branch, theirs.end
        disk.state = "in archive recovery"
        disk.half_rewound, disk.rewound_in_boot = False, host.boots

    def remove_data_directory(self) -> Steps:
        """Empty the data directory."""
        yield self.host.seconds_for("remove")
        self.host.disk.empty()

    def _reachable(self, name: str) -> running.Server | None:
        """The server of that member, if it takes our connections now."""
        up = self.world.hosts[name].server if name in self.world.hosts else None
        if up is None or not up.answers or up.life.frozen:
            return None
        return up if self.world.network.both_ways(self.host.name, name) else None

    # --- questions and slots ----------------------------------------------------------------------

    def leader_timeline(self, leader: Upstream, seconds: float) -> Steps:
        """Ask another server for its timeline and history."""
        asked_at = self.host.now()
        network, name = self.world.network, self.host.member_at(leader) or leader.name
        up = self._reachable(name)
        if up is None:
            silent = not network.both_ways(self.host.name, name) or self.world.is_silent(name)
            yield seconds if silent else 0.01
            raise PostgresError(f"{name} cannot be reached")
        yield 4 * network.seconds(self.host.name, name)
        if up is not self._reachable(name):
            raise PostgresError(f"{name} went away")
        return told(leader.name, asked_at, up, self.host.disk)

    def change_slots(self, create: tuple[str, ...], drop: tuple[str, ...]) -> None:
        """Create slots, and drop those that nobody uses."""
        server = self._own()
        slots = server.host.disk.slots
        active = active_slots(server)
        for name in create:
            slots.setdefault(name, server.host.disk.end)
        for name in drop:
            if name not in active:
                slots.pop(name, None)
        server.version += 1

    def advance_slots(self, positions: dict[str, int]) -> None:
        """Move slots of this standby forward, as far as it has replayed."""
        server = self._own()
        slots, active = server.host.disk.slots, active_slots(server)
        for name, lsn in positions.items():
            if name in slots and name not in active:
                slots[name] = max(slots[name], min(lsn, server.replayed))
        server.version += 1

    def _own(self) -> running.Server:
        server = self.host.server
        if server is None or not server.answers:
            raise PostgresError("cannot connect")
        return server


@cache
def _digest(parameters: int, standby: bool) -> str:
    return f"{parameters}/{'standby' if standby else 'primary'}"


def active_slots(server: running.Server) -> dict[str, int]:
    """The slots that a standby streams from, each with its walsender."""
    return {link.down.host.slot: link.pid for link in server.links}


def describe(server: running.Server) -> Server:
    """What the server answers to the observing statement."""
    host, disk = server.host, server.host.disk
    streams = server.upstream is not None
    return Server(
        in_recovery=server.in_recovery,
        timeline=(disk.branch if server.receiving else server.replayed_branch).timeline,
        server_version=SERVER_VERSION,
        system_identifier=disk.system_identifier,
        write_lsn=None if server.in_recovery else disk.end,
        receive_lsn=disk.end if server.in_recovery and server.receiving else None,
        replay_lsn=server.replayed if server.in_recovery else None,
        unread_wal=server.in_recovery and not server.receiving and server.replayed < disk.end,
        replication_state="streaming" if streams and server.in_recovery else None,
        upstream=host.address_of(disk.upstream) if server.in_recovery else None,
        receiver=server.upstream.pid if server.upstream else None,
        checkpoint_timeline=disk.checkpoint_timeline,
        started_epoch=server.started_wall,
        slots=disk.slot_rows(active_slots(server)),
        replication=host.world.replication_rows(server),
        timeline_history=() if server.in_recovery else disk.branch.history,
        sync_names=server.sync_names,
        checkpointer_listens=server.obeyed_names == server.sync_names,
    )
